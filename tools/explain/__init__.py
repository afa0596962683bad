"""Explanations (SHAP values)."""
