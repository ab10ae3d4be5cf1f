"""Gateways of one process: each line of its input is one question of one of them.

Run it: ``python asker.py SOCKET AGENT``. A line is a JSON array: ``[NUMBER, NAME, ASK]``, where the gateway
of this name is opened with its first question; ``[NUMBER, NAME, null]`` ends it. Its answer is
``[NUMBER, ANSWER]``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from taskbound import __version__
from taskbound.sdk.client import AsyncClient
from taskbound.wire.connection import Open
from taskbound.wire.envelope import Ask

_line = msgspec.json.Decoder(tuple[int, str, Ask | None])


async def main(path: Path, agent: str) -> None:
    """Ask until there is nothing more to read."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    clients: dict[str, AsyncClient] = {}
    tasks: set[asyncio.Task[None]] = set()

    def say(number: int, answer: Any) -> None:
        sys.stdout.buffer.write(msgspec.json.encode([number, answer]) + b"\n")
        sys.stdout.buffer.flush()

    async def ask(number: int, name: str, asked: Ask) -> None:
        say(number, await clients[name].ask_any(asked))

    while line := await reader.readline():
        number, name, asked = _line.decode(line)
        if asked is None:
            clients.pop(name).close()
            say(number, None)
            continue
        if name not in clients:
            hello = Open(role="gateway", version=__version__, agent=agent)
            clients[name], _ = await AsyncClient.connect(
                path, hello, pushed=lambda _: None, lost=lambda: None
            )
        task = asyncio.create_task(ask(number, name, asked))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
