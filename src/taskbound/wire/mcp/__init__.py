"""What MCP says over a pipe: lines of bytes, JSON-RPC envelopes, and the two eras, for both directions."""
