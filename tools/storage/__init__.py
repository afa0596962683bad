"""Our own SQLite files and what they have in common: private, made whole, bounded, errors that say what to do."""
