"""Settings: the shipped defaults, a user file, the environment and flags, with each value's origin."""
