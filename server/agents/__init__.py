"""`mlops-mcp agent`: Claude agents that work through this server, in a process of their own."""
