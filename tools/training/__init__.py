"""Training and evaluation (scikit-learn, XGBoost, LightGBM)."""
