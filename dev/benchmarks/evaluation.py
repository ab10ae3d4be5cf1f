"""AuthZEN evaluations, each with a durable record, beside a decision point that keeps none.

Whether the owner of an entry may change it is asked, and permitted each time. *Ours* is a real daemon and the
API before it: a DPoP proof of its own for each request (made before the turn), which is used durably; task,
scope and a Cedar policy that compares owner and subject; the decision committed and synced before the answer.
*Ours, two* are two daemons with an API each over one PostgreSQL, which half of the connections ask each.
*Ten* is one request about ten entries, a row for each request. *Cerbos* is its server with the same rule in
its own language, in its own AuthZEN endpoint: nobody is proven, and nothing is recorded. *Echo* is the body
of ours read and given back by our API's own reader of HTTP. TLS is off for all. They take turns. So many
connections have one request each. CPU is that of all processes that answer, a request. Client and servers
share the cores.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dev.benchmarks.api_echo import ECHO
from dev.benchmarks.clients import Clients, Timed, api_at, timed
from dev.benchmarks.page import Aim, Section, Table
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, DeclareTool, ListTools, ServerSpec, ToolRows
from taskbound.wiring.home import make_home
from tests.postgres import running
from tests.surfaces.network.asking import HOST, Asking
from tests.surfaces.network.serving import Api
from tests.token_world import ISSUER
from tests.wiring.running import AGENT, SCOPE, client, daemon, signer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_CLIENTS: Final = (1, 16, 64)
_UNPACED: Final = ("--asks-burst", "100000", "--asks-rate", "100000")
_ORIGIN: Final = "example.com/log"
_ONE, _MANY = "/access/v1/evaluation", "/access/v1/evaluations"
_CERBOS: Final = "benches/node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"
"""Within the environment."""
_SUBJECT: Final = {"type": "user", "id": "alice", "properties": {"cerbos.roles": ["user"]}}
_ASKED: Final = {"subject": _SUBJECT, "action": {"name": "update"}}
_TEXT: Final = {"type": "string"}
_NAMED: Final = {"type": "object", "required": ["type", "id"]}
_UPDATE: Final = {
    "name": "update",
    "inputSchema": {
        "type": "object",
        "required": ["subject", "resource"],
        "properties": {
            "subject": {
                **_NAMED,
                "properties": {"type": _TEXT, "id": _TEXT, "properties": {"type": "object"}},
            },
            "resource": {
                **_NAMED,
                "properties": {
                    "type": _TEXT,
                    "id": _TEXT,
                    "properties": {"type": "object", "properties": {"ownerID": _TEXT}},
                },
            },
        },
    },
    "annotations": {"readOnlyHint": True},
}
_RULE: Final = """\
@id("todo:owners")
forbid (principal, action == Taskbound::Action::"todo__update", resource)
unless { context.arguments.resource has properties
  && context.arguments.resource.properties has ownerID
  && context.arguments.resource.properties.ownerID == context.arguments.subject.id };
"""
_SAME_RULE: Final = """\
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: todo
  version: default
  rules:
    - actions: ["update"]
      effect: EFFECT_ALLOW
      roles: ["user"]
      condition:
        match:
          expr: request.resource.attr.ownerID == request.principal.id
"""
_SERVER: Final = """\
server:
  httpListenAddr: "127.0.0.1:{http}"
  grpcListenAddr: "127.0.0.1:{grpc}"
telemetry:
  disabled: true
storage:
  driver: disk
  disk:
    directory: {folder}
    watchForChanges: false
"""
_STARTS: Final = 30.0
_WHY: Final = (
    "each of ours proves who asks (a signature, a claim that is synced) and is recorded before its answer,"
    " in two processes of Python that share two cores with the client; ten in one request share the proof and"
    " HTTP. What it would take: HTTP, proof and claim outside of Python, or one proof for a connection"
)


def _resource(number: int, owner: str = "alice") -> dict[str, Any]:
    return {"type": "todo", "id": str(number), "properties": {"ownerID": owner}}


def _one(number: int, owner: str = "alice") -> bytes:
    return json.dumps({**_ASKED, "resource": _resource(number, owner)}).encode()


_TEN: Final = json.dumps(
    {**_ASKED, "evaluations": [{"resource": _resource(number)} for number in range(10)]}
).encode()


class _Ours:
    """Daemons over one store, the API before each, and an agent's task that may ask."""

    def __init__(self, folder: Path, stack: ExitStack, *, store: str = "", daemons: int = 1) -> None:
        flags = [*_UNPACED, "--issuer", ISSUER]
        signs: tuple[str, ...] = ()
        if store:
            server = stack.enter_context(running(memory=False))
            name = server.database()
            flags += ["--store", server.url(name)]
            signs = ("--store", server.url(name, "signer"))
        if daemons > 1:  # with one signer of the log and of tokens
            keys, door = folder / "home-0" / "keys", folder / "signer.sock"
            make_home(keys.parent)
            told = ("--create", "--issuer", ISSUER, *signs)
            stack.enter_context(signer(keys, door, *told, origin=_ORIGIN))
            flags += ["--signer", str(door), "--origin", _ORIGIN]
        self.pids: list[int] = []
        ports: list[int] = []
        for number in range(daemons):
            home = folder / f"home-{number}"
            make_home(home)
            process = stack.enter_context(daemon(home, *flags))
            api, port = stack.enter_context(api_at(home, folder))
            self.pids += [api.pid, process.process.pid]
            ports.append(port)
            if number == 0:
                there = Api(process=process, port=port, origin=ISSUER)
                self._asking = Asking(there, process, home, folder)
                self._task = _settle(self._asking)
        self.clients = Clients(*ports)
        stack.callback(self.clients.close)

    def token(self) -> str:
        """A token of the task that may ask."""
        return self._asking.token(subject_token=self._task)

    def request(self, token: str, target: str, body: bytes, *, key: str = "") -> bytes:
        """A request with a proof of its own."""
        proof = self._asking.dpop(target, "POST", token)
        kept = f"Idempotency-Key: {key}\r\n" if key else ""
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Authorization: DPoP {token}\r\nDPoP: {proof}\r\nContent-Length: {len(body)}\r\n{kept}\r\n"
        )
        return head.encode() + body

    def turn(
        self, found: dict[tuple[str, int], Timed], works: Sequence[str], at_once: int, pieces: int
    ) -> None:
        """One turn of these works at so many connections."""
        token = self.token()
        for name in works:
            if name == "echo":
                asks = [self.request(token, "/v1/actions", _one(0), key=ECHO) for _ in range(pieces)]
            elif name.endswith("ten"):
                asks = [self.request(token, _MANY, _TEN) for _ in range(pieces // 4)]
            else:
                asks = [self.request(token, _ONE, _one(number)) for number in range(pieces)]
            bodies = timed(found[name, at_once], self.clients, asks, self.pids, at_once=at_once)
            if name != "echo":
                _require_permitted(bodies)


class _Cerbos:
    """A Cerbos server with the same rule."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._pids = (process.pid,)
        self._port = port
        self.clients = Clients(port)

    def turn(self, found: dict[tuple[str, int], Timed], at_once: int, pieces: int) -> None:
        """One turn of each work at so many connections."""
        one = [self._request(_ONE, _one(number)) for number in range(pieces)]
        ten = [self._request(_MANY, _TEN) for _ in range(pieces // 4)]
        for name, asks in (("Cerbos", one), ("Cerbos, ten", ten)):
            bodies = timed(found[name, at_once], self.clients, asks, self._pids, at_once=at_once)
            _require_permitted(bodies)

    def require_rule(self) -> None:
        """Look whether the rule is in force: what is another's is denied."""
        (body,) = self.clients.ask([self._request(_ONE, _one(0, "bob"))], at_once=1)[1]
        if json.loads(body)["decision"] is not False:
            raise RuntimeError("Cerbos lets everything through")

    def _request(self, target: str, body: bytes) -> bytes:
        head = (
            f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _require_permitted(bodies: Sequence[bytes]) -> None:
    for body in bodies:
        told = json.loads(body)
        if not all(one["decision"] is True for one in told.get("evaluations", [told])):
            raise RuntimeError(f"an evaluation was denied: {body[:300]!r}")


@contextmanager
def _cerbos(folder: Path, program: Path) -> Iterator[_Cerbos]:
    """A server of its own, which is up."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "todo.yaml").write_text(_SAME_RULE, encoding="utf-8")
    http, grpc = _free_ports(2)
    settings = folder / "cerbos.yaml"
    settings.write_text(_SERVER.format(http=http, grpc=grpc, folder=policies), encoding="utf-8")
    with (folder / "cerbos.log").open("wb") as log:
        command = [str(program), "server", "--log-level=error", f"--config={settings}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until_up(http)
        one = _Cerbos(process, http)
        one.require_rule()
        yield one
        one.clients.close()
    finally:
        process.terminate()
        process.wait(20)


def _until_up(port: int) -> None:
    end = time.monotonic() + _STARTS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _settle(asking: Asking) -> str:
    """Pin, declare and grant what is asked about; the task."""
    spec = ServerSpec(name="todo", url="https://todo.example/mcp")
    grants = [{"tool": "todo__update", "others": "any"}]
    with client(asking.socket) as person:
        raw = msgspec.Raw(json.dumps(_UPDATE).encode())
        person.ask(AddUpstream(spec=spec, definitions=(raw,), agents=(AGENT,)), Done)
        (row,) = person.ask(ListTools(server="todo"), ToolRows).rows
        person.ask(DeclareTool(name=row.name, definition=row.definition, outcome="unwatched"), Done)
        known = msgspec.Raw(json.dumps({"grants": [*SCOPE["grants"], *grants]}).encode())
        person.ask(SetCeiling(name=AGENT, ceiling=known), Done)
        rules = person.ask(ProposeBundle(files={"todo.cedar": _RULE}), BundleAnswer)
        person.ask(ActivateBundle(digest=rules.digest), BundleAnswer)
        scope = msgspec.Raw(json.dumps({"grants": grants}).encode())
        order = StartTask(agent=AGENT, purpose="to be asked about", seconds=3600, scope=scope)
        return person.ask(order, TaskDetail).row.task


_WORKS: Final = {
    "SQLite": ("echo", "SQLite", "SQLite, ten"),
    "PostgreSQL": ("PostgreSQL", "PostgreSQL, ten"),
    "two": ("PostgreSQL, two",),
}


def measure_evaluation(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (2, {1: 60, 16: 160, 64: 320}) if quick else (4, {1: 150, 16: 400, 64: 800})
    program = Path(sys.prefix) / _CERBOS
    names = [name for works in _WORKS.values() for name in works]
    found = {(name, at_once): Timed() for name in ("Cerbos", "Cerbos, ten", *names) for at_once in _CLIENTS}
    with tempfile.TemporaryDirectory(prefix="tb-") as base, ExitStack() as stack:
        folders = {name: Path(base) / name for name in ("sqlite", "postgres", "two", "cerbos")}
        for folder in folders.values():
            folder.mkdir()
        cerbos = stack.enter_context(_cerbos(folders["cerbos"], program))
        ours = {
            "SQLite": _Ours(folders["sqlite"], stack),
            "PostgreSQL": _Ours(folders["postgres"], stack, store="postgres"),
            "two": _Ours(folders["two"], stack, store="postgres", daemons=2),
        }
        warm = {key: Timed() for key in found}
        for name, one in ours.items():
            one.turn(warm, _WORKS[name], 16, 64)
        cerbos.turn(warm, 16, 64)
        for _ in range(turns):
            for at_once in _CLIENTS:
                for name, one in ours.items():
                    one.turn(found, _WORKS[name], at_once, pieces[at_once])
                cerbos.turn(found, at_once, pieces[at_once])
    return _section(found)


def _section(found: dict[tuple[str, int], Timed]) -> Section:
    numbers: dict[str, float] = {}
    rows: list[tuple[str, ...]] = []
    for (name, at_once), one in found.items():
        ten = ", ten" if name.endswith("ten") else ""
        theirs = median(found[f"Cerbos{ten}", at_once].rates)
        rows.append((name, str(at_once), *one.row(), f"{median(one.rates) / theirs:.2f}"))
        for what, value in (("rate", one.rates), ("cpu", one.processor), ("wait", one.waits)):
            numbers[f"{name} {at_once} {what}"] = median(value)
    best = {name: numbers[f"{name} 64 rate"] for name in ("SQLite", "PostgreSQL", "PostgreSQL, two")}
    theirs = numbers["Cerbos 64 rate"]
    ahead = max(best.values()) > theirs
    aim = Aim(
        words="a decision with a durable record at 64 connections, above Cerbos, which keeps none",
        measured=", ".join(f"{name} {value:,.0f} a second" for name, value in best.items())
        + f"; Cerbos {theirs:,.0f}",
        reached=ahead,
        reason="" if ahead else _WHY,
    )
    head = ("who", "at once", "a second", "p50 µs", "p95 µs", "p99 µs", "CPU µs", "rate to Cerbos")
    return Section(
        name="evaluation",
        title="AuthZEN evaluations beside Cerbos",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        aims=(aim,),
        numbers=numbers,
    )
