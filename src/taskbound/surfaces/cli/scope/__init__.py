"""The commands that look at scopes: what they permit, and how two of them compare."""
