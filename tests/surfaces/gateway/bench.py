"""A gateway on a bench: real pipes to a raw client, real upstream processes, a daemon that a test scripts.

    async with bench(tmp_path, echo(log=log)) as b:
        answer = await b.call("echo__echo", {"text": "a"})

The gateway runs in the test's own loop, so that a test can stop it at any step; `real.py`
beside it has the same over the real process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Self

from msgspec import structs

from taskbound import __version__
from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.http.probe import probe as probe_url
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.probe import pin_server, probe
from taskbound.adapters.upstream.mcp.server import StdioStarter, StepTimeouts
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.gateway.link import Timings
from taskbound.surfaces.gateway.server import Gateway, GatewayDependencies
from taskbound.wire.connection import Open
from taskbound.wire.mcp.message import DECISION_KEY, MODERN
from tests.peers.commands import faulty
from tests.peers.daemon import ScriptedDaemon, rows_of
from tests.peers.rawclient import Tap
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from taskbound.adapters.upstream.mcp.probe import Probe
    from taskbound.ports.upstream import StartUpstream
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.wire.connection import Opened
    from taskbound.wire.envelope import Push
    from taskbound.wire.tool import ServerSpec


DEADLINE = 20.0
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
QUICK = Timings(grace=1.0, ping=0.2, cancel=0.15, hold=0.0, leave=5.0)
"""Short bounds, so that a test of a bound does not wait for the design's."""
Message = dict[str, Any]


async def pinned(
    name: str, command: Sequence[str], directory: Path, *, era: str = ""
) -> tuple[ServerSpec, tuple[bytes, ...]]:
    """A server pinned as a person would, with what it lists; `era` overrules what the probe found."""
    spec, found = await probed(name, command, directory, era=era)
    return spec, found.definitions


async def probed(
    name: str, command: Sequence[str], directory: Path, *, era: str = ""
) -> tuple[ServerSpec, Probe]:
    """The same, with all that the probe found.

    A command that is one URL is a server that is reached there.
    """
    patience = StepTimeouts(discover=5.0, stop=0.5)
    if command[0].startswith("http"):
        spec = pin_url(name, command[0], headers={})
        found = await probe_url(spec, patience=patience)
    else:
        spec = pin_server(name, command, environment={}, directory=str(directory))
        found = await probe(spec, patience=patience)
    return structs.replace(spec, era=era or found.era, logs=found.logs), found


class Bench:
    """One gateway with its client's ends of the pipes."""

    def __init__(
        self,
        daemon: ScriptedDaemon,
        *,
        timings: Timings = QUICK,
        patience: StepTimeouts | None = None,
        start: StartUpstream | None = None,
    ) -> None:
        self.daemon = daemon
        self.lines: list[bytes] = []
        self.now = 1_000_000
        self.starter = StdioStarter(patience=patience or StepTimeouts(start=10.0, stop=0.3))
        plugs = GatewayDependencies(
            connect=self._connect, start=start or self.starter, now=lambda: self.now, timings=timings
        )
        self.gateway = Gateway(plugs)
        self._ids = 0
        self._held = bytearray()
        self._unclaimed: list[Message] = []
        self._to: int = -1

    async def _connect(
        self, *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> tuple[AsyncClient, Opened]:
        hello = Open(role="gateway", version=__version__, agent="coder", resume=resume)
        return await AsyncClient.connect(self.daemon.path, hello, pushed=pushed, lost=lost)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        reading, self._to = os.pipe()
        self._from, writing = os.pipe()
        self._stream = asyncio.StreamReader()
        await loop.connect_write_pipe(
            lambda: self.gateway.pipes.outgoing, os.fdopen(writing, "wb", buffering=0)
        )
        await loop.connect_read_pipe(
            lambda: self.gateway.pipes.incoming, os.fdopen(reading, "rb", buffering=0)
        )
        self._reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._stream), os.fdopen(self._from, "rb", buffering=0)
        )
        os.set_blocking(self._to, False)
        self.serving = loop.create_task(self.gateway.serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_input()
        self._reading.close()
        await asyncio.wait_for(self.serving, DEADLINE)

    # --- bytes -----------------------------------------------------------------------------------

    async def send(self, raw: bytes) -> None:
        """Write exactly these bytes."""
        view = memoryview(raw)
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                await asyncio.sleep(0)

    def close_input(self) -> None:
        """Let the gateway see the end of its input."""
        if self._to >= 0:
            os.close(self._to)
            self._to = -1

    def stop_reading(self) -> None:
        """Read nothing of what the gateway writes."""
        self._reading.pause_reading()

    def read_again(self) -> None:
        """Read on."""
        self._reading.resume_reading()

    async def read_line(self) -> bytes:
        """The next line, exact, without its line feed."""
        line = await asyncio.wait_for(self._line(), DEADLINE)
        self.lines.append(line)
        return line

    async def _line(self) -> bytes:
        while (at := self._held.find(b"\n")) < 0:
            chunk = await self._stream.read(1 << 16)
            if not chunk:
                raise EOFError(bytes(self._held))
            self._held += chunk
        line = bytes(self._held[:at])
        del self._held[: at + 1]
        return line

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Let the gateway go on until something is so."""
        async with asyncio.timeout(DEADLINE):
            while not wanted():
                await others()

    def running(self, name: str) -> ServerHandle:
        """The gateway's own record of a server."""
        return next(one for one in self.gateway._servers._all if one.spec.name == name)  # noqa: SLF001 -- to see it end

    async def finish(self) -> list[bytes]:
        """Close the input and return every line that still comes."""
        self.close_input()
        rest: list[bytes] = []
        with contextlib.suppress(EOFError):
            while True:
                rest.append(await self.read_line())
        await asyncio.wait_for(asyncio.shield(self.serving), DEADLINE)
        return rest

    # --- messages --------------------------------------------------------------------------------

    async def wait_for(self, wanted: Callable[[Message], bool]) -> Message:
        """The first message for which `wanted` is true; others stay for later."""
        for at, message in enumerate(self._unclaimed):
            if wanted(message):
                return self._unclaimed.pop(at)
        while True:
            message = json.loads(await self.read_line())
            if wanted(message):
                return message  # type: ignore[no-any-return]  # json gives any
            self._unclaimed.append(message)

    async def answer_to(self, request: object) -> Message:
        """The answer to a request, by its id."""
        return await self.wait_for(lambda one: "method" not in one and one.get("id") == request)

    async def notified(self, method: str) -> Message:
        """The next notification of this method."""
        return await self.wait_for(lambda one: one.get("method") == method)

    async def start(self, method: str, params: Message | None = None, *, modern: bool = False) -> int:
        """Send a request and return its id at once."""
        self._ids += 1
        body: Message = {"jsonrpc": "2.0", "id": self._ids, "method": method}
        if modern:
            params = {**(params or {}), "_meta": {**META, **(params or {}).get("_meta", {})}}
        if params is not None:
            body["params"] = params
        await self.send(json.dumps(body).encode() + b"\n")
        return self._ids

    async def request(self, method: str, params: Message | None = None, *, modern: bool = False) -> Message:
        """Send a request and return its answer."""
        return await self.answer_to(await self.start(method, params, modern=modern))

    async def start_call(self, tool: str, arguments: Message | None = None, *, modern: bool = False) -> int:
        """Send a call and return its id at once."""
        params = {"name": tool, "arguments": arguments or {}}
        return await self.start("tools/call", params, modern=modern)

    async def call(self, tool: str, arguments: Message | None = None, *, modern: bool = False) -> Message:
        """Make a call and return its answer."""
        return await self.answer_to(await self.start_call(tool, arguments, modern=modern))

    async def notify(self, method: str, params: Message | None = None) -> None:
        """Send a notification."""
        body = {"jsonrpc": "2.0", "method": method} | ({"params": params} if params is not None else {})
        await self.send(json.dumps(body).encode() + b"\n")

    async def cancel(self, request: int) -> None:
        """Cancel a request."""
        await self.notify("notifications/cancelled", {"requestId": request, "reason": "test"})

    async def handshake(self, version: str = "2025-11-25", **capabilities: Message) -> Message:
        """Open the connection as a legacy client with these capabilities."""
        who = {"name": "bench", "version": "1"}
        answer = await self.request(
            "initialize", {"protocolVersion": version, "capabilities": capabilities, "clientInfo": who}
        )
        await self.notify("notifications/initialized")
        return answer


@contextlib.asynccontextmanager
async def bench(  # noqa: PLR0913 -- what a test may want to be otherwise
    tmp_path: Path,
    command: Sequence[str] = (),
    *,
    name: str = "echo",
    era: str = "",
    timings: Timings = QUICK,
    patience: StepTimeouts | None = None,
    handshake: bool = True,
) -> AsyncIterator[Bench]:
    """A gateway whose daemon offers one server and permits all of it; a legacy client has opened it."""
    specs, rows = [], []
    if command:
        spec, found = await probed(name, command, tmp_path, era=era)
        specs, rows = [spec], rows_of(spec, found.definitions, found.methods)
    async with (
        ScriptedDaemon(tmp_path / "d.sock", servers=specs, tools=rows) as daemon,
        Bench(daemon, timings=timings, patience=patience, start=_reaching(command)) as one,
    ):
        if handshake:
            await one.handshake()
        yield one


def _reaching(command: Sequence[str]) -> StartUpstream | None:
    """What reaches a server by its URL, when that is what the command is."""
    reached = command and command[0].startswith("http")
    return HttpStarter(patience=StepTimeouts(start=10.0, stop=0.5)) if reached else None


@contextlib.asynccontextmanager
async def hanging(tmp_path: Path, fault: str = "hangs") -> AsyncIterator[tuple[Bench, Tap, int]]:
    """A call that was sent to a server which does not answer it."""
    async with (
        Tap(tmp_path / "tap") as tap,
        bench(tmp_path, faulty(fault, log=tap.path), name="odd") as b,
    ):
        request = await b.start_call("odd__work", {"text": "canary"})
        await tap.wait_for(b'"tools/call"')
        yield b, tap, request


async def silence(b: Bench) -> None:
    """Nothing is answered beside a question of our own."""
    mark = await b.start("ping")
    while True:
        message = json.loads(await b.read_line())
        if message.get("id") == mark:
            return
        assert "method" in message, message


def reached(log: Path) -> list[Message]:
    """The calls that a server with this log was sent."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [message for line in lines if (message := json.loads(line)).get("method") == "tools/call"]


def text_of(answer: Message) -> str:
    """The first text of a call's result."""
    assert "result" in answer, answer
    text: str = answer["result"]["content"][0]["text"]
    return text


def decision_of(answer: Message) -> Message:
    """The structured reason in a refusal."""
    found: Message = answer["result"]["_meta"][DECISION_KEY]
    assert answer["result"]["isError"] is True
    return found


def code_of(answer: Message) -> str:
    """The stable word of a refusal or an error; `ok` when it is neither."""
    if "error" in answer:
        code: str = answer["error"]["data"]["code"]
        return code
    meta = answer["result"].get("_meta", {})
    return str(meta[DECISION_KEY]["code"]) if DECISION_KEY in meta else "ok"
