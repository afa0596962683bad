"""The tools: one folder per domain ("slice"), and beside them what every slice is made of."""
