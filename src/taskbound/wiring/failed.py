"""Prints why a process ends or runs degraded, on standard error.

Paths, server texts and lines of settings files are escaped (`core.action.escape`) to one visible line each,
so that they can't move the cursor or forge a line.
"""

from __future__ import annotations

import sys

from taskbound.core.action.text import escape_rest
from taskbound.core.errors import TaskboundError


def tell_failure(error: Exception | str, *, code: str = "") -> str:
    """Prints the error and its remedy; returns the first line's words. `code` replaces the error's code."""
    words = str(error)
    if isinstance(error, TaskboundError):
        words = f"{error.message} [{code or error.code}]"
    sys.stderr.write(f"error: {escape_rest(words)}\n")
    if isinstance(error, TaskboundError) and error.advice:
        sys.stderr.write(f"what to do: {escape_rest(error.advice)}\n")
    return words
