"""MCP clients' configurations: finds them, reads the servers in them, rewrites them and restores them."""
