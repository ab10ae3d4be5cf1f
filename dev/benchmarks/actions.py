"""`/v1/actions` over HTTP: asked for with DPoP, decided and recorded durably; the outcome told the same way.

A real daemon, and the API's process before it (`api_echo.py`); TLS is off for all. *Echo* is the same body
with the same headers at the same process, read by the same reader of HTTP and given back: nothing is proven,
asked or written. *Ask* has a proof of its own for each request, made before the turn; the proof is used
durably, and then the action is decided and recorded durably, before the answer. *Outcome* is what came of
those actions, told with proofs of their own. *Evaluate* is one question by AuthZEN, with a proof of its own,
decided and recorded as an action is; nobody tells its outcome. *Ten* is a request about ten of them, a row
for each request. They take turns. So many connections have one request each. CPU
is that of API and daemon, a request; the signer has nothing to do. Client, API and daemon share the cores.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dev.benchmarks.api_echo import ECHO
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import micro, percentile, rate
from dev.benchmarks.speakers import processor_of
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, DeclareTool, ListTools, ServerSpec, ToolRows
from taskbound.wiring.home import find_socket, make_home
from tests.postgres import running
from tests.surfaces.network.asking import HOST, Asking
from tests.surfaces.network.serving import Api
from tests.token_world import ISSUER
from tests.wiring.running import AGENT, SCOPE, Running, client, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["measure_actions"]

_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_CLIENTS: Final = (1, 16, 64)
_P99: Final = 0.99
_PATIENCE: Final = 30.0
_UNPACED: Final = ("--asks-burst", "100000", "--asks-rate", "100000")
_WORKS: Final = ("echo", "ask", "outcome", "evaluate", "ten")
_BODY: Final = b'{"tool":"echo__say","arguments":{"text":"pay 120.50 to the order of bob"}}'
_SUBJECT: Final = b'"subject":{"type":"user","id":"alice"},"action":{"name":"read"}'
_EVALUATE: Final = b'{%b,"resource":{"type":"todo","id":"1"}}' % _SUBJECT
_TEN: Final = b'{%b,"evaluations":[%b]}' % (
    _SUBJECT,
    b",".join(b'{"resource":{"type":"todo","id":"%d"}}' % number for number in range(10)),
)
_READ: Final = {
    "name": "read",
    "inputSchema": {"type": "object", "properties": {"subject": {}, "resource": {}}},
    "annotations": {"readOnlyHint": True},
}
_READS: Final = {"grants": [{"tool": "todo__read", "others": "any"}]}
_OUTCOME: Final = b'{"outcome":"succeeded","answer":{"content":[{"type":"text","text":"done"}]}}'


@dataclass(slots=True)
class _Timed:
    """What was timed of one work at so many connections."""

    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Seconds of a request, one number a turn."""


class _Clients:
    """Connections, each with one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []

    def ask(self, requests: Sequence[bytes], *, at_once: int) -> tuple[list[float], list[bytes]]:
        """The wait for each answer, and the answers' bodies."""
        while len(self._open) < at_once:
            one = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(one)
        waits: list[float] = []
        bodies: list[bytes] = []
        left = iter(requests)
        poll = select.epoll()
        asked: dict[int, float] = {}
        by_number = {one.fileno(): one for one in self._open[:at_once]}
        for number, one in by_number.items():
            poll.register(number, select.EPOLLIN)
            if (request := next(left, None)) is not None:
                asked[number] = time.perf_counter()
                one.sendall(request)
        while asked:
            for number, _ in poll.poll(_PATIENCE):
                bodies.append(_answer(by_number[number]))
                waits.append(time.perf_counter() - asked.pop(number))
                if (request := next(left, None)) is not None:
                    asked[number] = time.perf_counter()
                    by_number[number].sendall(request)
        poll.close()
        return waits, bodies

    def close(self) -> None:
        """Close them."""
        for one in self._open:
            one.close()


def _answer(one: socket.socket) -> bytes:
    held = b""
    while (end := held.find(b"\r\n\r\n")) < 0:
        held += _more(one)
    head = held[:end].lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"a request was refused: {held[:600]!r}")
    size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(held) < end + 4 + size:
        held += _more(one)
    return held[end + 4 :]


def _more(one: socket.socket) -> bytes:
    found = one.recv(1 << 16)
    if not found:
        raise RuntimeError("the server closed a connection")
    return found


@contextmanager
def _api(home: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The API's process, and its port."""
    flags = ("--address", "127.0.0.1:0", "--origin", ISSUER, "--burst", "1000000", "--rate", "1000000")
    command = [sys.executable, "-m", "dev.benchmarks.api_echo", "--daemon", str(find_socket(home)), *flags]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the API has no pipe")
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(20)


class _Ground:
    """A daemon with an agent's task, and the API before it."""

    def __init__(self, folder: Path, stack: ExitStack, *flags: str) -> None:
        home = folder / "home"
        make_home(home)
        process: Running = stack.enter_context(daemon(home, *_UNPACED, "--issuer", ISSUER, *flags))
        api, port = stack.enter_context(_api(home, folder))
        there = Api(process=process, port=port, origin=ISSUER)
        self._asking = Asking(there, process, home, folder)
        self._clients = _Clients(port)
        stack.callback(self._clients.close)
        self._pids = (api.pid, process.process.pid)
        self._keys = count()
        self._read = _evaluated(self._asking)

    def turn(self, found: dict[tuple[str, int], _Timed], clients: int, pieces: int) -> None:
        """One turn of each work at so many connections."""
        token = self._asking.token()
        plain = [self._request(token, "/v1/actions", _BODY, key=ECHO) for _ in range(pieces)]
        self._timed(found["echo", clients], plain, clients)
        asks = [self._request(token, "/v1/actions", _BODY, key=f"k{next(self._keys)}") for _ in range(pieces)]
        bodies = self._timed(found["ask", clients], asks, clients)
        actions = [json.loads(one)["action"] for one in bodies]
        token = self._asking.token()
        told = [self._request(token, f"/v1/actions/{one}/outcome", _OUTCOME) for one in actions]
        self._timed(found["outcome", clients], told, clients)
        token = self._asking.token(subject_token=self._read)
        one = [self._request(token, "/access/v1/evaluation", _EVALUATE) for _ in range(pieces)]
        bodies = self._timed(found["evaluate", clients], one, clients)
        ten = [self._request(token, "/access/v1/evaluations", _TEN) for _ in range(pieces // 4)]
        bodies += self._timed(found["ten", clients], ten, clients)
        if any(b"false" in body for body in bodies):
            raise RuntimeError("an evaluation was denied")

    def _timed(self, timed: _Timed, requests: Sequence[bytes], clients: int) -> list[bytes]:
        before, began = processor_of(self._pids), time.perf_counter()
        waits, bodies = self._clients.ask(requests, at_once=clients)
        timed.rates.append(len(requests) / (time.perf_counter() - began))
        timed.processor.append((processor_of(self._pids) - before) / len(requests))
        timed.waits += waits
        return bodies

    def _request(self, token: str, target: str, body: bytes, *, key: str = "") -> bytes:
        proof = self._asking.dpop(target, "POST", token)
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Authorization: DPoP {token}\r\nDPoP: {proof}\r\nContent-Length: {len(body)}\r\n"
        )
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        return f"{head}\r\n".encode() + body


def _evaluated(asking: Asking) -> str:
    """A task that may ask about a tool whose outcome nobody tells."""
    scope = msgspec.Raw(json.dumps(_READS).encode())
    spec = ServerSpec(name="todo", url="https://todo.example/mcp")
    with client(asking.socket) as person:
        raw = msgspec.Raw(json.dumps(_READ).encode())
        person.ask(AddUpstream(spec=spec, definitions=(raw,), agents=(AGENT,)), Done)
        (row,) = person.ask(ListTools(server="todo"), ToolRows).rows
        said = DeclareTool(name=row.name, definition=row.definition, outcome="unwatched")
        person.ask(said, Done)
        known = msgspec.Raw(json.dumps({"grants": [*SCOPE["grants"], *_READS["grants"]]}).encode())
        person.ask(SetCeiling(name=AGENT, ceiling=known), Done)
        order = StartTask(agent=AGENT, purpose="to be asked about", seconds=3600, scope=scope)
        return person.ask(order, TaskDetail).row.task


def measure_actions(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (2, {1: 60, 16: 160, 64: 320}) if quick else (4, {1: 150, 16: 400, 64: 800})
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for store in ("SQLite", "PostgreSQL"):
        found = {(work, clients): _Timed() for clients in _CLIENTS for work in _WORKS}
        with tempfile.TemporaryDirectory(prefix="tb-") as folder, ExitStack() as stack:
            flags: tuple[str, ...] = ()
            if store == "PostgreSQL":
                server = stack.enter_context(running(memory=False))
                flags = ("--store", server.url(server.database()))
            ground = _Ground(Path(folder), stack, *flags)
            ground.turn({key: _Timed() for key in found}, 16, 64)
            for _ in range(turns):
                for clients in _CLIENTS:
                    ground.turn(found, clients, pieces[clients])
        for (work, clients), one in found.items():
            if work == "echo" and store != "SQLite":
                continue
            rows.append(_row(store, work, clients, one))
            numbers[f"{store} {work} {clients}"] = median(one.waits)
            numbers[f"{store} {work} {clients} rate"] = median(one.rates)
            numbers[f"{store} {work} {clients} cpu"] = median(one.processor)
    head = ("store", "work", "at once", "a second", "p50 µs", "p99 µs", "CPU µs")
    return Section(
        name="actions",
        title="Asking for actions over HTTP",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        numbers=numbers,
    )


def _row(store: str, work: str, clients: int, one: _Timed) -> tuple[Any, ...]:
    return (
        "" if work == "echo" else store,
        work,
        str(clients),
        rate(median(one.rates)),
        micro(median(one.waits)),
        micro(percentile(one.waits, _P99)),
        micro(median(one.processor)),
    )
