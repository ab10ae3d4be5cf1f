"""How long this process may rely on a lease: by clocks that go on also while it is stopped (I-55).

1. A lease counts from before it was asked for: it never lasts longer here than at the daemon.
2. What has passed is the longer of two measures: a clock that is never set, and the wall clock. A process
   that was stopped, or a machine that slept or was moved, has lost its lease in doubt.
3. A call begins only where its patience ends before the lease's last `MARGIN`, and is asked for right before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.credential import MARGIN, LeaseLostError
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.clock import Clock


LEAST: Final = 0.5
"""Seconds: a call that has less is not begun."""
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One instant, by both measures."""

    elapsed: float
    """Seconds on the clock that is never set."""
    wall: int
    """Microseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Measures what has passed (rule 2)."""

    clock: Clock
    elapsed: Callable[[], float]
    """Seconds on a clock that is never set; that of the machine's sleep too, where the system has one."""

    def now(self) -> Moment:
        """The moment."""
        return Moment(elapsed=self.elapsed(), wall=self.clock.now())

    def since(self, moment: Moment) -> float:
        """Seconds that have passed since then."""
        now = self.now()
        return max(now.elapsed - moment.elapsed, (now.wall - moment.wall) / _SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grip:
    """One lease as this process may rely on it."""

    watch: Watch
    asked: Moment
    """When it was about to be asked for (rule 1)."""
    lasts: float
    """Seconds from then on."""
    fence: int

    def patience(self, most: float) -> float:
        """Seconds that a call may take which begins now; `most` at most (rule 3).

        Raises:
            LeaseLostError: Nothing may begin any more.
        """
        left = self.lasts - MARGIN / _SECOND - self.watch.since(self.asked)
        if left < LEAST:
            raise LeaseLostError("the lease is over, or about to be")
        return min(most, left)
