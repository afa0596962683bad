"""`mlops-mcp status`: what runs on this installation, for a person to watch."""
