"""Where a process listens, with TLS from what may be replaced while it does.

1. Files are looked at every few seconds, and whenever somebody says so. What can't be used leaves what is
   served as it is.
2. Authorities of trust domains are the daemon's to say: whoever was taken away is believed no more by the
   next handshake.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from taskbound.wiring.tls import BadTlsError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from ssl import SSLContext

    from taskbound.wiring.tls import TlsFiles

__all__ = ["Door"]

_log = logging.getLogger(__name__)
_HANDSHAKE: Final = 10.0
"""Seconds for the handshake of TLS, and for its end."""
_LOOK: Final = 10.0
"""Seconds between two looks at the files for TLS (rule 1)."""


class Door:
    """What is listened on, with TLS from files and authorities that may be replaced."""

    def __init__(
        self, listening: socket.socket, files: TlsFiles | None, serve: Callable[[], asyncio.Protocol]
    ) -> None:
        """Prepare; `open` listens.

        Args:
            listening: What is listened on.
            files: The files for TLS; none without.
            serve: Makes what serves one connection.
        """
        self._listening = listening
        self._files = files
        self._serve = serve
        self._open: asyncio.Server | None = None
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._authorities: tuple[bytes, ...] = ()
        self._turn = asyncio.Lock()
        self._looking: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen; with other files from now on, where that was done before.

        Raises:
            BadTlsError: The files can't be used.
        """
        context: SSLContext | None = None
        if self._files is not None:
            self._seen = await asyncio.to_thread(self._files.seen)
            context = await asyncio.to_thread(self._files.context, self._authorities)
            self._timer = asyncio.get_running_loop().call_later(_LOOK, self.look)
        before, self._open = self._open, await self._listen(context)
        if before is not None:
            before.close()  # connections that it took go on

    async def _listen(self, context: SSLContext | None) -> asyncio.Server:
        seconds = None if context is None else _HANDSHAKE
        return await asyncio.get_running_loop().create_server(
            self._serve,
            sock=self._listening.dup(),  # the queue is the socket's, and nobody in it is lost
            ssl=context,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=seconds,
        )

    async def believe(self, authorities: Sequence[bytes]) -> None:
        """Ask clients for certificates of these authorities from now on, and of no others before (rule 2)."""
        async with self._turn:
            self._authorities = tuple(authorities)
            if self._files is None or self._open is None:
                return
            if self._timer is not None:
                self._timer.cancel()
            try:
                await self.open()
            except BadTlsError as error:
                _log.error("the files for TLS are not taken: %s [%s]", error.message, error.code)
                self._timer = asyncio.get_running_loop().call_later(_LOOK, self.look)
            else:
                _log.info("%d authorities of trust domains are asked for", len(self._authorities))

    def look(self) -> None:
        """Take the files anew if they were replaced (rule 1)."""
        task = asyncio.get_running_loop().create_task(self._look())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self) -> None:
        if self._files is None:
            return
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            if await asyncio.to_thread(self._files.seen) == self._seen:
                self._timer = asyncio.get_running_loop().call_later(_LOOK, self.look)
                return
            try:
                await self.open()
            except BadTlsError as error:
                _log.error("the files for TLS are not taken: %s [%s]", error.message, error.code)
                self._timer = asyncio.get_running_loop().call_later(_LOOK, self.look)
            else:
                _log.info("the files for TLS were replaced, and are taken")

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._open is not None:
            self._open.close()
        self._listening.close()
