"""Whether the signer has confirmed lately that the store holds all that the signer vouched for (law 10).

1. No decision commits before the store's log was first compared with the signer's memory.
2. No decision commits later than `BOUND` after the beginning of the last comparison that agreed. A silent
   signer therefore stops decisions, and the next comparison that agrees lets them go on.
3. What ends authority, outcomes and what a person does are not asked for this: they commit at any time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BOUND", "LogFreshness", "LogUnconfirmedError"]

BOUND: Final = 10.0
"""Seconds: enough to start another signer on a busy machine, or for one request that times out."""


class LogUnconfirmedError(UnavailableError):
    """The daemon could not compare its store with the signer's memory lately, and refuses to decide."""

    code = "log-unconfirmed"
    remedy = (
        "run `taskbound doctor` to see why the signer does not answer; decisions resume when the signer"
        " confirms the log, and tasks can be ended meanwhile"
    )


class LogFreshness:
    """Keeps when the store's log was last confirmed. Confirmed by one thread, asked from any."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """Begin unconfirmed (rule 1).

        Args:
            elapsed: Seconds on a clock that is never set.
        """
        self._elapsed = elapsed
        self._until = -math.inf

    def begin(self) -> float:
        """When a comparison begins, for `confirm`."""
        return self._elapsed()

    def confirm(self, began: float) -> None:
        """A comparison that began then has found that the store holds what the signer vouched for."""
        self._until = began + BOUND

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
