"""The operating system's clock, made monotonic (law 10), and random names and codes.

1. Each answer is stored with its monotonic instant, and the next continues from there: setting the wall clock
   back never decreases an answer.
2. The monotonic clock includes sleep where the system supports it.
3. Random values come from the operating system at each call; a fork can't copy state.
4. A name begins with its millisecond, so that rows created together share index pages. The rest makes it
   unique.
"""

from __future__ import annotations

import secrets
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, Instant, advance

if TYPE_CHECKING:
    from collections.abc import Callable


_MICROSECOND: Final = 1_000
_MILLISECOND: Final = 1_000_000
_NAME_LENGTH: Final = 26
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz234567" * 8
"""What each byte becomes: of 256, every letter stands for 8, so each is as likely as any other."""
_DIGITS: Final = "234567abcdefghijklmnopqrstuvwxyz"
"""The same characters in the order in which a database sorts them."""
_PLACES: Final = range(40, -1, -5)
"""Of 9 digits of 5 bits: milliseconds until the year 3084."""
_CODES: Final = 100_000_000
_SECRET: Final = 32


def _elapsed() -> int:
    return time.clock_gettime_ns(_STEADY)


def elapsed() -> float:
    """Returns seconds since boot (rule 2)."""
    return time.clock_gettime(_STEADY)


_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The monotonic wall clock, at least the last recorded instant. Safe from any thread."""

    def __init__(
        self,
        last: Instant,
        *,
        wall: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], int] = _elapsed,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._last = last
        self._at = elapsed()

    def now(self) -> Instant:
        """Returns microseconds since the epoch (rule 1)."""
        with self._lock:
            passed = (self._elapsed() - self._at) // _MICROSECOND
            self._last = advance(self._last, Instant(self._wall() // _MICROSECOND), Duration(passed))
            self._at += passed * _MICROSECOND  # what is less than a microsecond counts the next time
            return self._last


class SystemChance:
    """Random names and codes (rule 3)."""

    def __init__(self, *, wall: Callable[[], int] = time.time_ns) -> None:
        self._wall = wall

    def name(self, prefix: str) -> str:
        """Returns ``prefix_``, 9 characters of time (rule 4) and 26 random characters: 130 bits."""
        chance = secrets.token_bytes(_NAME_LENGTH).translate(_LETTERS).decode("ascii")
        return f"{prefix}_{_when(self._wall() // _MILLISECOND)}{chance}"

    def code(self) -> str:
        digits = f"{secrets.randbelow(_CODES):08d}"
        return f"{digits[:4]}-{digits[4:]}"

    def secret(self) -> str:
        """256 bits, as 43 characters of base64url."""
        return secrets.token_urlsafe(_SECRET)


@lru_cache(maxsize=1)
def _when(milliseconds: int) -> str:
    return "".join([_DIGITS[milliseconds >> place & 31] for place in _PLACES])
