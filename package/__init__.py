"""mlops-mcp: the machine-learning lifecycle as MCP tools. The folders beside this one are its subpackages."""
