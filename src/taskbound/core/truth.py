"""A base for answers that must be matched on and can never be used as a condition."""

from __future__ import annotations

from typing import NoReturn


class NoTruth:
    """Refuses to be used as a condition, so that ``if decide(…)`` can't pass by accident.

    It has empty slots, and a dataclass with ``slots=True`` may inherit from it.
    """

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        """Raise.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a decision has no truth value: match on it")
