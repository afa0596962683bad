"""`mlops-mcp report`: what was done in a trace, as one file that a person can open, keep and send."""
