"""Every error of Taskbound, in three families by who can act on it.

    TaskboundError
    ├── MalformedError      fix the input
    ├── DeniedError         ask someone, or do something else
    └── UnavailableError    try again later; nothing was allowed

Each class has a stable ``code``; only surfaces turn a code into a problem, a
JSON-RPC error, an exit status or a page. Text is lower case, without a stop,
user input in backticks, never a secret. A ``remedy`` says what to do next.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["DeniedError", "MalformedError", "TaskboundError", "UnavailableError", "error_classes"]


class TaskboundError(Exception):
    """Anything that Taskbound says no to; catch this to catch all of it."""

    code: ClassVar[str] = "error"
    remedy: ClassVar[str] = ""

    def __init__(self, message: str, *, remedy: str = "", where: str = "") -> None:
        """Say what is wrong, what to do about it, and in which place of the input."""
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = remedy or type(self).remedy


class MalformedError(TaskboundError):
    """The input can't be read as what it claims to be."""

    code = "malformed"


class DeniedError(TaskboundError):
    """The answer is no, with a reason that someone can change."""

    code = "denied"


class UnavailableError(TaskboundError):
    """Something that the answer needs could not be reached; nothing was allowed."""

    code = "unavailable"


def error_classes() -> tuple[type[TaskboundError], ...]:
    """Every class of the tree that this package has and that was imported, in code order."""
    found: dict[str, type[TaskboundError]] = {}
    todo: list[type[TaskboundError]] = [TaskboundError]
    while todo:
        one = todo.pop()
        todo.extend(one.__subclasses__())
        if one.__module__.startswith("taskbound."):  # a program's own subclass has a code of its own making
            found[one.code] = one
    return tuple(found[code] for code in sorted(found))
