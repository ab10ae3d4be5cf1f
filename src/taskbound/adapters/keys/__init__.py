"""Signing keys and the memory of their holders."""
