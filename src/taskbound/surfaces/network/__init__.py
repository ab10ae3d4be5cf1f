"""The HTTP API: parses requests; the daemon decides what they may do."""
