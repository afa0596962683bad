"""MCP Apps: what some tools answer, drawn inside the hosts that can show it (`ui://`, ext-apps 2026-01-26)."""
