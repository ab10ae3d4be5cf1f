"""A client of bytes, for messages that no MCP SDK would send; it speaks as little of MCP as it must."""

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
    """One connection to an MCP server on stdio; a context that ends the server when it is left."""

    def __init__(self, command: Sequence[str], *, errors: TextIO) -> None:
        """Prepare; entering the context starts the server.

        Args:
            command: Its command line.
            errors: Where its standard error goes.
        """
        self._command = command
        self._errors = errors
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start the server and shake hands (MCP 2025-11-25)."""
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
        """Close the server's input, and wait for its end."""
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
        """The message that answers these bytes.

        Args:
            raw: What to send, exactly, its line feeds included.
            number: The id that the answer has; None takes the next message, whatever its id.

        Raises:
            ConnectionError: The server ended.
            TimeoutError: It did not answer in time.
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
