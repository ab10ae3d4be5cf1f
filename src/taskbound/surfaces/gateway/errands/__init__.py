"""What MCP calls tasks, towards the client: calls that it comes back for."""
