"""MCP servers on stdio: pinning a command, starting it as pinned, speaking to it, ending it."""
