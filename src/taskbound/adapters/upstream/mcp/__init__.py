"""MCP servers: pins, starts or connects to them, and talks to them."""
