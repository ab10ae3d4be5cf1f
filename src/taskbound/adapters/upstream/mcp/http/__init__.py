"""MCP servers behind a URL: streamable HTTP in both eras, with the gateway as the client."""
