"""Every way in which a service is guarded, each with a real service behind that writes down what it did."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from taskbound.core.action import canonical
from taskbound.wire.connection import Done
from taskbound.wire.identity import SetCeiling
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, ServerSpec
from tests.house.tree import ROOT
from tests.peers.provider import node
from tests.tokens import Signer
from tests.wiring.guarding import NUMBERS, Paying, World, opened
from tests.wiring.proxying import KINDS, Front, Told, parsed, proxied, registered_once
from tests.wiring.running import AGENT, DEADLINE, TOOL, client, until
from tests.wiring.test_guarding_mcp import Shown

PROXIES: Final = KINDS
SERVERS: Final = ("asgi", "wsgi", "asgi-introspecting")
FUNCTIONS: Final = ("function", "coroutine")
LIBRARIES: Final = ("mcp", "fastmcp")
ALONE: Final = "introspection"
"""A service that has no library of ours, and asks the issuer."""
ALL: Final = (*PROXIES, *SERVERS, *FUNCTIONS, *LIBRARIES, ALONE)
HELD: Final = (
    '@id("held") @hold("confirm") forbid (principal, action == Taskbound::Action::"echo__say", resource)'
    ' when { context.arguments has text && context.arguments.text like "large *" };'
)
SCOPE: Final = {
    "grants": [
        {"tool": "echo__say", "arguments": {"text": {"any": True}}, "optional": ["text"]},
        {"tool": "ledger__book", "arguments": {"text": {"any": True}}},
    ]
}
NOTHING: Final = f"sha-256=:{b64encode(sha256(b'').digest()).decode()}:"


@dataclass(frozen=True)
class Call:
    """What is asked of a service: of a proxy or a server of HTTP a request, of others a function or tool."""

    place: str
    """`POST /say`, or a name."""
    arguments: Mapping[str, Any]
    body: bytes
    tokens: tuple[str, ...] = ()
    head: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What came back."""

    done: bool = False
    code: str = ""
    missing: str = ""
    challenge: str = ""
    """Of HTTP, or as a result of MCP has it; empty where a function raised."""
    status: int = 0
    """Of HTTP; 0 where there is none."""
    recorded: bool = False


class Shell(Protocol):
    """One way, and the service behind it."""

    kind: str
    places: tuple[str, str, str]
    """Where its tool is asked for, where else the same tool is, and where another one is, or none."""

    def ask(self, call: Call) -> Reply:
        """What is answered."""

    def runs(self) -> int:
        """How often the service behind it did something."""


class Guarded:
    """A world with all shells."""

    def __init__(self, world: World, shells: Mapping[str, Shell]) -> None:
        self.world, self.shells = world, shells

    def permitted(self, shell: Shell, word: str = "hello", **more: Any) -> Call:
        """A call that nobody made before, with the token of its permit."""
        call = self.asking(shell, word)
        digest = NOTHING if not call.body else digest_of(call.body)
        found = self.world.permit("", arguments=call.arguments, content_digest=digest, **more)
        assert found["status"] == 200, found
        return replace(call, tokens=(str(found["token"]),))

    def asking(self, shell: Shell, word: str = "hello") -> Call:
        """A call that nobody made before, and that nobody permitted."""
        if shell.kind == "nginx-auth-request":
            return Call(shell.places[0], {}, b"")
        arguments: dict[str, Any] = {"text": f"{word} {next(NUMBERS)}"}
        return Call(shell.places[0], arguments, canonical(arguments))

    def signed(self, token: str, *, key: Signer | None = None, **claims: Any) -> str:
        """The same token with other claims (`tctx_NAME` is a member of `tctx`), by the issuer's own key."""
        told = [json.loads(urlsafe_b64decode(one + "==")) for one in token.split(".")[:2]]
        within = {name[5:]: claims.pop(name) for name in list(claims) if name.startswith("tctx_")}
        plain = {**told[1], **claims, "tctx": {**told[1]["tctx"], **within}}
        return (key or self.key_of(token)).token("txntoken+jwt", **plain)

    def key_of(self, token: str) -> Signer:
        """The issuer's key that it was signed with."""
        kid = json.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"]
        (path,) = self.world.one.home.rglob(f"{kid}.pem")
        private = load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(private, EllipticCurvePrivateKey)
        return Signer(private=private, kid=kid, alg="ES256")


def digest_of(body: bytes) -> str:
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def read_reply(status: int, headers: Mapping[str, list[str]], body: Any) -> Reply:
    """A reply of HTTP; a refusal has exactly one challenge, which says what its problem says."""
    if status == 201:
        return Reply(done=True, status=status, recorded=headers.get("taskbound-answer", [""]) == ["recorded"])
    found = headers.get("www-authenticate", [])
    challenge = found[0] if len(found) == 1 else ""
    parts = dict(one.split("=", 1) for one in challenge.removeprefix("Taskbound ").split(", ") if one)
    code, missing = (parts.get(name, "").strip('"') for name in ("error", "missing"))
    if isinstance(body, dict):
        assert (body["code"], body["missing"]) == (code, missing), (body, challenge)
    return Reply(code=code, missing=missing, challenge=challenge, status=status)


class Proxied:
    """Behind a proxy that asks a guard."""

    def __init__(self, front: Front) -> None:
        self.kind, self._front = front.kind, front
        self.places = ("GET /quiet", "GET /still", "") if not front.whole else ("POST /say", "POST /tell", "")

    def ask(self, call: Call) -> Reply:
        told = self._front.ask(call.place, call.body, *call.tokens, head=call.head)
        return read_reply(told.status, fields(told), document(told.body))

    def runs(self) -> int:
        return sum(not one.line.startswith("GET /livez ") for one in self._front.service.seen)


class Served:
    """A server of HTTP: ours stands before the application, or nothing of ours at all."""

    def __init__(self, kind: str, port: int, book: Path, places: tuple[str, str, str]) -> None:
        self.kind, self.places = kind, places
        self._port, self._book = port, book

    def ask(self, call: Call) -> Reply:
        own = {one.partition(":")[0].lower() for one in call.head}
        lines = [
            f"{call.place} HTTP/1.1",
            "Host: pay.example",
            *(f"Txn-Token: {one}" for one in call.tokens),
            f"Content-Length: {len(call.body)}",
            *(() if "content-type" in own else ("Content-Type: application/json",)),
            "Connection: close",
            *call.head,
        ]
        raw = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE) as one:
            one.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + call.body)
            while piece := one.recv(65536):
                raw += piece
        told = parsed(raw)
        return read_reply(told.status, fields(told), document(told.body))

    def runs(self) -> int:
        return lines_of(self._book)


class Taken:
    """A function with a decorator, which takes orders from a line."""

    places = ("", "", "other")

    def __init__(self, kind: str, port: int, book: Path) -> None:
        self.kind = kind
        self._port, self._book = port, book

    def ask(self, call: Call) -> Reply:
        order = {
            "function": call.place or self.kind,
            "tokens": call.tokens,
            "arguments": call.arguments,
        }
        with socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE) as one:
            one.sendall(json.dumps(order).encode() + b"\n")
            told = json.loads(one.makefile("rb").readline())
        if "result" in told:
            assert told["result"] == {"said": call.arguments["text"]}
            return Reply(done=True)
        (note,) = told["notes"]
        return Reply(code=told["code"], missing=str(note).removeprefix("missing: "))

    def runs(self) -> int:
        return lines_of(self._book)


class Called:
    """A server of MCP, asked by the official client."""

    places = ("say", "tell", "book")

    def __init__(self, kind: str, port: int, book: Path) -> None:
        self.kind = kind
        self._port, self._book = port, book

    def ask(self, call: Call) -> Reply:
        async def story() -> Any:
            url = f"http://127.0.0.1:{self._port}/mcp"
            async with (
                httpx2.AsyncClient(auth=Shown(call.tokens), timeout=DEADLINE) as http,
                Client(streamable_http_client(url, http_client=http)) as one,
            ):
                return await one.call_tool(call.place, dict(call.arguments))

        told = asyncio.run(story())
        meta = told.meta or {}
        if "io.taskbound/refused" not in meta:
            assert (told.is_error, told.content[0].text) == (False, f"said {call.arguments['text']}")
            return Reply(done=True, recorded=meta.get("io.taskbound/answer") == "recorded")
        refused = meta["io.taskbound/refused"]
        assert told.is_error
        return Reply(code=refused["code"], missing=refused["missing"], challenge=refused["challenge"])

    def runs(self) -> int:
        return lines_of(self._book)


def fields(told: Told) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in told.headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def document(body: bytes) -> Any:
    """What a body says; nothing where it is no JSON, as the pages of nginx' own."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def lines_of(book: Path) -> int:
    return len(book.read_text().split()) if book.exists() else 0


@contextmanager
def alone(issuer: str, folder: Path, key: Path) -> Iterator[Served]:
    """The guide's service that has no library of ours; what it did is in `kept` of the folder."""
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    told = {"ISSUER": issuer, "DOMAIN": "corp.example", "NAME": "echo", "PORT": "0"}
    process = subprocess.Popen(
        [node(), str(ROOT / "docs" / "examples" / "introspection" / "service.mjs")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **told, "KEY": str(key), "FOLDER": str(kept)},
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Served(ALONE, port, kept / "said", ("POST /say", "POST /tell", ""))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def program(**told: Any) -> Iterator[Paying]:
    """One of the peers, in a process of its own."""
    one = Paying(**told)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.end()
        if one.process.stdout is not None:
            one.process.stdout.close()


@contextmanager
def shell(world: World, folder: Path, kind: str) -> Iterator[Shell]:
    """One of them, with claims of its own."""
    folder.mkdir()
    if kind in PROXIES:
        still = '"GET /still" = { tool = "echo__say", body = "none" }'
        more = still if kind == "nginx-auth-request" else '"POST /tell" = "echo__say"'
        with proxied(world, folder, kind, endpoints=more) as front:
            yield Proxied(front)
        return
    key = folder / "echo.pem"
    registered_once(world, key)
    if kind == ALONE:
        with alone(world.origin, folder, key) as one:
            yield one
        return
    plain = {
        "kind": kind.partition("-")[0],
        "name": "echo",
        "key": str(key),
        "issuer": world.origin,
        "domain": "corp.example",
        "claims": str(folder / "claims" / "claims.db"),
        "book": str(folder / "book"),
        "introspects": kind == "asgi-introspecting",
        "more": True,
    }
    with program(**plain) as running_one:
        port = int(running_one.said)
        if kind in SERVERS:
            yield Served(kind, port, running_one.book, ("POST /pay", "POST /tip", "POST /refund"))
        elif kind in FUNCTIONS:
            yield Taken(kind, port, running_one.book)
        else:
            yield Called(kind, port, running_one.book)


def settle(world: World) -> None:
    """Two tools that the agent may call, and a rule by which one of its calls waits for a person."""
    spec = ServerSpec(name="ledger", command="/opt/ledger/bin/ledger", sha256="0" * 64)
    raw = msgspec.Raw(json.dumps(SCOPE).encode())
    book = msgspec.Raw(json.dumps({**TOOL, "name": "book"}).encode())
    with client(world.one.socket) as person:
        person.ask(AddUpstream(spec=spec, definitions=(book,), agents=(AGENT,)), Done)
        person.ask(SetCeiling(name=AGENT, ceiling=raw), Done)
        rule = person.ask(ProposeBundle(files={"held.cedar": HELD}), BundleAnswer)
        person.ask(ActivateBundle(digest=rule.digest), BundleAnswer)
    world.one.task = new_task(world)


def new_task(world: World) -> str:
    """Another task of the agent's, with all of its scope."""
    raw = msgspec.Raw(json.dumps(SCOPE).encode())
    order = StartTask(agent=AGENT, purpose="to try all shells", seconds=3600, scope=raw)
    with client(world.one.socket) as person:
        return person.ask(order, TaskDetail).row.task


@contextmanager
def all_shells(folder: Path) -> Iterator[Guarded]:
    """All of them before one daemon, each ready: it does what is permitted."""
    with ExitStack() as stack:
        world = stack.enter_context(opened(folder))
        settle(world)
        registered_once(world, folder / "echo.pem")
        found = Guarded(world, {kind: stack.enter_context(shell(world, folder / kind, kind)) for kind in ALL})
        for one in found.shells.values():
            call = found.permitted(one)
            until(lambda: one.ask(call).done, f"{one.kind} does what is permitted")  # noqa: B023 - asked at once
        yield found


def at_once(asks: list[Callable[[], Reply]]) -> list[Reply]:
    """What comes of these when they are all asked at the same time."""
    ready = threading.Barrier(len(asks))

    def ask(one: Callable[[], Reply]) -> Reply:
        ready.wait(DEADLINE)
        return one()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(ask, asks))


@contextmanager
def hung(world: World) -> Iterator[None]:
    """The daemon is stopped meanwhile, as by a machine that swaps."""
    process = world.one.process.process
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
