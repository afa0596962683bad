"""Spans of every call, redacted and bounded, in a local SQLite store that needs no server."""
