"""The local trace store: SQLite, written by one thread, readable by any process."""
