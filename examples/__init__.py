"""Examples that run on data shipped with the project."""
