"""Model registry (MLflow)."""
