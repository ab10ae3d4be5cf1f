"""Whether the signer has confirmed lately that the store holds all that the signer vouched for (law 10).

1. No decision commits before the store's log was first compared with the signer's memory.
2. No decision commits later than `BOUND` after the last instant at which the store held no more than the
   signer vouches for by now. A signer that is silent, or that answers and signs no more, therefore stops
   decisions: it would not notice that what came later is missing. The next signature lets decisions go on.
3. What ends authority, outcomes and what a person does are not asked for this: they commit at any time.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


BOUND: Final = 10.0
"""Seconds: enough to start another signer on a busy machine, or for one request that times out."""
LATE: Final = 3.0
"""Seconds after which what is not vouched for is late: several rounds of the daemon that leads."""


class LogUnconfirmedError(UnavailableError):
    """The daemon could not compare its store with the signer's memory lately, and refuses to decide."""

    code = "log-unconfirmed"
    remedy = (
        "run `taskbound doctor` to see whether the signer answers, and whether the other daemons of the"
        " database go on; decisions resume when the signer confirms the log, and tasks can be ended meanwhile"
    )


class LogFreshness:
    """Keeps when the store's log was last confirmed. Confirmed by one thread, asked from any."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """Begin unconfirmed (rule 1).

        Args:
            elapsed: Seconds on a clock that is never set.
        """
        self._elapsed = elapsed
        self._marks: deque[tuple[float, int]] = deque()
        """When the store held how many records, oldest first: what is not vouched for yet."""
        self._until = -math.inf

    def mark(self, records: int) -> None:
        """The store holds at least this many records now."""
        now = self._elapsed()
        while self._marks and self._marks[0][0] + BOUND < now:
            self._marks.popleft()  # too old to confirm anything
        self._marks.append((now, records))

    def confirm(self, vouched: int) -> None:
        """The store was found to hold these records, which the signer vouches for."""
        while self._marks and self._marks[0][1] <= vouched:
            self._until = self._marks.popleft()[0] + BOUND

    @property
    def late(self) -> bool:
        """Whether the signer has not vouched yet for what the store held `LATE` seconds ago."""
        return bool(self._marks) and self._marks[0][0] + LATE < self._elapsed()

    def require(self) -> None:
        """Go on only within the bound (rules 1 and 2).

        Raises:
            LogUnconfirmedError: The last comparison that agreed is too old, or there was none.
        """
        if self._elapsed() > self._until:
            raise LogUnconfirmedError(self.trouble)

    @property
    def trouble(self) -> str:
        """Why decisions are refused now; empty where they are not."""
        if self._elapsed() <= self._until:
            return ""
        if self._until == -math.inf:
            return "the signer has not confirmed the log since the daemon started"
        return f"the signer has not confirmed the log for more than {BOUND:g} seconds"
