"""Operations of the egress: pins, sealed secrets, permits, injected credentials, left tokens.

Of `egress`:
1. The egress names the process that it read from its own socket. It receives what that process may use: a
   server of the gateway's agent, and a permit that a connection of the process holds. A person's command line
   outside any gateway or run may start any server to list its tools. For a server's injected credentials it
   learns which are over.
2. An answer is the outcome of a question: recorded, released, of a connection of that process.
3. Nothing is given for a task that is not live, or while everything is stopped, whatever was permitted
   before.
4. The life of a server's token is recorded, never its value: first that the egress is about to request it and
   for which process, then how it ended. For an egress that is gone the daemon records the end (`egress_left`)
   when another egress asks.
Of `egress_left`:
1. The owner of a token is the process that reported it, by the kernel's word. It is gone when it has no
   connection and another egress has one.
2. Its token is recorded as `left` (`egress-lost`): its value is lost and it cannot be revoked. It lives until
   its own expiry.
3. This covers what one daemon learned since its start; the log has the rest.
Of `injecting`:
1. The egress names the process that it read from its own socket, and a task. The daemon checks that the
   process is a gateway of the task, and that the task is live and its agent may use the server.
2. Target, kind and parameters come from the pinned identity of the server, never from the gateway.
3. The request is decided like every call (`action.have_decided`), for the agent and its task, and permitted
   to the egress' own connection: only that connection receives the secret, and the credential ends with it.
4. Such a connection belongs to one task of one agent from its first question, and to no other afterwards.
5. A renewal is requested only if the kind's pinned definition has one, so that others leave no refusal each
   time.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from taskbound.core.action import ActionState, canonical
from taskbound.core.credential import LIVE, NotRenewableError
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import RENEWS, SECONDS
from taskbound.core.task import require_live
from taskbound.core.tool import parse_definition, parse_slot, parse_tool_name
from taskbound.core.tool.name import shown
from taskbound.flows.tool import UnknownServerError
from taskbound.flows.tool.secret import ServerTokens, slots_of
from taskbound.surfaces.api.operations.action import answer_of, decided
from taskbound.surfaces.api.operations.show import read_spec
from taskbound.surfaces.api.server.operation import operation
from taskbound.surfaces.api.server.worker import WaitingCall
from taskbound.wire import egress as wire
from taskbound.wire.action import Decide
from taskbound.wire.connection import Done
from taskbound.wire.egress import InjectCredential

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from taskbound.core.action import JsonValue
    from taskbound.core.tool import Source
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.egress import TellToken
    from taskbound.wire.envelope import Answer

    Process = tuple[int, int]
    """Its id, and when it started."""


_SECOND: Final = 1_000_000
_NOBODY: Final = (0, 0)
_MOST: Final = 4_096
"""Tokens that are remembered."""


def teller_of(connection: Connection) -> Process:
    """Returns the process at the other end."""
    return connection.peer.proof.pid, connection.peer.proof.started


class EgressTokens:
    """Tokens without a recorded end; used in the loop."""

    def __init__(self) -> None:
        self._had: dict[tuple[str, str], tuple[Process, TellToken, int]] = {}
        """By namespace and name: the owner, the last report, and the end of its life."""

    def note(self, namespace: str, process: Process, told: TellToken, now: int) -> None:
        """Notes a recorded report."""
        key = (namespace, told.token)
        before = self._had.pop(key, (process, told, 0))
        if told.state in {"asked", "given", "unconfirmed"}:
            while len(self._had) >= _MOST:
                del self._had[next(iter(self._had))]
            until = now + told.seconds * _SECOND if told.seconds else before[2]
            self._had[key] = (process, told, until)

    def left(self, namespace: str, present: Iterable[Connection], now: int) -> list[TellToken]:
        """Returns the events to record for processes that are gone, each once (rules 1 and 2)."""
        there = {teller_of(one) for one in present}
        gone = [
            key for key, (process, *_) in self._had.items() if key[0] == namespace and process not in there
        ]
        found = []
        for _, told, until in [self._had.pop(key) for key in gone]:
            rest = max((until - now) // _SECOND, 0)
            found.append(structs.replace(told, state="left", why="egress-lost", seconds=rest, holder=None))
        return found

    async def bury(
        self,
        namespace: str,
        present: Iterable[Connection],
        now: Callable[[], int],
        record: Callable[[TellToken], Awaitable[None]],
    ) -> None:
        """Records the tokens of processes that are gone; raises as `record` does.

        What could not be recorded is tried again at the next opportunity.
        """
        rest = deque(self.left(namespace, present, now()))
        try:
            while rest:
                await record(rest[0])
                rest.popleft()
        finally:
            for one in rest:
                self.note(namespace, _NOBODY, structs.replace(one, state="given"), now())


class NoPermitError(DeniedError):
    """The asking process holds no open permit of this action."""

    code = "no-permit"
    remedy = "have the call decided: `taskbound gateway` does"


class NoAnswerError(DeniedError):
    """No answer of this action may go to a server for the asking process."""

    code = "not-answered"
    remedy = "have the question decided, and its outcome recorded: `taskbound gateway` does"


_EGRESS_MOST: Final = 32
"""Credentials of one server that are asked about."""


def require_egress(daemon: Daemon, connection: Connection) -> None:
    """Raises UnprovenError or NotOutsideError unless the connection may be the egress'."""
    if connection.role != "egress" or connection.peer.proof.uid != daemon.egress_uid:
        raise UnprovenError("only the egress asks for permits and sealed secrets")
    daemon.require_outside(connection)


@operation(wire.ShowSealed)
async def _show_sealed(daemon: Daemon, connection: Connection, ask: wire.ShowSealed) -> Answer:
    space = connection.namespace
    await _bury(daemon, space)
    seats = [(one.agent, one.task) for one in gateways_of(daemon, space, ask.holder) if one.task]
    looking = [] if seats else _of_process(daemon.connections.persons(), space, ask.holder)
    for one in looking:
        daemon.require_outside(one)

    def read() -> Answer:
        for one in looking:
            daemon.identify(one)
        with daemon.adapters.store.read() as snapshot:
            server = snapshot.tools.server(space, ask.server)
            if server is None or server.is_target:
                raise UnknownServerError(f"no server is named `{ask.server}`")
            tasks = [task for agent, task in seats if not server.agents or agent in server.agents]
            live: tuple[str, ...] = ()
            if looking:
                require_not_stopped(snapshot.revocation.kill_switch(space))
            elif tasks:
                live = require_any_live(daemon, snapshot, space, tasks)
            else:
                raise UnprovenError(f"the process that asks is no gateway with a task for `{ask.server}`")
            secrets = snapshot.tools.secrets(space, ask.server)
            ended = tuple(one for one in ask.credentials[:_EGRESS_MOST] if not _lives(snapshot, space, one))
        return wire.SealedServer(
            spec=read_spec(server),
            secrets=tuple(
                wire.SealedSlot(slot=one.slot, number=one.number, sealed=one.sealed)
                for one in secrets
                if one.sealed
            ),
            now=daemon.adapters.clock.now(),
            tasks=live,
            ended=ended,
        )

    return await daemon.read(read)


@operation(wire.TellToken)
async def _tell_token(daemon: Daemon, connection: Connection, ask: wire.TellToken) -> Answer:
    """Records the life of a token (rule 4); without a task, of a listing person."""
    tokens, space = ServerTokens(daemon.adapters), connection.namespace
    await _bury(daemon, space)
    looking = _of_process(daemon.connections.persons(), space, ask.holder) if ask.holder is not None else []
    for one in looking:
        daemon.require_outside(one)

    def record() -> None:
        for one in looking:
            daemon.identify(one)
        tokens.record(space, ask, look=bool(looking))

    await daemon.first(record)
    daemon.connections.tokens.note(space, teller_of(connection), ask, daemon.adapters.clock.now())
    return Done()


async def _bury(daemon: Daemon, namespace: str) -> None:
    tokens = ServerTokens(daemon.adapters)

    async def record(told: wire.TellToken) -> None:
        await daemon.first(partial(tokens.record, namespace, told))

    present = daemon.connections.egresses()
    await daemon.connections.tokens.bury(namespace, present, daemon.adapters.clock.now, record)


@operation(wire.ShowPermit)
async def _show_permit(daemon: Daemon, connection: Connection, ask: wire.ShowPermit) -> Answer:
    space = connection.namespace
    held = frozenset(one.name for one in gateways_of(daemon, space, ask.holder))

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            action = snapshot.actions.action(space, ask.action)
            if action is None or action.connection not in held or action.state is not ActionState.PERMITTED:
                raise NoPermitError("no permit of this action is open for the process that asks")
            require_any_live(daemon, snapshot, space, [action.task])
            server, _ = parse_tool_name(action.tool)
            secrets = snapshot.tools.secrets(space, server)
        return wire.Permit(
            action=action.id,
            tool=action.tool,
            server=action.server,
            sha256=sha256(action.arguments).hexdigest(),
            at=action.at,
            until=action.until,
            now=daemon.adapters.clock.now(),
            secrets=tuple((one.slot, one.number) for one in secrets if one.sealed),
            key=action.key,
            task=action.task,
        )

    return await daemon.read(read)


@operation(wire.ShowAnswer)
async def _show_answer(daemon: Daemon, connection: Connection, ask: wire.ShowAnswer) -> Answer:
    space = connection.namespace
    held = frozenset(one.name for one in gateways_of(daemon, space, ask.holder))

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            action = snapshot.actions.action(space, ask.action)
            if action is None or action.connection not in held:
                raise NoAnswerError("the process that asks has had no such action decided")
            if action.finished is None or not action.released:
                raise NoAnswerError("nothing that came of this action may go to a server")
            require_any_live(daemon, snapshot, space, [action.task])
        return wire.AnswerOf(
            action=action.id,
            tool=action.tool,
            server=action.server,
            sha256=sha256(action.arguments).hexdigest(),
            answer_sha256=action.answer_digest,
            finished=action.finished,
            now=daemon.adapters.clock.now(),
        )

    return await daemon.read(read)


def gateways_of(daemon: Daemon, namespace: str, holder: wire.Holder) -> list[Connection]:
    """Returns the open gateway connections of exactly this process; runs in the loop."""
    return _of_process(daemon.connections.gateways(), namespace, holder)


def _lives(snapshot: Snapshot, namespace: str, credential: str) -> bool:
    row = snapshot.credentials.credential(namespace, credential)
    return row is not None and row.state in LIVE


def _of_process(some: Iterable[Connection], namespace: str, holder: wire.Holder) -> list[Connection]:
    wanted = (holder.uid, holder.pid, holder.started)
    return [
        one
        for one in some
        if one.namespace == namespace
        and (one.peer.proof.uid, one.peer.proof.pid, one.peer.proof.started) == wanted
    ]


def require_any_live(daemon: Daemon, snapshot: Snapshot, namespace: str, tasks: list[str]) -> tuple[str, ...]:
    """Returns the live ones of these tasks, sorted; raises DeniedError if there are none (rule 3)."""
    require_not_stopped(snapshot.revocation.kill_switch(namespace))
    now = daemon.adapters.clock.now()
    refusal: DeniedError | None = None
    live: set[str] = set()
    for task in tasks:
        try:
            require_live(task, snapshot.tasks.heads(namespace, {task}), now)
        except DeniedError as error:
            refusal = error
        else:
            live.add(task)
    if refusal is not None and not live:
        raise refusal
    return tuple(sorted(live))


class NotInjectedError(DeniedError):
    """The server is not pinned with a slot that such a credential fills."""

    code = "not-injected"
    remedy = "see how the server is pinned with `taskbound upstream list`"


class OtherSeatError(DeniedError):
    """The connection of the egress belongs to another task."""

    code = "other-seat"
    remedy = "ask on a connection of its own: one for each server that is started"


@operation(InjectCredential)
async def _inject(daemon: Daemon, connection: Connection, ask: InjectCredential) -> Answer:
    space = connection.namespace
    agents = {one.agent for one in gateways_of(daemon, space, ask.holder) if one.task == ask.task}
    if not ask.task or len(agents) != 1:
        raise UnprovenError("the process that asks is no gateway of this task")  # 1
    (agent,) = agents

    def read() -> Source:
        with daemon.adapters.store.read() as snapshot:
            require_any_live(daemon, snapshot, space, [ask.task])
            source = _source(snapshot, space, agent, ask)
            if ask.renews:
                _require_renewable(snapshot, space, source)
        return source

    source = await daemon.read(read)
    _seat(connection, agent, ask.task)
    arguments: dict[str, JsonValue] = dict(source.given)
    if seconds := ask.seconds or source.seconds:
        arguments[SECONDS] = seconds
    if ask.renews:
        arguments[RENEWS] = ask.renews
    decide = Decide(
        tool=source.tool,
        arguments=msgspec.Raw(canonical(arguments)),
        request=ask.request,
        resume=ask.resume,
        wait=ask.wait,
        recipient=ask.recipient,
    )
    return answer_of(
        daemon, connection, await decided(daemon, WaitingCall(connection=connection, ask=decide))
    )  # 3


def _source(snapshot: Snapshot, namespace: str, agent: str, ask: InjectCredential) -> Source:
    """Returns the source of the slot by the pin as it is now (rule 2)."""
    server = snapshot.tools.server(namespace, ask.server)
    if server is None or server.is_target or (server.agents and agent not in server.agents):
        raise UnknownServerError(f"no server `{shown(ask.server)}` is pinned for the agent")
    if server.identity == ask.identity:
        for slot in map(parse_slot, slots_of(server)):
            if slot.source is not None and slot.source.credential == ask.source:
                return slot.source
    raise NotInjectedError(f"server `{server.name}` has no slot that `{shown(ask.source)}` fills")


def _require_renewable(snapshot: Snapshot, namespace: str, source: Source) -> None:
    tool = snapshot.tools.tool(namespace, source.tool)
    properties = (
        parse_definition(tool.definition).input_schema.get("properties") if tool is not None else None
    )
    if not isinstance(properties, dict) or RENEWS not in properties:
        raise NotRenewableError(f"credentials of `{source.tool}` are not renewed")


def _seat(connection: Connection, agent: str, task: str) -> None:
    if not connection.agent:
        connection.agent, connection.named, connection.task = agent, task, task
    if (connection.agent, connection.named) != (agent, task):
        raise OtherSeatError("this connection asked for the credentials of another task")
