"""Treatment effects (econml)."""
