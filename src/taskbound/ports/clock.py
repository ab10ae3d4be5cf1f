"""The time and the chance that flows are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


class Clock(Protocol):
    """Tells the instant.

    MUST never answer less than it answered before, nor less than the last
    instant that the store has recorded, and MUST go on when the wall clock
    stands still or is set back (law 10).
    """

    def now(self) -> Instant:
        """Microseconds since the epoch."""


class Chance(Protocol):
    """Makes what nobody can guess. MUST draw from the operating system's generator, also after a fork."""

    def name(self, prefix: str) -> str:
        """``prefix_`` and 35 characters of a-z and 2-7: 9 that tell when it was made, and 130 bits of chance.

        A later name SHOULD sort behind an earlier one; nothing but speed depends on it.
        """

    def code(self) -> str:
        """A code that a person can type: 8 digits in two groups, `1234-5678`."""

    def secret(self) -> str:
        """256 bits, as 43 characters of base64url."""
