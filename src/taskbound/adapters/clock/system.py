"""The operating system's clock, held to law 10, and its generator of what nobody can guess.

1. Each answer is kept with the monotonic instant at which it was given, and the next
   one starts from there: a wall clock that is set back, stands still or jumps forward
   and back again never makes an answer less than one before it.
2. Where the system has it, the monotonic clock is the one that goes on while the
   machine sleeps: what was due in the night is due in the morning.
3. What nobody can guess in names and codes comes from the operating system at each
   call: nothing is kept that a fork could copy.
4. A name begins with the millisecond at which it was made, so that rows under names
   that are made together lie together, and a commit writes few pages of an index. The
   rest of it makes it one that nobody else has: a clock that is set back costs pages,
   not rules.
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
    """Nanoseconds since the machine's start, sleep included where the system counts it (rule 2)."""
    return time.clock_gettime_ns(_STEADY)


def elapsed() -> float:
    """Seconds since the machine's start, as rule 2 says: a clock that is never set."""
    return time.clock_gettime(_STEADY)


_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The wall clock, never less than it was, nor than the last recorded instant. Safe from any thread."""

    def __init__(
        self,
        last: Instant,
        *,
        wall: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], int] = _elapsed,
    ) -> None:
        """Go on from the latest instant that the store has recorded.

        Args:
            last: The latest instant that was recorded.
            wall: The wall clock in nanoseconds since the epoch.
            elapsed: A clock in nanoseconds that is never set.
        """
        self._wall = wall
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._last = last
        self._at = elapsed()

    def now(self) -> Instant:
        """Microseconds since the epoch (rule 1)."""
        with self._lock:
            passed = (self._elapsed() - self._at) // _MICROSECOND
            self._last = advance(self._last, Instant(self._wall() // _MICROSECOND), Duration(passed))
            self._at += passed * _MICROSECOND  # what is less than a microsecond counts the next time
            return self._last


class SystemChance:
    """Names and codes from the operating system's generator (rule 3)."""

    def __init__(self, *, wall: Callable[[], int] = time.time_ns) -> None:
        """Take the time of names from a wall clock in nanoseconds since the epoch."""
        self._wall = wall

    def name(self, prefix: str) -> str:
        """``prefix_``, 9 characters that tell when (rule 4), and 26 that nobody can guess: 130 bits."""
        chance = secrets.token_bytes(_NAME_LENGTH).translate(_LETTERS).decode("ascii")
        return f"{prefix}_{_when(self._wall() // _MILLISECOND)}{chance}"

    def code(self) -> str:
        """A code that a person can type: 8 digits in two groups, `1234-5678`."""
        digits = f"{secrets.randbelow(_CODES):08d}"
        return f"{digits[:4]}-{digits[4:]}"

    def secret(self) -> str:
        """256 bits, as 43 characters of base64url."""
        return secrets.token_urlsafe(_SECRET)


@lru_cache(maxsize=1)
def _when(milliseconds: int) -> str:
    """Nine characters for an instant: a later one sorts after it."""
    return "".join([_DIGITS[milliseconds >> place & 31] for place in _PLACES])
