"""A byte-level MCP client for tests: sends exact bytes, reads exact lines, never repairs anything.

    async with RawClient([sys.executable, "tests/peers/echo.py"], era="legacy") as client:
        await client.handshake()
        answer = await client.call("echo", b'{"text":"a"}')      # parsed: {"jsonrpc":…, "id":…, "result":…}
        await client.send(b'{"jsonrpc":"2.0","id":7,')           # exact bytes, no LF added
        await client.send(b'"method":"ping"}\\n')
        line = await client.read_line()                          # exact bytes without the LF
        rest = await client.finish()                             # EOF, then every line that still comes

Every wait has a deadline in seconds and raises `TimeoutError`. Leaving the block kills the process
and everything that it started. `speaking` does the handshake too; `Tap` is a FIFO that a peer logs to, so
that a test waits for an event instead of sleeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path


Era = Literal["legacy", "modern"]
Message = dict[str, Any]
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
DEADLINE = 45.0
_CHUNK = 1 << 16
_REAPED = 5.0
"""Seconds within which a process that was killed has ended."""
_META = (
    b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{},'
    b'"io.modelcontextprotocol/clientInfo":{"name":"rawclient","version":"1"}}'
)


class EndOfOutputError(Exception):
    """The peer closed its output; `rest` is what came after the last LF."""

    def __init__(self, rest: bytes) -> None:
        """Keep the unterminated rest."""
        super().__init__(f"end of output after {rest[:80]!r}")
        self.rest = rest


class _Lines:
    """Exact lines of a stream, split on LF alone, of any length."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._held = bytearray()

    async def next(self) -> bytes:
        searched = 0
        while (at := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            chunk = await self._stream.read(_CHUNK)
            if not chunk:
                raise EndOfOutputError(bytes(self._held))
            self._held += chunk
        line = bytes(self._held[:at])
        del self._held[: at + 1]
        return line

    async def exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            chunk = await self._stream.read(_CHUNK)
            if not chunk:
                raise EndOfOutputError(bytes(self._held))
            self._held += chunk
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


class RawClient:
    """One MCP server process, spoken to in bytes.

    Attributes:
        process: the started process.
        lines: every line that was read from it so far, exact, in order.
        stderr: what it wrote to standard error so far.
    """

    process: asyncio.subprocess.Process

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        era: Era = "legacy",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        """Describe the process; it starts when the block is entered.

        Args:
            command: program and arguments.
            era: how `handshake`, `request` and `call` speak.
            env: the whole environment; None passes on this process's.
            cwd: its working directory.
            deadline: seconds for each wait that names no other.
        """
        self.era: Era = era
        self.deadline = deadline
        self.lines: list[bytes] = []
        self.stderr = bytearray()
        self._command = [os.fspath(part) for part in command]
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._unclaimed: list[Message] = []
        self._ids = 0

    async def __aenter__(self) -> Self:
        """Start the process in a process group of its own."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._reader = _Lines(self.process.stdout)
        self._drain = asyncio.create_task(self._collect_stderr())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill the process and all of its group, and reap it."""
        self.kill()
        self._drain.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._drain
        if self.process.stdin is not None:
            self.process.stdin.close()
        with contextlib.suppress(TimeoutError):  # closing would reap it, and nobody would know how it ended
            async with asyncio.timeout(_REAPED):
                await self.process.wait()
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()
        await self.process.wait()

    async def _collect_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(_CHUNK):
            self.stderr += chunk

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    async def exited(self, deadline: float | None = None) -> int:
        """The exit status, once there is one and `stderr` is whole; negative for a signal."""
        async with asyncio.timeout(deadline or self.deadline):
            await asyncio.shield(self._drain)
            return await self.process.wait()

    # --- bytes ---------------------------------------------------------------------------------

    async def send(self, raw: bytes) -> None:
        """Write exactly these bytes; returns when they are handed to the pipe."""
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        await asyncio.wait_for(self.process.stdin.drain(), self.deadline)

    async def send_line(self, raw: bytes) -> None:
        """Write these bytes and one LF."""
        await self.send(raw + b"\n")

    async def close_input(self) -> None:
        """Let the peer see the end of its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await self.process.stdin.wait_closed()

    async def read_line(self, deadline: float | None = None) -> bytes:
        """The next line, exact, without its LF.

        Raises:
            EndOfOutputError: the output ended first.
            TimeoutError: no whole line came before the deadline.
        """
        line = await asyncio.wait_for(self._reader.next(), deadline or self.deadline)
        self.lines.append(line)
        return line

    async def read_bytes(self, count: int, deadline: float | None = None) -> bytes:
        """The next `count` bytes, whatever lines they are of; for output that has no end.

        Raises:
            EndOfOutputError: the output ended first.
            TimeoutError: they did not come before the deadline.
        """
        return await asyncio.wait_for(self._reader.exactly(count), deadline or self.deadline)

    async def finish(self, deadline: float | None = None) -> list[bytes]:
        """Close the input and return every line that still comes until the output ends.

        This is how to prove that *no* answer came: nothing is left that could still come.
        """
        await self.close_input()
        rest: list[bytes] = []
        try:
            while True:
                rest.append(await self.read_line(deadline))
        except EndOfOutputError as end:
            if end.rest:
                rest.append(end.rest)
        return rest

    # --- messages ------------------------------------------------------------------------------

    def next_id(self) -> bytes:
        """A fresh integer id as JSON bytes."""
        self._ids += 1
        return str(self._ids).encode()

    async def read_message(self, deadline: float | None = None) -> Message:
        """The next line, parsed; earlier messages that nobody claimed come first."""
        if self._unclaimed:
            return self._unclaimed.pop(0)
        message = json.loads(await self.read_line(deadline))
        assert isinstance(message, dict), message
        return message

    async def wait_for(self, wanted: Callable[[Message], bool], deadline: float | None = None) -> Message:
        """The first message for which `wanted` is true; others stay for later reads."""
        for at, earlier in enumerate(self._unclaimed):
            if wanted(earlier):
                return self._unclaimed.pop(at)
        async with asyncio.timeout(deadline or self.deadline):
            while True:
                message: Message = json.loads(await self.read_line(deadline))
                if wanted(message):
                    return message
                self._unclaimed.append(message)

    async def answer_to(self, request: bytes, deadline: float | None = None) -> Message:
        """The answer (result or error) to the request whose id is this JSON."""
        wanted = json.loads(request)

        def answers(message: Message) -> bool:
            found = message.get("id")
            return "method" not in message and type(found) is type(wanted) and found == wanted

        return await self.wait_for(answers, deadline)

    def request_bytes(self, method: str, params: bytes | None = None, *, request: bytes) -> bytes:
        """One request line in this client's era, without LF; `params` is a JSON object."""
        if self.era == "modern":
            body = (params or b"{}").strip()
            inner = body[1:-1].strip()
            params = b'{"_meta":' + _META + (b"," + inner if inner else b"") + b"}"
        head = b'{"jsonrpc":"2.0","id":' + request + b',"method":' + json.dumps(method).encode()
        return head + (b',"params":' + params if params is not None else b"") + b"}"

    def call_bytes(self, name: str, arguments: bytes = b"{}", *, request: bytes) -> bytes:
        """One `tools/call` line in this client's era with exactly these argument bytes, without LF."""
        params = b'{"name":' + json.dumps(name).encode() + b',"arguments":' + arguments + b"}"
        return self.request_bytes("tools/call", params, request=request)

    async def request(
        self, method: str, params: bytes | None = None, deadline: float | None = None
    ) -> Message:
        """Send one request and return its answer."""
        request = self.next_id()
        await self.send_line(self.request_bytes(method, params, request=request))
        return await self.answer_to(request, deadline)

    async def call(self, name: str, arguments: bytes = b"{}", deadline: float | None = None) -> Message:
        """Call a tool with exactly these argument bytes and return the answer."""
        request = await self.start_call(name, arguments)
        return await self.answer_to(request, deadline)

    async def start_call(self, name: str, arguments: bytes = b"{}") -> bytes:
        """Send a call and return its id at once, for `answer_to` or `cancel`."""
        request = self.next_id()
        await self.send_line(self.call_bytes(name, arguments, request=request))
        return request

    async def notify(self, method: str, params: bytes | None = None) -> None:
        """Send one notification."""
        tail = b',"params":' + params if params is not None else b""
        await self.send_line(b'{"jsonrpc":"2.0","method":' + json.dumps(method).encode() + tail + b"}")

    async def cancel(self, request: bytes, reason: str = "test") -> None:
        """Send the cancellation of a request."""
        params = b'{"requestId":' + request + b',"reason":' + json.dumps(reason).encode() + b"}"
        await self.notify("notifications/cancelled", params)

    async def handshake(self, **capabilities: Message) -> Message:
        """Open the connection as this era does, and return the result.

        Legacy: `initialize` with these capabilities, `notifications/initialized`. Modern: `server/discover`.
        """
        if self.era == "modern":
            return result_of(await self.request("server/discover"))
        who = {"name": "rawclient", "version": "1"}
        params = {"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": who}
        answer = await self.request("initialize", json.dumps(params).encode())
        await self.notify("notifications/initialized")
        return result_of(answer)

    async def tools(self) -> list[Message]:
        """Every tool of every page of `tools/list`."""
        found: list[Message] = []
        params: bytes | None = None
        while True:
            result = (await self.request("tools/list", params))["result"]
            found += result["tools"]
            if "nextCursor" not in result:
                return found
            params = json.dumps({"cursor": result["nextCursor"]}).encode()


@contextlib.asynccontextmanager
async def speaking(command: Sequence[str], era: Era = "legacy") -> AsyncIterator[RawClient]:
    """A client whose handshake is done."""
    async with RawClient(command, era=era) as client:
        await client.handshake()
        yield client


def result_of(answer: Message) -> Message:
    """The result of an answer; fails with the whole answer when there is none."""
    assert isinstance(answer.get("result"), dict), answer
    result: Message = answer["result"]
    return result


def text_of(answer: Message) -> str:
    """The first text of the result of a call."""
    text: str = result_of(answer)["content"][0]["text"]
    return text


class Tap:
    """A FIFO that a peer writes its log to, read line by line with a deadline.

    async with Tap(tmp_path / "tap") as tap:
        ... start `echo.py --log tap.path` ...
        line = await tap.read_line()
    """

    def __init__(self, path: Path, *, deadline: float = DEADLINE) -> None:
        """Make the FIFO at `path`."""
        os.mkfifo(path)
        self.path = path
        self.deadline = deadline

    async def __aenter__(self) -> Self:
        """Open the FIFO for reading, and for writing so that no writer ever waits or ends it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
        )
        self._reader = _Lines(stream)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the FIFO."""
        self._transport.close()

    async def read_line(self, deadline: float | None = None) -> bytes:
        """The next line that the peer logged, without its LF."""
        return await asyncio.wait_for(self._reader.next(), deadline or self.deadline)

    async def wait_for(self, wanted: bytes, deadline: float | None = None) -> bytes:
        """The next line that contains `wanted`; lines before it are dropped."""
        async with asyncio.timeout(deadline or self.deadline):
            while wanted not in (line := await self.read_line(deadline)):
                pass
            return line
