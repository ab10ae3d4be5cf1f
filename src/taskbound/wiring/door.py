"""Network listener with replaceable TLS files and authorities.

1. Files are checked every few seconds and on request. Unusable files leave the current ones in use.
2. The daemon supplies the authorities of trust domains; a removed authority is rejected from the next
   handshake.
3. The number of TLS handshakes in progress is bounded. A new one ends the oldest of the network with the
   most, so silent connections can't lock out clients of other networks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from ssl import VerifyMode
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.rate import network_of
from taskbound.wiring.listening import BACKLOG
from taskbound.wiring.tls import BadTlsError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from ssl import SSLContext

    from taskbound.wiring.tls import TlsFiles


_log = logging.getLogger(__name__)
_HANDSHAKE: Final = 5.0
"""Seconds for the handshake of TLS, and for its end."""
HANDSHAKES: Final = 256
"""Handshakes that are under way at most (rule 3)."""
_FULL: Final = 1.0
"""Seconds until it is tried again to take a connection, where the system had no room for one."""
_LOOK: Final = 10.0
"""Seconds between two looks at the files for TLS (rule 1)."""


class Door:
    """Listens with TLS files and authorities that can be replaced while it serves."""

    def __init__(
        self,
        listening: socket.socket,
        files: TlsFiles | None,
        serve: Callable[[], asyncio.Protocol],
        *,
        handshakes: int = HANDSHAKES,
    ) -> None:
        self._listening = listening
        self._files = files
        self._serve = serve
        self._most = handshakes
        self._plain: asyncio.Server | None = None
        self._context: SSLContext | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: dict[asyncio.Task[None], str] = {}
        """The networks of those that are under way, in the order in which they began."""
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._authorities: tuple[bytes, ...] = ()
        self._turn = asyncio.Lock()
        self._looking: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        return self._context is not None and self._context.verify_mode is not VerifyMode.CERT_NONE

    async def open(self) -> None:
        """Starts listening, or replaces the files in use; raises BadTlsError if they are unusable."""
        loop = asyncio.get_running_loop()
        if self._files is None:
            self._plain = await loop.create_server(self._serve, sock=self._listening.dup(), backlog=BACKLOG)
            return
        self._seen = await asyncio.to_thread(self._files.seen)
        self._context = await asyncio.to_thread(self._files.context, self._authorities)
        self._timer = loop.call_later(_LOOK, self.look)
        if self._accepting is None:
            self._accepting = loop.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening.settimeout(0)
        while True:
            try:
                one, address = await loop.sock_accept(self._listening)
            except OSError as error:
                _log.warning("no connection is taken for a moment: %s", error)
                await asyncio.sleep(_FULL)
                continue
            while len(self._handshakes) >= self._most:
                self._end_one()
            task = loop.create_task(self._secure(one))
            self._handshakes[task] = network_of(address[0])
            task.add_done_callback(partial(self._over, one))

    def _end_one(self) -> None:
        ((most, _),) = Counter(self._handshakes.values()).most_common(1)
        oldest = next(task for task, network in self._handshakes.items() if network == most)
        del self._handshakes[oldest]
        oldest.cancel()

    async def _secure(self, one: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._serve,
                one,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE,
                ssl_shutdown_timeout=_HANDSHAKE,
            )
        except OSError as error:
            _log.debug("no TLS was agreed on: %s", error)
            one.close()

    def _over(self, one: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if task.cancelled():
            one.close()

    async def believe(self, authorities: Sequence[bytes]) -> None:
        """Requests client certificates issued by exactly these authorities from now on (rule 2)."""
        async with self._turn:
            self._authorities = tuple(authorities)
            if self._files is None or self._accepting is None:
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
        """Reloads the files if they were replaced (rule 1)."""
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
        if self._timer is not None:
            self._timer.cancel()
        if self._plain is not None:
            self._plain.close()
        for task in (*self._handshakes, *([self._accepting] if self._accepting is not None else ())):
            task.cancel()
        self._listening.close()
