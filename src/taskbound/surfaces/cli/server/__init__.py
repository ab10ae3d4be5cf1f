"""The commands about upstream servers and their tools."""
