"""What the tests of servers behind a URL share: reaching one, calling it, waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import structs

from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.server import HttpServer, HttpStarter
from taskbound.adapters.upstream.mcp.http.waits import Waits
from taskbound.adapters.upstream.mcp.server import StepTimeouts
from taskbound.ports.upstream import UpstreamAnswer
from taskbound.wire.tool import ServerSpec, identity_of
from tests.peers import hearing
from tests.peers.rawhttp import Asked, Does, RawHttp, Say
from tests.waiting import others

DEADLINE = 20.0
QUICK = StepTimeouts(start=10.0, discover=2.0, listing=5.0, stop=1.0)
ERAS = {"legacy": "2025-11-25", "modern": "2026-07-28"}


class Events(hearing.Events):
    """The same, and its end is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def ended(self, reason: str, detail: str) -> None:
        super().ended(reason, detail)
        self.end.set_result(reason)


def on_call(does: Callable[[Asked, Say], Awaitable[object]]) -> Does:
    """What a server does with calls; all else it does as one should."""

    async def all_of_it(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        await does(asked, say)
        return True

    return all_of_it


async def reach(
    spec: ServerSpec,
    events: Events,
    *,
    era: str,
    waits: Waits | None = None,
    starter: HttpStarter | None = None,
) -> HttpServer:
    pinned = structs.replace(spec, era=era)
    start = starter or HttpStarter(patience=QUICK, waits=waits)
    return await start(identity_of(pinned, namespace="default"), era=era, events=events)


@contextlib.asynccontextmanager
async def reached(
    there: RawHttp, *, waits: Waits | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[HttpServer, Events]]:
    events = Events()
    spec = pin_url("x", there.url, headers=headers or {})
    server = await reach(spec, events, era=ERAS[there.era], waits=waits)
    try:
        yield server, events
    finally:
        await server.close()


async def answered(server: HttpServer, arguments: bytes = b"{}", *, tool: str = "work") -> UpstreamAnswer:
    found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
    server.call(tool, arguments, found.set_result)
    return await asyncio.wait_for(found, DEADLINE)


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not wanted():
            await others()
