"""A client that sends raw bytes, for messages that no MCP SDK would send."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import JsonValue


_PATIENCE: Final = 30.0
_ENDING: Final = 5.0
_LONGEST: Final = 4 * 1024 * 1024
_HELLO: Final = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}\n'
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
)


class RawClient:
    """One stdio connection to an MCP server; leaving the context ends the server."""

    def __init__(self, command: Sequence[str], *, errors: TextIO) -> None:
        self._command = command
        self._errors = errors
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            limit=_LONGEST,
            cwd="/",
        )
        await self.ask(_HELLO, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(_ENDING):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, raw: bytes, number: int | None) -> dict[str, JsonValue]:
        """Send these exact bytes, and return the answer with this id; None takes the next message.

        Raises ConnectionError if the server exits, TimeoutError if it doesn't answer.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConnectionError("the connection is not open")
        process.stdin.write(raw)
        await process.stdin.drain()
        async with asyncio.timeout(_PATIENCE):
            while True:
                line = await process.stdout.readline()
                if not line:
                    raise ConnectionError("the server ended without an answer")
                message = json.loads(line)
                if "method" not in message and (number is None or message.get("id") == number):
                    return dict(message)
