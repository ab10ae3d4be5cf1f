"""The agent's side: an MCP client over stdio, and a client that sends raw bytes."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self, TextIO

import mcp_types
from mcp import ClientSession, MCPError, StdioServerParameters, stdio_client

from taskbound.core.dataclass import dataclass
from taskbound.ports.process import send_signal, started_of
from taskbound.wire.mcp.message import DECISION_KEY, IDEMPOTENCY_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from taskbound.core.action import JsonValue


_PATIENCE: Final = 30.0
# The SDK does not tell the process's id; the shell writes down its own and becomes the gateway.
_NOTED: Final = 'printf %s "$$" >"$1"; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The client's answer for one call."""

    error: bool
    code: str
    """Of the gateway's refusal; empty for an answer of the server's."""
    text: str
    structured: object


class Agent:
    """One connection, opened and closed by the same asyncio task, but not in one block."""

    def __init__(self, gateway: Sequence[str], *, note: Path, errors: TextIO) -> None:
        self._server = StdioServerParameters(
            command="/bin/sh", args=["-c", _NOTED, "sh", str(note), *gateway], cwd="/"
        )
        self._note = note
        self._errors = errors
        self._stack = AsyncExitStack()
        self._session: ClientSession | None = None
        self._started = 0

    async def open(self) -> None:
        try:
            read, write = await self._stack.enter_async_context(stdio_client(self._server, self._errors))
            info = mcp_types.Implementation(name="taskbound-demo", version="1")
            session = ClientSession(read, write, _PATIENCE, client_info=info)
            self._session = await self._stack.enter_async_context(session)
            await self._session.initialize()
            self._started = started_of(self._number())  # it answers, so the number is its own
        except BaseException:
            await self._stack.aclose()
            raise

    async def close(self) -> None:
        self._session = None
        await self._stack.aclose()

    @property
    def session(self) -> ClientSession:
        if self._session is None:
            raise ConnectionError("the connection is not open")
        return self._session

    async def tools(self) -> tuple[str, ...]:
        return tuple(sorted(one.name for one in (await self.session.list_tools()).tools))

    async def call(self, tool: str, arguments: Mapping[str, JsonValue], *, key: str = "") -> Answered:
        meta = mcp_types.RequestParamsMeta({IDEMPOTENCY_KEY: key}) if key else None  # type: ignore[typeddict-unknown-key]  # an open map
        try:
            result = await self.session.call_tool(tool, dict(arguments), meta=meta)
        except MCPError as error:
            return Answered(error=True, code=_code_of(error.data), text=error.message, structured=None)
        text = "\n".join(one.text for one in result.content if isinstance(one, mcp_types.TextContent))
        decision = (result.meta or {}).get(DECISION_KEY)
        return Answered(
            error=result.is_error, code=_code_of(decision), text=text, structured=result.structured_content
        )

    def kill(self) -> int:
        number = self._number()
        send_signal((number, self._started), signal.SIGKILL)
        return number

    def _number(self) -> int:
        return int(self._note.read_text(encoding="ascii"))


def _code_of(data: object) -> str:
    code = data.get("code") if isinstance(data, dict) else None
    return code if isinstance(code, str) else ""


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
