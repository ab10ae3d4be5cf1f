"""The task that the connection is bound to, and the servers that run for it.

1. The first call that needs a server starts it, once per connection and task. A shareable server survives
   for the next task of this connection.
2. The daemon is shown a server's tool list before it decides a call to the server, and again after the
   server reports a change. A server whose list keeps changing is not called.
3. A server whose pin has changed is ended and started as pinned.
4. When the task ends, its servers end after their open calls, and are never started again for it.
5. A legacy server learns once, at its start, which questions the latest client supports and the scope
   grants.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import errored
from taskbound.surfaces.gateway.eras import crosses
from taskbound.surfaces.gateway.errors import METHOD_NOT_FOUND, BadRepinError, UnstableToolsError
from taskbound.wire.mcp.task import capabilities
from taskbound.wire.tool import ListUpstreams, ReachTools, Seen, SeeTools, ToolRows, UpstreamRows, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import ServerIdentity
    from taskbound.ports.upstream import Question, StartUpstream, Upstream
    from taskbound.surfaces.gateway.link import Link
    from taskbound.wire.tool import ServerSpec, ToolRow


_log = logging.getLogger(__name__)
_ROUNDS: Final = 3
_TURN: Final = 2.0
"""Seconds that the listing of a server may still take when the server is about to be ended."""


def _deaf(*_: object) -> None:
    pass


def _offers_nothing(_: ServerHandle) -> frozenset[str]:
    return frozenset()


def _refuses(_: ServerHandle, question: Question) -> None:
    question.answer(errored(METHOD_NOT_FOUND, "no client can be asked here"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerListener:
    """Receivers of unsolicited server messages; called in the event loop, must return at once."""

    listed: Callable[[ServerHandle, str], None] = _deaf
    """One of the server's lists changed."""
    updated: Callable[[ServerHandle, str], None] = _deaf
    """The resource of this URI changed."""
    logged: Callable[[ServerHandle, Mapping[str, JsonValue]], None] = _deaf
    ended: Callable[[ServerHandle], None] = _deaf
    offered: Callable[[ServerHandle], frozenset[str]] = _offers_nothing
    """The question capabilities to declare to a server at its start (`asked.offers`; rule 5)."""
    asked: Callable[[ServerHandle, Question], None] = _refuses
    """The server asks the client of a call."""
    withdrawn: Callable[[Question], None] = _deaf


class ServerHandle:
    """One server of one task: not started, running, or ended (`ports.upstream.UpstreamEvents`)."""

    def __init__(self, spec: ServerSpec, identity: ServerIdentity, ears: ServerListener) -> None:
        self._ears = ears
        self.spec = spec
        self.reports = 0
        """The number of recorded questions that became no action."""
        self.identity = identity
        self.task = ""
        """The task that it is started for next; its slots are filled for that task."""
        self.upstream: Upstream | None = None
        self.stale = True
        """Whether the daemon must see its list before the next call."""
        self.level = ""
        """The log level that it was set to."""
        self.leaving = False
        """Whether the gateway is ending it, so that its end is expected."""
        self.over = False
        """Whether it is ended for good: its task is over or its pin changed."""
        self.turn = asyncio.Lock()
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ready(self) -> bool:
        """Whether a call can be sent at once."""
        looked_at = self.turn.locked()  # whether it still lists what is pinned is not known yet
        return not self.stale and not looked_at and self.upstream is not None and self.upstream.alive

    def enter(self) -> None:
        self._calls += 1
        self._idle.clear()

    def leave(self) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    async def idle(self) -> None:
        """Waits until no call is open; after the task's end each call ends within bounds."""
        await self._idle.wait()

    def tools_changed(self) -> None:
        self.stale = True
        self._ears.listed(self, "tools")

    def listed(self, kind: str) -> None:
        self._ears.listed(self, kind)

    def updated(self, uri: str) -> None:
        self._ears.updated(self, uri)

    def logged(self, params: Mapping[str, JsonValue]) -> None:
        self._ears.logged(self, params)

    def asked(self, question: Question) -> None:
        self._ears.asked(self, question)

    def withdrawn(self, question: Question) -> None:
        self._ears.withdrawn(question)

    def ended(self, reason: str, detail: str) -> None:
        """Handles the server's end; the next call starts it again."""
        self.stale = True
        self._ears.ended(self)
        level = logging.INFO if self.leaving else logging.WARNING
        _log.log(level, "server %s ended: %s", self.spec.name, f"{reason} {detail}".rstrip())

    async def close(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            self.leaving = True
            await upstream.close()
            self.leaving = False


class Servers:
    """Starts servers and shows their lists to the daemon; lives as long as the connection."""

    def __init__(
        self,
        start: StartUpstream,
        link: Link,
        *,
        namespace: str,
        differ: Callable[[], None],
        sweep: Callable[[], None],
    ) -> None:
        self._start = start
        self._sweep = sweep
        self._link = link
        self._namespace = namespace
        self._differ = differ
        self.ears = ServerListener()
        """Receivers of unsolicited messages, for servers that are added from now on."""
        self._shared: dict[str, ServerHandle] = {}
        self._all: list[ServerHandle] = []
        self._paused = False

    async def of_agent(self, kept: Mapping[str, ServerHandle]) -> dict[str, ServerHandle]:
        """Returns all servers of the agent by name, reusing those in `kept` and shared ones."""
        rows = await self._link.ask(ListUpstreams(), UpstreamRows)
        found: dict[str, ServerHandle] = {}
        for row in rows.rows:
            name, identity = row.spec.name, identity_of(row.spec, namespace=self._namespace)
            one = kept.get(name) or self._shared.get(name)
            same = one is not None and _same(one, row.spec, identity)
            found[name] = one if one is not None and same else ServerHandle(row.spec, identity, self.ears)
        return found

    async def make_ready(self, running: ServerHandle) -> None:
        """Starts the server if needed, and shows its list to the daemon if that is due (rule 2)."""
        async with running.turn:
            if running.over:  # who waited for the turn meanwhile starts nothing (rule 4)
                raise BadRepinError(f"server `{running.spec.name}` was ended")
            if running.upstream is None or not running.upstream.alive:
                await self._begin(running)
            for _ in range(_ROUNDS):
                if not running.stale:
                    return
                await self._look(running)
            if running.stale:
                raise UnstableToolsError(f"the tools of server `{running.spec.name}` change without end")

    async def _begin(self, running: ServerHandle) -> None:
        running.stale = True
        running.level = ""
        await running.close()
        running.upstream = await self._start(
            running.identity,
            era=running.spec.era,
            events=running,
            name=running.spec.name,
            offers=capabilities(self.ears.offered(running)),
            task=running.task,
        )
        if running not in self._all:
            self._all.append(running)
        if running.spec.shareable:
            self._shared[running.spec.name] = running

    async def _look(self, running: ServerHandle) -> None:
        upstream = running.upstream
        if upstream is None:
            return
        running.stale = False
        upstream.resume()  # a list is never so long that it has to wait for a slow client
        try:
            definitions = await upstream.list_tools()
            seen = await self._link.ask(
                SeeTools(
                    server=running.spec.name,
                    identity=running.identity.digest,
                    definitions=tuple(map(msgspec.Raw, definitions)),
                    methods=upstream.methods,
                ),
                Seen,
            )
        except TaskboundError:
            running.stale = True
            raise
        finally:
            if self._paused:
                upstream.pause()
        if seen.differences:
            self._differ()

    async def end(self, some: Mapping[str, ServerHandle], *, shared: bool) -> None:
        """Ends the running servers among these; shared ones only if `shared`."""
        ending = [one for one in some.values() if shared or not one.spec.shareable]
        for one in ending:
            if self._shared.get(one.spec.name) is one:
                del self._shared[one.spec.name]
        await asyncio.gather(*(self._end(one) for one in ending))

    async def end_all(self) -> None:
        self._shared.clear()
        await asyncio.gather(*(self._end(one) for one in tuple(self._all)))

    async def _end(self, running: ServerHandle) -> None:
        running.over = True
        await running.idle()  # a call that was cancelled is given its time to be answered
        try:
            async with asyncio.timeout(_TURN):
                await running.turn.acquire()
        except TimeoutError:
            if running.upstream is not None:
                running.upstream.kill("its task is over, and it is still being looked at")
            await running.turn.acquire()
        try:
            running.stale = True
            if running in self._all:
                self._all.remove(running)
            await running.close()
        finally:
            running.turn.release()
        if not self._all:
            self._sweep()

    @property
    def shared(self) -> Mapping[str, ServerHandle]:
        return dict(self._shared)

    @property
    def any_runs(self) -> bool:
        """Whether a server runs or is being ended."""
        return bool(self._all)

    def pause(self) -> None:
        self._paused = True
        for one in self._all:
            if one.upstream is not None:
                one.upstream.pause()

    def resume(self) -> None:
        self._paused = False
        for one in self._all:
            if one.upstream is not None:
                one.upstream.resume()


def _same(running: ServerHandle, spec: ServerSpec, identity: ServerIdentity) -> bool:
    before = (running.identity.digest, running.spec.era, running.spec.shareable)
    return before == (identity.digest, spec.era, spec.shareable)


class Binding:
    """One task of this connection."""

    def __init__(self, task: str, servers: dict[str, ServerHandle], rows: tuple[ToolRow, ...]) -> None:
        self.task = task
        self.servers = servers
        self.reach = frozenset(row.name for row in rows)
        self._rows = {row.name: row for row in rows}
        self.modern_only = frozenset(row.name for row in rows if not _crosses(row))
        """Tools that a legacy client can't be given."""

    @classmethod
    async def make(
        cls, task: str, servers: Servers, link: Link, *, kept: Mapping[str, ServerHandle]
    ) -> Binding:
        """Asks the daemon what the task can reach; `kept` holds servers that run for it already."""
        found = await servers.of_agent(kept)
        for one in found.values():
            one.task = task
        rows = await link.ask(ReachTools(), ToolRows)
        return cls(task, found, rows.rows if rows.task == task else ())

    def server_of(self, tool: str, server: str) -> ServerHandle | None:
        return self.servers.get(server) if tool in self.reach else None

    def schema_of(self, tool: str) -> JsonValue:
        row = self._rows.get(tool)
        if row is None:
            return None
        definition: dict[str, JsonValue] = msgspec.json.decode(row.raw, type=dict[str, Any])
        return definition.get("inputSchema")


def _crosses(row: ToolRow) -> bool:
    return crosses(msgspec.json.decode(row.raw, type=dict[str, Any]), modern=False)
