"""Hyper-parameter search (Optuna)."""
