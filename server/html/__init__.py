"""Pages for people: markup that escapes what it is given, and what is drawn in it."""
