"""One connection as bytes: what came and was not read yet, within a bound, and what was not taken yet."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

_ENOUGH: Final = 65_536
"""Bytes that wait to be read, after which nothing more is taken from the other side."""


class Wire(asyncio.Protocol):
    """One connection; made by asyncio."""

    def __init__(self) -> None:
        """Wait to be connected."""
        self._held = bytearray()
        self._over = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def fresh(self) -> bool:
        """Whether nothing came that nobody has asked for, and the other side is still there."""
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and not self._over and not self._held

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def certificate(self) -> bytes:
        """The certificate that the other side showed; empty without TLS."""
        inside = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        found = inside.getpeercert(binary_form=True) if isinstance(inside, ssl.SSLObject) else None
        return found or b""

    def write(self, data: bytes) -> None:
        """Send these bytes."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def read(self) -> bytes:
        """What came; empty at the end."""
        while not self._held and not self._over:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._held)
        self._held.clear()
        if self._transport is not None and not self._over:
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came (asyncio calls this)."""
        self._held += data
        if len(self._held) >= _ENOUGH and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that nothing more comes (asyncio calls this)."""
        self._over = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone (asyncio calls this)."""
        del exc
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
