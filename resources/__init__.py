"""MCP resources: runs and registry entries as Markdown cards."""
