"""MCP servers over streamable HTTP in both eras."""
