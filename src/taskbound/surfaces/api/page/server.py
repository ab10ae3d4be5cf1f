"""Serves pages on loopback, each on its own port, for as long as it is needed.

1. A page holds its port at both addresses of `localhost`, or at none, because a browser treats both as one
   origin. The system chooses the port, and it is held until the page is over, so no other process can have
   our origin.
2. A connection carries one request within a time limit. Concurrent connections and the total for a page are
   limited; the page is over beyond the total. A slow or flooding client ends one page and delays nothing
   else.
3. `GET` gives the same three files to every client and changes nothing. Questions and results go by `POST`.
4. Pages are limited per person and in total. A person belongs to a namespace, so the same name in another
   namespace takes no page away.
5. A daemon in a network namespace of its own (a confined service, a container) serves no page to a person
   outside: another program could serve its own page at that address.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.surfaces.api.page.request import (
    BadRequestError,
    RequestBuffer,
    answer,
    require_ours,
)
from taskbound.surfaces.api.page.sitting import PageOverError, PageSession
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.wire.page import PageFault, render_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.api.page.request import Request
    from taskbound.surfaces.api.page.sitting import PagePurpose


_log = logging.getLogger(__name__)

OF_ONE: Final = 4
TOGETHER: Final = 16
_PORTS_TRIED: Final = 16
_FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_BRINGS: Final = frozenset({"/begin", "/make", "/sign"})
_JSON: Final = "application/json"
_ADDRESSES: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
Listen: TypeAlias = "Callable[[socket.AddressFamily, int, int], socket.socket | None]"
_NO_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """The limits of one page."""

    life: float = 300.0
    """Seconds."""
    patience: float = 10.0
    """Seconds that a connection has for its request, and for reading the answer."""
    at_once: int = 8
    """Connections that it has at once."""
    in_all: int = 200
    """Connections that it has in all."""


_LIMITS: Final = PageLimits()


class PageUnavailableError(UnavailableError):
    """No page can be served now."""

    code = "page-unavailable"
    remedy = "close pages that are open, or wait some minutes; for a confined daemon see deploy/README.md"


class Page:
    """One page at its port; used in the loop."""

    def __init__(
        self,
        desk: PagePurpose,
        over: Callable[[Page], None],
        limits: PageLimits,
        listen: Listen | None = None,
    ) -> None:
        self._listen = listen
        self.sitting = PageSession(desk)
        self.limits = limits
        self.port = 0
        self._over = over
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Connection] = set()
        self._left = limits.in_all
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def origin(self) -> str:
        """Returns the origin that a browser states."""
        return f"http://localhost:{self.port}"

    @property
    def address(self) -> str:
        """Returns the address that the person opens."""
        return f"{self.origin}/#{self.sitting.token}"

    async def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to serve; raises PageUnavailableError if no port is free."""
        sockets = bind_both(self.limits.at_once, listen=self._listen)
        self.port = sockets[0].getsockname()[1]
        for one in sockets:
            server = await loop.create_server(
                lambda: _Connection(self), sock=one, backlog=self.limits.at_once
            )
            self._servers.append(server)
        self._timer = loop.call_later(self.limits.life, self.close)

    def enter(self, connection: _Connection) -> bool:
        """Returns whether the connection is admitted (rule 2)."""
        self._left -= 1
        if self._left < 0:
            _log.warning("a page of `%s` was asked for too often, and is over", self.sitting.desk.person)
            self.close()
            return False
        if len(self._connections) >= self.limits.at_once:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        """Removes a closed connection."""
        self._connections.discard(connection)

    def close(self) -> None:
        """Stops serving; answers on their way still arrive."""
        if self._closed:
            return
        self._closed = True
        self.sitting.over = True
        if self._timer is not None:
            self._timer.cancel()
        for one in self._servers:
            one.close()
        for connection in tuple(self._connections):
            connection.end()
        self._over(self)

    async def answer(self, request: Request) -> bytes:
        """Returns the answer to a request (rule 3)."""
        try:
            require_ours(request, self.port)
            if request.method == "GET" and request.path in _FILES:
                name, kind = _FILES[request.path]
                return answer(200, kind, Path(__file__).with_name(name).read_bytes())
            if request.method != "POST" or request.path not in _BRINGS:
                return answer(404, "text/plain", b"nothing is here\n")
            taken = await self.sitting.take(request.path, request.body, self.origin)
            return answer(200, _JSON, render_page(taken))
        except TaskboundError as error:
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - the surface's outermost edge
            _log.exception("a page could not answer")
            return _refusal(UnavailableError(f"something went wrong in the daemon ({type(error).__name__})"))


class Pages:
    """All pages that are served; used in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: PageLimits = _LIMITS,
        listen: Listen | None = None,
    ) -> None:
        self._listen = listen
        self.limits = limits
        self.network = own_network()
        self._brought: dict[tuple[str, str], bytes] = {}
        self._loop = loop
        self._open: list[Page] = []

    async def open(self, desk: PagePurpose, *, network: str = "") -> str:
        """Serves a page and returns the address that opens it (rules 4 and 5).

        `network` is the opener's network namespace, empty if unknown. Raises PageUnavailableError at a limit,
        without a free port, or if the opener is in another network.
        """
        if network not in {"", self.network}:
            raise PageUnavailableError("the daemon is in a network of its own, where you reach no page of it")
        own = [one for one in self._open if _whose(one.sitting.desk) == _whose(desk)]
        for one in own[: max(0, len(own) - OF_ONE + 1)]:
            one.close()
        if len(self._open) >= TOGETHER:
            raise PageUnavailableError(f"{TOGETHER} pages are open, and no more are served at once")
        page = Page(desk, self._open.remove, self.limits, self._listen)
        self._open.append(page)
        try:
            await page.open(self._loop)
        except BaseException:
            page.close()
            raise
        return page.address

    def keep(self, namespace: str, key: str, signature: bytes) -> None:
        """Keeps a new passkey's signature until the person has compared the fingerprint, within a limit."""
        self._brought[namespace, key] = signature
        while len(self._brought) > TOGETHER:
            del self._brought[next(iter(self._brought))]

    def kept(self, namespace: str, key: str) -> bytes | None:
        """Returns the kept signature of a new passkey."""
        return self._brought.get((namespace, key))

    def close(self) -> None:
        """Stops serving all pages."""
        for one in tuple(self._open):
            one.close()


class _Connection(asyncio.Protocol):
    def __init__(self, page: Page) -> None:
        self._page = page
        self._buffer = RequestBuffer()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        if not self._page.enter(self):
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._work is not None or self._transport is None:
            self.end(at_once=True)
            return
        try:
            request = self._buffer.feed(data)
        except BadRequestError as error:
            self._say(_refusal(error))
            return
        if request is not None:
            self._stop()
            self._work = asyncio.get_running_loop().create_task(self._serve(request))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._stop()
        self._page.leave(self)

    def end(self, *, at_once: bool = False) -> None:
        if self._transport is None:
            return
        if at_once or self._work is None:
            self._transport.abort()

    async def _serve(self, request: Request) -> None:
        self._say(await self._page.answer(request))
        if self._page.sitting.over:
            self._page.close()

    def _say(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        self._transport.close()
        self._wait()

    def _wait(self) -> None:
        self._stop()
        if self._transport is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._page.limits.patience, self._transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _whose(desk: PagePurpose) -> tuple[str, str]:
    return desk.namespace, desk.person


def _refusal(error: TaskboundError) -> bytes:
    fault = fault_of(error, operation="the page")
    match error:
        case PageOverError():
            status = 410
        case DeniedError():
            status = 403
        case MalformedError():
            status = 400
        case _:
            status = 503
    body = PageFault(code=fault.code, message=fault.message, advice=fault.advice)
    return answer(status, _JSON, render_page(body))


def own_network() -> str:
    """Returns the system's name of this process' network namespace; empty if it gives none."""
    try:
        return str(Path("/proc/self/ns/net").readlink())
    except OSError:
        return ""


def bind_both(backlog: int, *, listen: Listen | None = None) -> list[socket.socket]:
    """Returns sockets on one port of both addresses of `localhost` (rule 1).

    `listen` returns no socket where the machine lacks such an address. Raises PageUnavailableError.
    """
    listen = listen or listen_at
    for _ in range(_PORTS_TRIED):
        four: socket.socket | None = None
        try:
            four = listen(socket.AF_INET, 0, backlog)
            if four is None:
                break
            six = listen(socket.AF_INET6, four.getsockname()[1], backlog)
        except OSError:
            if four is not None:
                four.close()
            continue
        return [four] if six is None else [four, six]
    raise PageUnavailableError("no port of this machine could be had for a page")


def listen_at(family: socket.AddressFamily, port: int, backlog: int) -> socket.socket | None:
    """Returns a listening socket of this family, or None where the machine lacks such an address.

    Raises OSError if the port is taken.
    """
    one: socket.socket | None = None
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
        if family is socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((_ADDRESSES[family], port))
        one.listen(backlog)
    except OSError as error:
        if one is not None:
            one.close()
        if error.errno in _NO_ADDRESS:
            return None
        raise
    return one
