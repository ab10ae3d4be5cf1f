"""The process that faces agents: MCP on stdin and stdout, each call decided before it is sent on."""
