"""The configurations of MCP clients: where they are, what they start, how they are rewritten and put back."""
