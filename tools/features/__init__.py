"""Feature store (Feast)."""
