"""Taskbound authorizes AI agents one action at a time, against a task."""

__all__ = ["__version__"]

__version__ = "0.1.0"
