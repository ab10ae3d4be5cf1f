"""The gateway process: `taskbound gateway --agent NAME`, started by an MCP client."""

from __future__ import annotations

import argparse
import asyncio
import os
import selectors
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.adapters.upstream.mcp.process import adopt_orphans
from taskbound.adapters.upstream.mcp.server import StdioStarter
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.gateway.link import Timings
from taskbound.surfaces.gateway.server import Gateway, GatewayDependencies
from taskbound.wire.connection import Open
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.home import find_home
from taskbound.wiring.log import open_log
from taskbound.wiring.reach import Reach
from taskbound.wiring.settings import Settings, read_settings
from taskbound.wiring.start import find_daemon
from taskbound.wiring.starters import Starters, find_egress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


_USAGE: Final = 2
_MICROSECOND: Final = 1_000


def main(arguments: Sequence[str] | None = None, *, ensure: Callable[[Path], Path] | None = None) -> int:
    """Serves one MCP client on standard input and output; `ensure` finds or starts the daemon."""
    told = _read_arguments(arguments)
    if told.listen:
        return _listen(told, ensure)
    home = find_home(told.home, os.environ)
    settings = _settings(home)
    # Beneath `taskbound run` standard error is the program's own terminal.
    beneath = bool(os.environ.get("TASKBOUND_TASK"))
    open_log("gateway", "warning" if beneath and settings.log_level == "info" else settings.log_level)
    hello = Open(
        role="gateway",
        version=__version__,
        namespace=told.namespace or settings.namespace,
        agent=told.agent or settings.agent,
    )
    if not hello.agent:
        tell_failure("no agent is named; say `--agent NAME`")
        return _USAGE

    def find(path: Path) -> Path:
        return find_daemon(path, socket=settings.socket, may_start=settings.autostart)

    reach = Reach(home, hello, ensure or find)
    reading, writing = _take_wire()
    try:
        timings = Timings(hold=float(settings.hold_seconds))
        place = find_egress(home, settings)
        return asyncio.run(_serve(reach, hello.namespace, (reading, writing), timings, place))
    except ValueError as error:
        tell_failure(f"the gateway speaks MCP over pipes: {error}")
        return _USAGE


def _listen(told: argparse.Namespace, ensure: Callable[[Path], Path] | None) -> int:
    from taskbound.wiring.front import serve  # noqa: PLC0415 -- as said above

    if told.agent:
        tell_failure("with `--listen` the path of each request says which agent it is")
        return _USAGE
    return serve(listen=told.listen, home=told.home, namespace=told.namespace, ensure=ensure)


async def _serve(reach: Reach, namespace: str, wire: tuple[int, int], timings: Timings, egress: Path) -> int:
    reading, writing = wire
    adopt_orphans()
    starter = StdioStarter()

    def sweep() -> None:
        if not reach.starting:
            starter.sweep()

    gateway = Gateway(
        GatewayDependencies(
            connect=reach,
            start=Starters(starter, egress),
            now=_now,
            sweep=sweep,
            namespace=namespace,
            timings=timings,
        ),
    )
    loop = asyncio.get_running_loop()
    _require_watchable(reading)
    await loop.connect_write_pipe(lambda: gateway.pipes.outgoing, os.fdopen(writing, "wb", buffering=0))
    await loop.connect_read_pipe(lambda: gateway.pipes.incoming, os.fdopen(reading, "rb", buffering=0))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, gateway.left, None)
    await gateway.serve()
    sweep()
    return 0


def _require_watchable(reading: int) -> None:
    """Raises ValueError if asyncio can't detect the end of this input, as with `/dev/null`."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(reading, selectors.EVENT_READ)
        except OSError as error:
            raise ValueError(f"its input can't be waited for: {error.strerror}") from error


def _now() -> int:
    return time.time_ns() // _MICROSECOND


def _take_wire() -> tuple[int, int]:
    """Returns private descriptors for the client's pipes, so that stray prints can't reach them."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return reading, writing


def _settings(home: Path) -> Settings:
    try:
        return read_settings(home, os.environ)
    except TaskboundError as error:
        tell_failure(error)
        return Settings(autostart=False)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound gateway", description=__doc__)
    parser.add_argument("--agent", default="", help="the agent that the client is")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        default="",
        help="serve MCP over HTTP here instead; off the loopback with TLS only",
    )
    parser.add_argument("--home", default="", help="the data directory")
    parser.add_argument("--namespace", default="", help="the namespace to work in")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
