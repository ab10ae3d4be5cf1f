"""Guarded functions: each call is decided before it runs, for agents without MCP."""
