"""Asking for each call of a function of one's own, before it runs: what an agent without MCP stands on."""
