"""The process of the HTTP front: `taskbound gateway --listen 127.0.0.1:PORT`, started by a person.

1. It listens on an address of the loopback and on no other: a bearer that leaves the machine is anybody's.
2. It knows no bearer before it is shown one, says it to the daemon alone, and has it in memory as long as its
   seat is open: the connection has to be made again when it breaks.
3. What servers leave behind is ended once no server of any agent runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.upstream.mcp.family import adopt_orphans
from taskbound.adapters.upstream.mcp.server import StdioStarter
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.gateway.http.bounds import FrontBounds
from taskbound.surfaces.gateway.http.errors import NotLoopbackError
from taskbound.surfaces.gateway.http.front import Front
from taskbound.surfaces.gateway.link import Timings
from taskbound.surfaces.gateway.server import Plugs
from taskbound.surfaces.http.connection import HttpConnection
from taskbound.wire.connection import Open
from taskbound.wiring.home import find_home
from taskbound.wiring.log import open_log
from taskbound.wiring.reach import Reach
from taskbound.wiring.settings import read_settings
from taskbound.wiring.start import find_daemon
from taskbound.wiring.starters import Starters, find_egress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.surfaces.gateway.link import Connect

__all__ = ["hosts_of", "parse_address", "serve"]

_USAGE: Final = 2
_BACKLOG: Final = 128
_MICROSECOND: Final = 1_000
_HIGHEST: Final = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """The address and port to listen on (rule 1).

    Raises:
        NotLoopbackError: It is none, or none of the loopback.
    """
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]") if host.startswith("[") else host)
        plain = isinstance(address, IPv6Address) is not host.startswith("[")
    except ValueError as error:
        raise NotLoopbackError("the address to listen on is none") from error
    if plain or not port.isascii() or not port.isdigit() or int(port) > _HIGHEST:
        raise NotLoopbackError("the address to listen on has no port")
    if not address.is_loopback:
        raise NotLoopbackError(f"`{address}` is not of the loopback")
    return str(address), int(port)


def hosts_of(address: str, port: int) -> frozenset[str]:
    """What a client of this machine may call the front."""
    own = f"[{address}]" if ":" in address else address
    return frozenset(f"{one}:{port}" for one in ("127.0.0.1", "[::1]", "localhost", own))


def serve(*, listen: str, home: str, namespace: str, ensure: Callable[[Path], Path] | None = None) -> int:
    """Serve until the process is told to end; the exit status.

    Args:
        listen: `ADDRESS:PORT`; port 0 takes a free one, and says which.
        home: The data directory, as typed.
        namespace: The namespace to work in; the settings' own when empty.
        ensure: Finds the daemon's socket for a data directory, starting a daemon if it may.
    """
    place = find_home(home, os.environ)
    try:
        address, port = parse_address(listen)
        settings = read_settings(place, os.environ)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except (OSError, TaskboundError) as error:
        words = f"{error.message} [{error.code}]" if isinstance(error, TaskboundError) else str(error)
        sys.stderr.write(f"error: {words}\n")
        return _USAGE
    open_log("gateway", settings.log_level)

    def find(path: Path) -> Path:
        return find_daemon(path, socket=settings.socket, may_start=settings.autostart)

    hello = Open(role="gateway", version=__version__, namespace=namespace or settings.namespace)
    timings = Timings(hold=float(settings.hold_seconds))
    daemons = _Daemons(place, hello, ensure or find)
    return asyncio.run(_serve(listening, daemons, timings, find_egress(place, settings)))


class _Daemons:
    """Makes what connects for one bearer."""

    def __init__(self, home: Path, hello: Open, ensure: Callable[[Path], Path]) -> None:
        """Begin each connection so, with a bearer."""
        self._home = home
        self._hello = hello
        self._ensure = ensure
        self._turn = asyncio.Lock()
        self.namespace = hello.namespace

    @property
    def starting(self) -> bool:
        """Whether a daemon may be being started."""
        return self._turn.locked()

    def of(self, bearer: str) -> Connect:
        """What connects with this bearer."""
        hello = Open(
            role=self._hello.role,
            version=self._hello.version,
            namespace=self._hello.namespace,
            bearer=bearer,
        )
        return Reach(self._home, hello, self._ensure, turn=self._turn)


async def _serve(listening: socket.socket, daemons: _Daemons, timings: Timings, egress: Path) -> int:
    adopt_orphans()
    starter = StdioStarter()
    address, port = listening.getsockname()[:2]
    own: list[Front] = []

    def sweep() -> None:
        if not daemons.starting and not any(one.runs_servers for one in own):
            starter.sweep()  # 3

    plugs = Plugs(
        connect=daemons.of(""),
        start=Starters(starter, egress),
        now=lambda: time.time_ns() // _MICROSECOND,
        sweep=sweep,
        namespace=daemons.namespace,
        timings=timings,
    )
    front = Front(plugs, daemons.of, FrontBounds(), hosts=hosts_of(address, port))
    own.append(front)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, over.set)
    server = await loop.create_server(lambda: HttpConnection(front), sock=listening, backlog=_BACKLOG)
    shown = f"[{address}]" if ":" in address else address
    sys.stdout.write(f"listening on http://{shown}:{port}/mcp\n")
    sys.stdout.flush()
    await over.wait()
    server.close()
    await front.close()
    sweep()
    return 0
