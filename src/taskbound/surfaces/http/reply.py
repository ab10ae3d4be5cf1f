"""The one answer to a request, whatever it looks like.

1. A request is answered once. What comes after its end, or after its client's, is dropped.
2. Nothing that is answered is to be kept by anyone between, or guessed at, unless its server says so.
3. What is known together is written together: each piece would wake the client for itself.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import h11

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_KEPT: Final = ("Cache-Control", "no-store")
_TAKEN_AS_TOLD: Final = ("X-Content-Type-Options", "nosniff")


class Carrier(Protocol):
    """The connection that the answer goes over."""

    def write(self, *events: h11.Event) -> None:
        """Send these, together."""

    def finished(self) -> None:
        """The answer is whole."""


def _nothing() -> None:
    """Nobody waits for this."""


@contextmanager
def leaving(reply: Reply) -> Iterator[None]:
    """Cancel the task that waits meanwhile when the client goes away."""
    waiting, before = asyncio.current_task(), reply.on_lost

    def left() -> None:
        if waiting is not None:
            waiting.cancel()

    reply.on_lost = left
    yield
    reply.on_lost = before


class Reply:
    """How one request is answered; a server's own says what its answers are."""

    def __init__(self, carrier: Carrier, *, last: bool) -> None:
        """Answer over this connection; `last` when nothing more is read from it."""
        self._carrier = carrier
        self._last = last
        self._over = False
        self._slow = False
        self.on_lost: Callable[[], None] = _nothing
        """Called once if the client goes away before it has its answer."""
        self.on_slow: Callable[[bool], None] | None = None
        """Called when the client stops reading, and when it goes on."""
        self.on_proven: Callable[[], None] = _nothing
        """Called when a proof that came with the request is verified."""

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or nobody waits for it any more."""
        return self._over

    def lost(self) -> None:
        """The client is gone."""
        if self._over:
            return
        self._finish()
        self.on_lost()

    def slow(self, *, slow: bool) -> None:
        """The client stopped reading, or goes on."""
        if slow is not self._slow:
            self._slow = slow
            if self.on_slow is not None:
                self.on_slow(slow)

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> h11.Response:
        told = list(headers)
        if all(name != "Cache-Control" for name, _ in told):
            told.append(_KEPT)  # 2
        last = [("Connection", "close")] if self._last else []
        return h11.Response(status_code=status, headers=[*told, _TAKEN_AS_TOLD, *last])

    def _end(self, *events: h11.Event) -> None:
        """Write the rest of the answer (rules 1 and 3)."""
        self._finish()
        self._carrier.write(*events, h11.EndOfMessage())
        self._carrier.finished()

    def _finish(self) -> None:
        self._over = True
