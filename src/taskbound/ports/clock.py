"""Time and randomness for the flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


class Clock(Protocol):
    """MUST never return less than before or in the store, and MUST advance always (law 10)."""

    def now(self) -> Instant:
        """Returns microseconds since the epoch."""


class Chance(Protocol):
    """Randomness. MUST come from the operating system's generator, also after a fork."""

    def name(self, prefix: str) -> str:
        """Returns ``prefix_`` and 35 characters of a-z and 2-7: 9 of time, 26 with 130 random bits."""

    def code(self) -> str:
        """Returns 8 random digits to type, `1234-5678`."""

    def secret(self) -> str:
        """Returns 256 bits as 43 characters of base64url."""
