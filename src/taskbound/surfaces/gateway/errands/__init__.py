"""MCP tasks towards the client: calls that the client polls."""
