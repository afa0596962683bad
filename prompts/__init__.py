"""MCP prompts: a catalogue and one Markdown template each."""
