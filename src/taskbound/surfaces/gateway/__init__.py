"""The process that faces agents: MCP on stdin and stdout; each call is decided before it is forwarded."""
