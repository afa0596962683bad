"""The MCP server process: wiring only."""
