"""Data validation (Great Expectations)."""
