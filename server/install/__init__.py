"""`mlops-mcp install` and `uninstall`: our entry in the configuration file of an MCP client."""
