"""Reads the objects that a call's arguments refer to, for approvals."""
