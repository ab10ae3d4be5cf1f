"""MCP servers: pinning a command or a URL, starting or reaching it as pinned, speaking to it, ending it."""
