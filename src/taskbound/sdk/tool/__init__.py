"""Guarded functions as tools of agent frameworks, one module each; Taskbound loads none by itself."""
