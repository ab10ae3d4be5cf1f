"""MCP over a pipe, both directions: lines, JSON-RPC messages, legacy and modern revisions."""
