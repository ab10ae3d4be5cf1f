"""Connections to one server that are kept for the calls that come: a new one costs its handshakes.

1. So many at most are kept, each for a while: what nobody used for longer may be cut on its way without a
   word, and a name may stand for another machine by now.
2. One call has a connection for itself. It comes back once all that was asked by it is answered, whole and in
   time, and where the server goes on with it.
3. One that was shut meanwhile, or that says what nobody asked, is of no use: that is seen before anything is
   sent by it. What fails later was sent, as it is by a new one, and is never sent again.
4. They go with who keeps them.
"""

from __future__ import annotations

import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    import socket
    from http.client import HTTPConnection


_MOST: Final = 4
"""As many as a target has workers."""
_IDLE: Final = 30.0
"""Seconds that one is kept unused."""
_OLDEST: Final = 300.0
"""Seconds after which one is not kept any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """A connection, between two calls."""

    driver: HTTPConnection
    end: socket.socket
    """A copy of its socket."""
    made: float
    """When it was connected, an instant of `time.monotonic`."""
    since: float
    """When the last call by it was over."""

    @property
    def is_of_use(self) -> bool:
        """Whether a call can go by it (rules 1 and 3)."""
        now = time.monotonic()
        waits = select.poll()
        waits.register(self.end, select.POLLIN)
        return now - self.since <= _IDLE and now - self.made <= _OLDEST and not waits.poll(0)

    def close(self) -> None:
        """Leave."""
        self.driver.close()
        self.end.close()


class HttpKept:
    """Safe from any thread; of one server, with one way to prove itself."""

    def __init__(self) -> None:
        """There is none yet."""
        self._kept: list[Kept] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept)

    def take(self) -> Kept | None:
        """The one that was used last and is of use; None where there is none."""
        while True:
            with self._lock:
                found = self._kept.pop() if self._kept else None
            if found is None or found.is_of_use:
                return found
            found.close()

    def give(self, one: Kept) -> None:
        """Keep it, for as long as that is of use (rule 1)."""
        with self._lock:
            self._kept.append(one)
            over = self._kept.pop(0) if len(self._kept) > _MOST else None
        if over is not None:
            over.close()

    def close(self) -> None:
        """Leave all of them."""
        with self._lock:
            _close(self._kept)


def _close(kept: list[Kept]) -> None:
    while kept:
        kept.pop().close()
