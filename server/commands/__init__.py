"""Commands of `mlops-mcp`: each module adds its own to the parser and imports what it runs when it runs."""
