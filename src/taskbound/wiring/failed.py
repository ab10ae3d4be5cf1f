"""Why one of our processes ends or goes without something, on standard error, for a person's terminal.

What it says has parts from elsewhere: a path, a server's words, a line of a settings file. Each of the two
is one line in which everything is visible (`core.action.escape`): nothing moves a cursor or begins a line.
"""

from __future__ import annotations

import sys

from taskbound.core.action.text import escape_rest
from taskbound.core.errors import TaskboundError


def tell_failure(error: Exception | str, *, code: str = "") -> str:
    """Say it, and what to do about it where the error knows; the first line's words, as they are.

    Args:
        error: What failed, or a sentence about it.
        code: What it is called where that is not the error's own code.
    """
    words = str(error)
    if isinstance(error, TaskboundError):
        words = f"{error.message} [{code or error.code}]"
    sys.stderr.write(f"error: {escape_rest(words)}\n")
    if isinstance(error, TaskboundError) and error.advice:
        sys.stderr.write(f"what to do: {escape_rest(error.advice)}\n")
    return words
