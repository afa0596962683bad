"""Datasets: immutable Parquet files, named by their content (pandas, pyarrow)."""
