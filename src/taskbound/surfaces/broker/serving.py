"""The broker's own socket: it says the public key that admin access is sealed to, and nothing else.

1. What is asked of it changes nothing and tells no secret: whoever may connect may ask.
2. What can't be read, and a connection that asks for nothing, is ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.wire.broker import BrokerKey, ask_decoder
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from taskbound.core.errors import TaskboundError


_OPENING: Final = 10.0
"""Seconds until a connection is ended."""
_LONGEST: Final = 4_096
"""Bytes of what is asked."""


class BrokerSocket(asyncio.Protocol):
    """One connection; asyncio makes one for each."""

    def __init__(self, public: str) -> None:
        """Say this key."""
        self._public = public
        self._buffer = FrameBuffer(limit=_LONGEST)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a question (rule 2)."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._timer = asyncio.get_running_loop().call_later(_OPENING, transport.close)

    def data_received(self, data: bytes) -> None:
        """Answer it."""
        if self._transport is None:
            return
        try:
            for body in self._buffer.feed(data):
                decode_frame(ask_decoder, body)
                self._transport.write(encode_frame(BrokerKey(key=self._public)))
        except FrameError as error:
            self._transport.write(encode_frame(_fault(error)))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        if self._timer is not None:
            self._timer.cancel()


def _fault(error: TaskboundError) -> Fault:
    return Fault(code=error.code, message=error.message, advice=error.advice)
