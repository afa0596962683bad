"""Upkeep: what was made goes again, and what nothing refers to is freed."""
