"""The commands that examine scopes."""
