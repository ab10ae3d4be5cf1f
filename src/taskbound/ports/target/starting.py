"""What is owed by systems that may bring back, when they are started anew, what was taken away in them.

Most can't: what they say to have done stays done.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Restarts(Protocol):
    """A target that is looked through as soon as it was started anew; used by several threads at once."""

    def starts(self, *, patience: float) -> tuple[str, ...]:
        """What tells this start of each of its parts from each other start; one part at least.

        It MUST change nothing, and raises as the calls of `ports.target.Target` do.
        """
