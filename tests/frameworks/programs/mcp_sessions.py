"""A program that calls an MCP server by a client session of the official SDK."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client

from taskbound.sdk.tool.mcp import GuardedSession
from tests.frameworks.programs.speaking import There, serve

FOLDER = Path(__file__).parents[3]


@asynccontextmanager
async def session_to(log: Path | str, *more: str, server: str = "desk") -> AsyncIterator[ClientSession]:
    told = StdioServerParameters(
        command=sys.executable,
        args=["-m", f"tests.frameworks.programs.{server}", str(log), *more],
        cwd=FOLDER,
    )
    async with stdio_client(told) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def answer(result: Any) -> list[Any]:
    return [" ".join(one.text for one in result.content), result.is_error]


async def listed(there: There) -> Any:
    """What the server lists, for a person who pins it."""
    async with session_to(there.socket.with_name("calls")) as session:
        guarded = GuardedSession(session, server="desk", client=there.async_client())
        return [{**one, "name": one["name"].removeprefix("desk__")} for one in await guarded.list_tools()]


async def called(there: There) -> Any:
    log = there.socket.with_name("calls")
    found = []
    async with session_to(log) as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        for tool, said in (
            ("desk__look", {"at": "x", "times": 2}),
            ("desk__look", {"at": "forbidden"}),
            ("desk__look", {"at": "x", "more": "y"}),
            ("desk__other", {"at": "x"}),
            ("desk__fail", {"at": "x"}),
        ):
            found.append(answer(await guarded.call_tool(tool, said)))
        for _ in range(2):
            again = await guarded.call_tool("desk__look", {"at": "k"}, idempotency_key="monday")
            found.append(answer(again))
    return {"answers": found, "calls": log.read_text().splitlines()}


async def lost(there: There) -> Any:
    """A call whose time runs out, and a server that ends in the middle of one."""
    log = there.socket.with_name("calls")
    found = []
    async with there.async_client() as client:
        for tool in ("desk__hang", "desk__leave"):
            async with session_to(log) as session:
                guarded = GuardedSession(session, server="desk", client=client)
                try:
                    await guarded.call_tool(tool, {"at": "x"}, read_timeout_seconds=1.0)
                except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
                    found.append(type(error).__name__)
    return {"raised": found, "calls": log.read_text().splitlines()}


async def changed(there: There) -> Any:
    """A server that describes its tool in other words than those that are pinned."""
    log = there.socket.with_name("calls")
    async with session_to(log, "changed") as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        found = answer(await guarded.call_tool("desk__look", {"at": "x"}))
    return {"answer": found, "calls": log.exists() and log.read_text().splitlines()}


async def listed_anew(there: There) -> Any:
    """A server that describes its tool in other words once it was called, and is listed again."""
    log = there.socket.with_name("calls")
    found = []
    async with session_to(log, "later") as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        for _ in range(2):
            offered = {one["name"]: one["description"] for one in await guarded.list_tools()}
            found.append([offered["desk__look"], *answer(await guarded.call_tool("desk__look", {"at": "x"}))])
    return {"answers": found, "calls": log.read_text().splitlines()}


async def altered(there: There) -> Any:
    """A program that alters what it was given of the list, as some do for their model."""
    log = there.socket.with_name("calls")
    async with session_to(log) as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        for one in await guarded.list_tools():
            one["inputSchema"]["properties"].clear()
        found = answer(await guarded.call_tool("desk__look", {"at": "x"}))
    return {"answer": found, "calls": log.read_text().splitlines()}


async def paged(there: There) -> Any:
    """A server that lists on three pages."""
    async with session_to("3", server="pages") as session:
        guarded = GuardedSession(session, server="many", client=there.async_client())
        return [one["name"] for one in await guarded.list_tools()]


async def elsewhere(there: There) -> Any:
    """A client of another event loop: the program's error, of which a model reads nothing."""
    log = there.socket.with_name("calls")
    async with session_to(log) as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        found = [answer(await guarded.call_tool("desk__look", {"at": "x"}))]
        try:
            call = guarded.call_tool("desk__look", {"at": "x"})
            found.append(answer(await asyncio.to_thread(asyncio.run, call)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            found.append([type(error).__name__])
    return {"answers": found, "calls": log.read_text().splitlines()}


async def cancelled(there: There) -> Any:
    log = there.socket.with_name("calls")
    async with session_to(log) as session, there.async_client() as client:
        guarded = GuardedSession(session, server="desk", client=client)
        running = asyncio.ensure_future(guarded.call_tool("desk__hang", {"at": "x"}))
        while not (log.exists() and "hang" in log.read_text()):
            await asyncio.to_thread(there.asks, "waiting")
        running.cancel()
        found = await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(there.asks, "cancelled")
    return [type(one).__name__ for one in found]


async def guide(there: There) -> Any:
    names: dict[str, Any] = {"client": there.async_client(), "session_to": session_to}
    exec(compile(there.text, "guide", "exec"), names)  # noqa: S102 - our own page
    async with session_to(there.socket.with_name("calls")) as session:
        return answer(await names["look"](session))


if __name__ == "__main__":
    known = (listed, called, lost, changed, listed_anew, altered, paged, elsewhere, cancelled, guide)
    serve({one.__name__: one for one in known})
