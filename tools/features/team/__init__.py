"""A Feast repository of a team, used where it lies."""
