"""The HTTP front process: `taskbound gateway --listen ADDRESS:PORT`.

1. It listens on a loopback address, or with TLS: requests carry tokens.
2. It verifies no token. It passes a client's token to the daemon only, and keeps a task's newest token in
   memory while its seat is open, to reconnect.
3. Left-over processes of servers are ended once no agent has a running server.
4. If the daemon's configured gateway origin differs, the front exits at start. A missing daemon is waited
   for.
5. With TLS, clients are asked for certificates issued by the trust domains' authorities, which the daemon
   supplies, or by those of a file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.upstream.mcp.process import adopt_orphans
from taskbound.adapters.upstream.mcp.server import StdioStarter
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.errors import code_of
from taskbound.surfaces.gateway.http.door import DaemonLookup
from taskbound.surfaces.gateway.http.front import Front
from taskbound.surfaces.gateway.http.seat import FrontBounds
from taskbound.surfaces.gateway.link import Timings
from taskbound.surfaces.gateway.server import GatewayDependencies
from taskbound.surfaces.http.connection import HttpConnection
from taskbound.surfaces.http.head import Authorities
from taskbound.wire.connection import Open
from taskbound.wiring import door as doors
from taskbound.wiring.address import format_address, hosts_of, parse_address, parse_origin
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.home import find_home
from taskbound.wiring.listening import BACKLOG, listen_at
from taskbound.wiring.log import open_log
from taskbound.wiring.reach import Reach
from taskbound.wiring.settings import read_settings
from taskbound.wiring.start import find_daemon
from taskbound.wiring.starters import Starters, find_egress
from taskbound.wiring.tls import read_files

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.surfaces.gateway.link import Connect
    from taskbound.wiring.tls import TlsFiles


_log = logging.getLogger(__name__)

_USAGE: Final = 2
_REFUSED: Final = 4
_MICROSECOND: Final = 1_000
_FIRST: Final = 2.0
"""Seconds that the daemon may take to say whose certificates count before it is served without its word."""


def serve(*, listen: str, home: str, namespace: str, ensure: Callable[[Path], Path] | None = None) -> int:
    """Serves until terminated; returns the exit status.

    Port 0 takes a free port and prints it. `ensure` returns the daemon's socket and may start a daemon.
    """
    place = find_home(home, os.environ)
    try:
        address, port = parse_address(listen, where="--listen")
        settings = read_settings(place, os.environ)
        files = read_files(
            settings.gateway_tls_certificate,
            settings.gateway_tls_key,
            settings.gateway_client_roots,
            address=address,
            word="gateway",
        )  # 1
        parse_origin(settings.gateway_origin, secured=files is not None, where="gateway_origin")
        listening = listen_at(address, port, backlog=BACKLOG)
    except (OSError, TaskboundError) as error:
        return _failed(error, _USAGE)
    open_log("gateway", settings.log_level)

    def find(path: Path) -> Path:
        return find_daemon(path, socket=settings.socket, may_start=settings.autostart)

    def look(path: Path) -> Path:
        return find_daemon(path, socket=settings.socket, may_start=False)

    daemons = _Daemons(place, namespace or settings.namespace, settings.gateway_origin, ensure or find, look)
    timings = Timings(hold=float(settings.hold_seconds))
    return asyncio.run(_serve(listening, daemons, timings, find_egress(place, settings), files))


def _failed(error: OSError | TaskboundError, status: int) -> int:
    tell_failure(error, code=code_of(error) if isinstance(error, TaskboundError) else "")
    return status


class _Daemons:
    def __init__(
        self,
        home: Path,
        namespace: str,
        origin: str,
        ensure: Callable[[Path], Path],
        look: Callable[[Path], Path],
    ) -> None:
        self._home = home
        self._ensure = ensure
        self._look = look
        self._turn = asyncio.Lock()
        self.namespace = namespace
        self.origin = origin

    @property
    def starting(self) -> bool:
        return self._turn.locked()

    @property
    def own(self) -> Connect:
        return self._reach(self._front, self._ensure)

    @property
    def there(self) -> Connect:
        return self._reach(self._front, self._look)

    @property
    def _front(self) -> Open:
        return Open(role="front", version=__version__, namespace=self.namespace, origin=self.origin)

    def seat(self, agent: str, token: str) -> Connect:
        return self._reach(
            Open(role="gateway", version=__version__, namespace=self.namespace, agent=agent, token=token),
            self._ensure,
        )

    def _reach(self, hello: Open, find: Callable[[Path], Path]) -> Connect:
        return Reach(self._home, hello, find, turn=self._turn)


async def _serve(
    listening: socket.socket,
    daemons: _Daemons,
    timings: Timings,
    egress: Path,
    files: TlsFiles | None,
) -> int:
    adopt_orphans()
    starter = StdioStarter()
    address, port = listening.getsockname()[:2]
    door = doors.Door(listening, files, lambda: HttpConnection(front))
    asking = DaemonLookup(
        daemons.origin, daemons.own, daemons.seat, there=daemons.there, certified=lambda: door.asks
    )
    try:
        await asking.reached()
    except RefusedByDaemonError as error:
        return _failed(error, _REFUSED)  # 4
    except TaskboundError as error:
        _log.warning("the daemon is not there yet: %s", error.message)
    own: list[Front] = []

    def sweep() -> None:
        if not daemons.starting and not any(one.runs_servers for one in own):
            starter.sweep()  # 3

    plugs = GatewayDependencies(
        connect=daemons.own,
        start=Starters(starter, egress),
        now=lambda: time.time_ns() // _MICROSECOND,
        sweep=sweep,
        namespace=daemons.namespace,
        timings=timings,
    )
    front = Front(plugs, asking, FrontBounds(), hosts=hosts_of(daemons.origin, address, port))
    own.append(front)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    authorities = Authorities(asking.authorities, door.believe)
    if files is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(authorities.once(), _FIRST)  # 5
    try:
        await door.open()
    except TaskboundError as error:
        return _failed(error, _USAGE)
    keeping = loop.create_task(authorities.keep()) if files is not None else None
    loop.add_signal_handler(signal.SIGHUP, over.set if files is None else door.look)
    scheme = "http" if files is None else "https"
    sys.stdout.write(f"listening on {scheme}://{format_address(address, port)}/mcp\n")
    sys.stdout.flush()
    _log.info("known outside as %s", daemons.origin)
    await over.wait()
    if keeping is not None:
        keeping.cancel()
    door.close()
    await front.close()
    sweep()
    return 0
