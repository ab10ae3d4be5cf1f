"""The API process: terminates TLS, parses HTTP within bounds and forwards requests to the daemon.

1. It listens on a loopback address, or with TLS: requests carry credentials.
2. It reaches no store, no key except its TLS key, and no flow.
3. Replaced TLS files are read every few seconds, and at once after SIGHUP.
4. It exits when its lifeline closes.
5. It exits with `other-origin` if the daemon's configured origin differs from its own, at start and whenever
   a daemon reconnects. While there is no daemon, requests are answered as unavailable.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.http.connection import Bounds, HttpConnection
from taskbound.surfaces.http.rate import Proxies, Rates
from taskbound.surfaces.network.problem import Agreement, Link
from taskbound.surfaces.network.server import Cursors, Server, ServerDependencies, Tracing
from taskbound.wire.connection import Open
from taskbound.wiring.address import format_address, hosts_of, parse_networks
from taskbound.wiring.door import Door
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.lifeline import Lifeline
from taskbound.wiring.listening import BACKLOG, ApiPlace
from taskbound.wiring.log import open_log
from taskbound.wiring.ready import say_failed, say_ready
from taskbound.wiring.spans import open_spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.wire.envelope import Push


_log = logging.getLogger(__name__)
_FAILED: Final = 4
_FIRST: Final = 2.0
"""Seconds that the daemon may take to agree before it is served without its word (rule 5)."""
_KEY: Final = 32


def main(arguments: list[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 4 if it could not start or serve."""
    told = _read_arguments(arguments)
    open_log("api", told.log_level)
    os.umask(0o077)
    try:
        return asyncio.run(_serve(told))
    except (OSError, TaskboundError) as error:
        say_failed(told.ready_fd, tell_failure(error))
        return _FAILED


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-api", description=__doc__)
    add = parser.add_argument
    add("--daemon", required=True, help="the daemon's socket")
    add("--address", required=True, help="where to listen, ADDRESS:PORT; port 0 takes a free one")
    add("--origin", default="", help="how it is known outside, https://HOST[:PORT]")
    add("--certificate", default="", help="the certificate chain that is shown, PEM")
    add("--key", default="", help="its key, PEM")
    add("--client-roots", default="", help="authorities of client certificates, PEM")
    add("--proxies", default="", help="addresses or networks whose X-Forwarded-For is believed, by spaces")
    add("--burst", type=int, default=200, help="requests without proof that one address may make at once")
    add("--rate", type=int, default=100, help="and then so many a second")
    add("--traces", default="", help="where spans are sent by OTLP/HTTP, http://HOST:PORT")
    add(
        "--lifeline",
        action="store_true",
        help="exit when standard input closes",
    )
    add("--ready-fd", type=int, default=-1, help="where to write `ready`, or why not")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    told = parser.parse_args(arguments)
    if told.burst < 1 or told.rate < 1:
        parser.error("--burst and --rate are 1 at least")
    return told


async def _serve(told: argparse.Namespace) -> int:
    place = ApiPlace(
        address=told.address,
        origin=told.origin,
        certificate=told.certificate,
        key=told.key,
        client_roots=told.client_roots,
    )
    listening, files, origin = place.open(BACKLOG)
    address, port = listening.getsockname()[:2]
    url = f"{'http' if files is None else 'https'}://{format_address(address, port)}"
    spans = open_spans(told.traces, service="taskbound-api")
    link = Link(partial(_connect, Path(told.daemon)))
    server = Server(
        ServerDependencies(
            link=link,
            rates=Rates(burst=told.burst, each_second=float(told.rate), clock=time.monotonic),
            cursors=Cursors(secrets.token_bytes(_KEY)),
            bounds=Bounds(),
            proxies=Proxies(parse_networks(told.proxies, where="--proxies")),
            tracing=Tracing(None if spans is None else spans.take),
            origin=origin,
            hosts=hosts_of(origin, address, port),
        )
    )
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if told.lifeline:
        await loop.connect_read_pipe(lambda: Lifeline(over.set), sys.stdin)  # 4
    door = Door(listening, files, lambda: HttpConnection(server))
    agreement = Agreement(link, origin, believe=door.believe if files is not None else None)
    with suppress(TimeoutError):
        await asyncio.wait_for(agreement.once(), _FIRST)  # 5
    await door.open()
    loop.add_signal_handler(signal.SIGHUP, door.look)
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
    _log.info("the API listens on %s as %s", url, origin)
    say_ready(told.ready_fd)
    keeping = loop.create_task(agreement.keep())
    keeping.add_done_callback(lambda _: over.set())
    await over.wait()
    door.close()
    keeping.cancel()
    await server.close()
    if spans is not None:
        await asyncio.to_thread(spans.close)
    await asyncio.wait({keeping})
    if keeping.cancelled():
        return 0
    _log.error("it ends: %s", keeping.exception())  # 5
    return _FAILED


async def _connect(path: Path, lost: Callable[[], None]) -> AsyncClient:
    hello = Open(role="api", version=__version__)
    client, _ = await AsyncClient.connect(path, hello, pushed=_unheard, lost=lost)
    return client


def _unheard(push: Push) -> None:
    del push


if __name__ == "__main__":
    sys.exit(main())
