"""The server of `tasking.py` behind a URL: `RawHttp(does=tasks_over_http())`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.peers.rawhttp import dump
from tests.peers.tasking import Server

if TYPE_CHECKING:
    from tests.peers.rawhttp import Asked, Does, Say


def tasks_over_http(*, silent: bool = False) -> Does:
    """What takes over every request; the result of a task and its questions come on a stream."""
    server = Server(silent=silent)

    async def does(asked: Asked, say: Say) -> bool:
        if asked.verb != "POST" or "id" not in asked.message:
            if asked.verb == "POST":
                server.take(asked.message, lambda _: None)
            return False
        said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        server.take(asked.message, said.put_nowait)
        if not asked.method:
            return False
        streams = asked.method == "tasks/result"
        if streams:
            await say.stream()
        while True:
            one = await said.get()
            if "drops" in one or "dies" in one:
                say.reset()
                return True
            whole = one["raw"].encode() if "raw" in one else dump({"jsonrpc": "2.0", **one})
            if not streams:
                await say.answer(body=whole)
                return True
            await say.more(whole)
            if "method" not in one:
                say.end()
                return True

    return does
