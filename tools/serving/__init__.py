"""Packaging and serving (BentoML)."""
