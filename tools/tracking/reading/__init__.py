"""Runs as they are read: by one statement where the store is a database that we know, else through MLflow."""
