"""A daemon that says what a test tells it to, over the real wire on a real Unix socket.

    async with ScriptedDaemon(tmp_path / "d.sock", servers=[spec], tools=[row]) as daemon:
        ... a gateway connects to daemon.path ...
        ask = await daemon.asked(Decide)                 # the next one, in order
        daemon.on[Decide] = lambda ask: Refused(...)     # from now on
        with daemon.holding(Outcome) as held:            # answered when the test says so
            one = await held.next()
            one.answer(Released(action=one.ask.action))
        daemon.push(TaskPush(task="tsk_1", state="paused"))
        daemon.drop()                                    # every connection breaks

By default it names the task `tsk_1`, permits everything, and releases every result.
It is a peer and judges nothing: what a daemon decides is tested with the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from taskbound import __version__
from taskbound.core.tool import ServerIdentity, method_definition, parse_definition
from taskbound.wire.action import Decide, Malformed, Outcome, Permitted, Released, Withheld
from taskbound.wire.connection import Bind, Bound, Done, Fault, Open, Opened, Ping, Seated, ShowProof
from taskbound.wire.envelope import Reply, Said, ask_decoder
from taskbound.wire.frame import FrameBuffer, decode_frame, encode_frame
from taskbound.wire.tool import (
    CoverCalls,
    Coverings,
    ListUpstreams,
    ReachTools,
    Seen,
    SeeTools,
    ServerSpec,
    ToolRow,
    ToolRows,
    UpstreamRow,
    UpstreamRows,
    identity_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from taskbound.wire.envelope import Answer, Ask, Push
    from taskbound.wire.network import Shown


TASK = "tsk_1"
FAR = 2**62
DEADLINE = 45.0
A = TypeVar("A")


def rows_of(spec: ServerSpec, definitions: Sequence[bytes], methods: Sequence[str] = ()) -> list[ToolRow]:
    """The rows of a server's pinned tools, and of what it has beside them."""
    identity = identity_of(spec, namespace="default").digest
    return [
        ToolRow(
            name=f"{spec.name}__{one.name}",
            server=identity,
            definition=one.digest,
            state="pinned",
            effect=one.effect.value,
            raw=msgspec.Raw(one.canonical),
        )
        for one in (*map(parse_definition, definitions), *map(method_definition, methods))
    ]


def _raw(data: bytes) -> Any:
    import msgspec  # noqa: PLC0415 -- only here

    return msgspec.Raw(data)


class Held:
    """One question that waits for the test's answer."""

    def __init__(self, ask: Any, reply: Callable[[Answer], None]) -> None:
        self.ask = ask
        self._reply = reply

    def answer(self, answer: Answer) -> None:
        """Answer it now."""
        self._reply(answer)


class Holding:
    """Questions of one kind, held."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Held] = asyncio.Queue()

    def put(self, held: Held) -> None:
        self._waiting.put_nowait(held)

    async def next(self) -> Held:
        """The next one."""
        return await asyncio.wait_for(self._waiting.get(), DEADLINE)


class ScriptedDaemon:
    """Listens, answers as scripted, and remembers what it was asked."""

    def __init__(
        self, path: Path, *, servers: Sequence[ServerSpec] = (), tools: Sequence[ToolRow] = ()
    ) -> None:
        self.path = path
        self.servers = list(servers)
        self.tools = list(tools)
        self.task = TASK
        self.tasks: Mapping[str, str] = {}
        """The tasks of tokens, by their texts."""
        self.asks: list[Ask] = []
        self.opened: list[Open] = []
        self.shown: list[Shown | None] = []
        """What came with each ask over the network."""
        self.on: dict[type[Any], Callable[[Any], Answer | None]] = {}
        self.silent = False
        """Whether it reads and never answers, as one that hangs."""
        self._queues: dict[type[Any], asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self._holding: dict[type[Any], Holding] = {}
        self._links: set[_Link] = set()
        self._actions = 0
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listen(self) -> None:
        """Accept connections, or accept them again."""
        self.path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Link(self), str(self.path))

    async def stop(self) -> None:
        """Accept none any more, and break those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()
        self.path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Break every connection."""
        for link in tuple(self._links):
            link.abort()

    def push(self, push: Push) -> None:
        """Say something unasked on every connection."""
        for link in self._links:
            link.send(Reply(id=0, push=push))

    async def asked(self, kind: type[A]) -> A:
        """The next question of this kind that the test has not looked at yet."""
        found: A = await asyncio.wait_for(self._queues[kind].get(), DEADLINE)
        return found

    def count(self, kind: type[Any]) -> int:
        """How many questions of this kind there were."""
        return sum(isinstance(ask, kind) for ask in self.asks)

    @contextlib.contextmanager
    def holding(self, kind: type[Any]) -> Iterator[Holding]:
        """Questions of this kind wait for the test; those that come later are answered as ever."""
        self._holding[kind] = Holding()
        try:
            yield self._holding[kind]
        finally:
            del self._holding[kind]

    def take(self, ask: Ask, reply: Callable[[Answer], None]) -> None:
        """Remember a question, and answer it unless it is held."""
        self.asks.append(ask)
        self._queues[type(ask)].put_nowait(ask)
        if self.silent:
            return
        holding = self._holding.get(type(ask))
        if holding is not None:
            holding.put(Held(ask, reply))
            return
        scripted = self.on.get(type(ask))
        answer = scripted(ask) if scripted is not None else None
        reply(answer if answer is not None else self.answer(ask))

    def answer(self, ask: Ask) -> Answer:  # noqa: PLR0911 -- a table of what is answered
        """What it says unless a test has something else in mind."""
        match ask:
            case Open() | ShowProof():
                return self._let_in(ask)
            case Bind():
                return Bound(task=self.task, purpose="test", deadline=FAR)
            case ListUpstreams():
                rows = [
                    UpstreamRow(spec=one, identity=_digest(one), tools=1, changed=0) for one in self.servers
                ]
                return UpstreamRows(rows=tuple(rows))
            case ReachTools():
                return ToolRows(rows=tuple(self.tools), task=self.task)
            case SeeTools():
                return Seen()
            case CoverCalls():
                return Coverings(covered=tuple(range(len(ask.calls))))
            case Decide():
                return self.permit(ask)
            case Outcome(outcome="succeeded" | "failed"):
                return Released(action=ask.action)
            case Outcome():
                return Withheld(action=ask.action, code=ask.outcome, reason=ask.note or "there is no result")
            case Ping() | Malformed():
                return Done()
            case _:
                return Fault(code="unknown", message="this peer does not know that")

    def _let_in(self, ask: Open | ShowProof) -> Answer:
        if isinstance(ask, Open):
            self.opened.append(ask)
            secret = ask.resume or f"con_secret{ask.token[:2]}"
            return Opened(connection=secret, version=__version__, stopped=False, issuer="https://as.example")
        task = self.tasks.get(ask.shown.authorization.rpartition(" ")[2], "")
        if not task:
            return Fault(code="unknown-token", message="nobody issued it", family="unproven")
        if ask.agent != "coder":
            return Fault(code="token-audience", message="it is for another", family="unproven")
        return Seated(task=task, token=f"tok_{task}", until=FAR)

    def permit(self, ask: Decide, **changes: Any) -> Permitted:
        """A permit for a call, or one that differs in a field."""
        self._actions += 1
        server = next((one for one in self.servers if one.name == ask.tool.partition("__")[0]), None)
        fields: dict[str, Any] = {
            "action": f"act_{self._actions}",
            "task": self.task,
            "digest": "0" * 64,
            "until": FAR,
            "server": _digest(server) if server is not None else "",
            "definition": "",
        }
        return Permitted(**{**fields, **changes})

    def joined(self, link: _Link) -> None:
        self._links.add(link)

    def left(self, link: _Link) -> None:
        self._links.discard(link)


def _row(spec: ServerSpec) -> UpstreamRow:
    return UpstreamRow(spec=spec, identity=_digest(spec), tools=1, changed=0)


def _digest(spec: ServerSpec) -> str:
    identity: ServerIdentity = identity_of(spec, namespace="default")
    return identity.digest


class _Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, daemon: ScriptedDaemon) -> None:
        self._daemon = daemon
        self._buffer = FrameBuffer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._daemon.joined(self)

    def data_received(self, data: bytes) -> None:
        for body in self._buffer.feed(data):
            self._take(decode_frame(ask_decoder, body))

    def _take(self, said: Said) -> None:
        self._daemon.shown.append(said.shown)
        self._daemon.take(said.ask, lambda answer: self.send(Reply(id=said.id, answer=answer)))

    def send(self, reply: Reply) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(reply))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._daemon.left(self)
