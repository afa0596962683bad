"""What agents in Python use to trace themselves."""
