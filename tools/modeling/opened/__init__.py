"""Model files from outside: which may be opened, and what is looked at before any library acts on their numbers."""
