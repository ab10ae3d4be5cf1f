"""The front before a real daemon in its real process, or beside a scripted one, and a client of raw sockets.

async with front(place) as there:
    token = there.token()
    answer = await there.call(token, "echo__echo", {"text": "a"})

async with near(tmp_path) as there:                      # in this process, before `ScriptedDaemon`
    answer = await there.call(TOKEN, "echo__echo", {"text": "a"})
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from weakref import WeakSet

from msgspec import structs

from taskbound import __version__
from taskbound.adapters.upstream.mcp.server import StdioStarter, StepTimeouts
from taskbound.sdk.client import AsyncClient
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.surfaces.gateway.http.door import DaemonLookup
from taskbound.surfaces.gateway.http.front import Front
from taskbound.surfaces.gateway.http.seat import FrontBounds
from taskbound.surfaces.gateway.link import Connect, Timings
from taskbound.surfaces.gateway.server import GatewayDependencies
from taskbound.surfaces.http.connection import HttpConnection
from taskbound.wire.action import Malformed
from taskbound.wire.connection import Open, Opened
from taskbound.wire.envelope import Push
from taskbound.wire.mcp.message import MODERN
from taskbound.wire.task import ShowTask, TaskDetail
from taskbound.wiring.address import hosts_of
from tests.holders import Holder, NotGiven
from tests.peers.daemon import ScriptedDaemon, rows_of
from tests.surfaces.gateway.bench import QUICK, probed
from tests.surfaces.gateway.real import Place
from tests.waiting import others

DEADLINE: Final = 30.0
RENEWED: Final = 40.0
"""Seconds after which a token is replaced by another one."""
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
TOKEN: Final = f"{'a' * 40}.{'s' * 43}"
OTHER: Final = f"{'b' * 40}.{'t' * 43}"
TASKS: Final = {TOKEN: "tsk_1", OTHER: "tsk_2"}
"""The tasks of the two, as the scripted daemon has it."""
BOTH: Final = "application/json, text/event-stream"
Json = dict[str, Any]


@dataclass
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    events: list[Json] = field(default_factory=list)

    @property
    def json(self) -> Json:
        """The document, or the last event."""
        if self.events:
            return self.events[-1]
        found: Json = json.loads(self.body)
        return found

    @property
    def code(self) -> str:
        """Which refusal it is; empty when it is none."""
        found: str = self.json.get("error", {}).get("data", {}).get("code", "") if self.body else ""
        return found

    @property
    def text(self) -> str:
        """The first text of a tool's result."""
        found: str = self.json["result"]["content"][0]["text"]
        return found


class Clock:
    """The loop's own, which goes on at once when a test says so."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._steady, self._passed = loop.time, 0.0
        loop.time = self  # type: ignore[method-assign]  # nothing that is waited for takes its time

    def __call__(self) -> float:
        return self._steady() + self._passed

    def pass_by(self, seconds: float) -> None:
        self._passed += seconds


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.patience = DEADLINE
        """Seconds for each wait."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        try:
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()
        finally:
            self.writer.transport.abort()  # also of who is cancelled meanwhile

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def head(self) -> Answer:
        """The head of an answer, whose body is still to come."""
        async with asyncio.timeout(self.patience):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        pairs = [line.split(":", 1) for line in lines]
        headers: dict[str, str] = {}
        for name, value in pairs:
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        return Answer(int(first.split()[1]), headers, b"")

    async def event(self) -> Json | None:
        """The next event of a stream in chunks; comments are passed over; None at its end."""
        async with asyncio.timeout(self.patience):
            while True:
                size = int((await self.reader.readline()).strip() or b"0", 16)
                data = await self.reader.readexactly(size)
                await self.reader.readline()
                if not size:
                    return None
                for line in data.splitlines():
                    if line.startswith(b"data: "):
                        found: Json = json.loads(line.removeprefix(b"data: "))
                        return found

    async def answer(self) -> Answer:
        """A whole answer."""
        found = await self.head()
        if "chunked" in found.headers.get("transfer-encoding", ""):
            while (one := await self.event()) is not None:
                found.events.append(one)
            found.body = b"events"
        elif int(found.headers.get("content-length", "0")):
            async with asyncio.timeout(self.patience):
                found.body = await self.reader.readexactly(int(found.headers["content-length"]))
        return found

    async def closed(self) -> bytes:
        """What came before the other side closed."""
        async with asyncio.timeout(self.patience):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


class Listening:
    """A front that listens."""

    port: int
    agent = "coder"
    wires: WeakSet[Wire]
    """The connections to it."""

    def shown(self, token: str, verb: str) -> dict[str, str]:
        """The headers that show a token."""
        del verb
        return {"Authorization": f"Bearer {token}"}

    def path_of(self, token: str) -> str:
        """The path of the gateway that a token is for."""
        del token
        return f"/mcp/{self.agent}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/mcp/{self.agent}"

    async def wire(self) -> Wire:
        made = Wire(*await asyncio.open_connection("127.0.0.1", self.port, limit=64 * 1_048_576))
        self.wires.add(made)
        return made

    def hang_up(self) -> None:
        """End what is connected still: a test that failed, or ended early, may have left it to nobody."""
        for one in list(self.wires):
            one.writer.transport.abort()

    def raw(
        self,
        token: str,
        body: bytes,
        *,
        verb: str = "POST",
        path: str = "",
        length: int | None = None,
        without: tuple[str, ...] = (),
        **headers: str,
    ) -> bytes:
        """The bytes of a request; a keyword `Mcp_Name` is the header `Mcp-Name`."""
        told = {
            "Host": self.host,
            **self.shown(token, verb),
            "Content-Type": "application/json",
            "Accept": BOTH,
            "Content-Length": str(len(body) if length is None else length),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in told.items() if name not in without]
        first = f"{verb} {path or self.path_of(token)} HTTP/1.1"
        return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body

    async def send(self, raw: bytes) -> Answer:
        """The answer to these bytes, on a connection of their own."""
        async with await self.wire() as wire:
            wire.send(raw)
            return await wire.answer()

    def modern(self, token: str, message: Json, **headers: str) -> bytes:
        """A request of 2026-07-28, with the headers that it has to have."""
        params = {"_meta": META} | message.get("params", {})
        about = params.get("name", params.get("uri"))
        told = {"MCP_Protocol_Version": MODERN, "Mcp_Method": message["method"]}
        if about is not None:
            told["Mcp_Name"] = about
        body = json.dumps({"jsonrpc": "2.0", "id": 1} | message | {"params": params}).encode()
        more: Json = told | headers
        return self.raw(token, body, **more)

    def calling(
        self,
        token: str,
        tool: str,
        arguments: Json,
        id: int | str = 1,  # noqa: A002 -- MCP's word
        meta: Json = META,
        **headers: str,
    ) -> bytes:
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        return self.modern(token, {"id": id, "method": "tools/call", "params": params}, **headers)

    async def call(self, token: str, tool: str, arguments: Json, **headers: str) -> Answer:
        more: Json = headers
        return await self.send(self.calling(token, tool, arguments, **more))

    def legacy(self, token: str, message: Json, session: str = "", **headers: str) -> bytes:
        told = {"Mcp_Session_Id": session, "MCP_Protocol_Version": "2025-11-25"} if session else {}
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        more: Json = told | headers
        return self.raw(token, body, **more)

    async def initialize(self, token: str, **capabilities: Json) -> str:
        """The id of a new session of a client with these capabilities."""
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "raw", "version": "1"},
        }
        found = await self.send(self.legacy(token, {"id": 0, "method": "initialize", "params": params}))
        assert found.status == 200, found
        return found.headers["mcp-session-id"]


@dataclass
class _Holding:
    holder: Holder
    task: str
    text: str
    since: float


@dataclass
class Fronted(Listening):
    """A process of its own."""

    place: Place
    port: int
    process: asyncio.subprocess.Process

    _held: dict[str, _Holding] = field(default_factory=dict)
    wires: WeakSet[Wire] = field(default_factory=WeakSet)

    def token(self, task: str = "") -> str:
        """A token of a task; what is sent with it is sent with one that is renewed in time."""
        task = task or self.place.task
        agent = self.place.client.ask(ShowTask(task=task), TaskDetail).row.agent
        holder = Holder(self.place.home, agent)
        text = holder.token(task)
        self._held[text] = _Holding(holder, task, text, time.monotonic())
        return text

    def path_of(self, token: str) -> str:
        held = self._held.get(token)
        return super().path_of(token) if held is None else f"/mcp/{held.holder.agent}"

    def shown(self, token: str, verb: str) -> dict[str, str]:
        held = self._held.get(token)
        if held is None:
            return super().shown(token, verb)
        if time.monotonic() - held.since > RENEWED:
            with contextlib.suppress(OSError, NotGiven):  # there may be no daemon just now: the next one asks
                held.text, held.since = held.holder.token(held.task), time.monotonic()
        return held.holder.shown(held.text, verb)


@dataclass
class Near(Listening):
    """One in this process."""

    front: Front
    daemon: ScriptedDaemon
    port: int = 0
    wires: WeakSet[Wire] = field(default_factory=WeakSet)

    @property
    def refused(self) -> list[str]:
        """The codes of what was told to the daemon as malformed, in order."""
        return [one.code for one in self.daemon.asks if isinstance(one, Malformed)]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not true():
                await others()


@contextlib.asynccontextmanager
async def near(
    tmp_path: Path,
    command: Sequence[str] = (),
    *,
    timings: Timings = QUICK,
    era: str = "",
    asks: Iterable[str] = (),
    **bounds: float,
) -> AsyncIterator[Near]:
    """A front before a scripted daemon, with one server if there is a command, which may ask so."""
    specs, rows = [], []
    if command:
        spec, found = await probed("echo", command, tmp_path, era=era)
        specs, rows = [spec], rows_of(spec, found.definitions, (*found.methods, *sorted(asks)))
    async with ScriptedDaemon(tmp_path / "d.sock", servers=specs, tools=rows) as daemon:

        def connect(hello: Open) -> Connect:
            async def reach(
                *, resume: str, pushed: Callable[[Push], None], lost: Callable[[], None]
            ) -> tuple[AsyncClient, Opened]:
                opening = structs.replace(hello, resume=resume)
                return await AsyncClient.connect(daemon.path, opening, pushed=pushed, lost=lost)

            return reach

        def seat(agent: str, token: str) -> Connect:
            return connect(Open(role="gateway", version=__version__, agent=agent, token=token))

        daemon.tasks = TASKS
        own = connect(Open(role="front", version=__version__, origin=DEFAULT_GATEWAY))
        door = DaemonLookup(DEFAULT_GATEWAY, own, seat, there=own, certified=lambda: False)
        starter = StdioStarter(patience=StepTimeouts(start=30.0, stop=0.3))
        plugs = GatewayDependencies(connect=own, start=starter, now=lambda: 1_000_000, timings=timings)
        given: dict[str, Any] = bounds
        served = Front(plugs, door, FrontBounds(**given), hosts=frozenset())
        loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)  # as the process makes it
        server = await loop.create_server(lambda: HttpConnection(served), sock=listening, backlog=1024)
        there = Near(front=served, daemon=daemon, port=server.sockets[0].getsockname()[1])
        served.hosts = hosts_of(DEFAULT_GATEWAY, "127.0.0.1", there.port)
        try:
            yield there
        finally:
            there.hang_up()
            server.close()
            await served.close()


@contextlib.asynccontextmanager
async def front(place: Place, *, hold: int = 0, before: str = "", **bounds: float) -> AsyncIterator[Fronted]:
    """A front of this daemon, with other bounds where a test is about their length.

    What stands in `before` is run in its process first: a fault that a test of tests plants there.
    """
    script = (
        "import os, sys\nfrom functools import partial\nfrom taskbound.wiring import front, gateway\n"
        f"os.environ['TASKBOUND_HOLD_SECONDS'] = '{hold}'\n"
        f"front.FrontBounds = partial(front.FrontBounds, **{bounds!r})\n{before}\n"
        "sys.exit(gateway.main(sys.argv[1:]))\n"
    )
    words = ["--listen", "127.0.0.1:0", "--home", str(place.home)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            line = (await process.stdout.readline()).decode()
        assert line.startswith(("listening on http://127.0.0.1:", "listening on https://127.0.0.1:")), line
        there = Fronted(place, int(line.rpartition(":")[2].removesuffix("/mcp\n")), process)
        try:
            yield there
        finally:
            there.hang_up()
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() in {0, -signal.SIGKILL}  # by itself, or by a test
