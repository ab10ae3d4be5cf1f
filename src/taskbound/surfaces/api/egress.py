"""What the egress is told: how a server is pinned, what is sealed for it, what is permitted, and answered.

1. The egress names the process that it read from its own socket. What is told is what that process may have
   done: a server of the agent whose gateway it is, and a permit that a connection of it holds. A person's
   command line, from outside of any gateway or run, may have any server started, to look at what it lists.
   Of credentials that a server was started with it is told which are over.
2. An answer is what came of a question: recorded, released, of a connection of that process.
3. Nothing is told of a task that is not live, nor while everything is stopped, whatever was permitted before.
4. What becomes of a token for a server is recorded, and nothing of the token: first that one is about to be
   asked for, in the egress' word for whom, then how that ended. Of an egress that is gone the
   daemon says it itself (`egress_left`), once another one asks.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.credential import LIVE
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnprovenError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.core.tool import parse_tool_name
from taskbound.flows.tool import UnknownServerError
from taskbound.flows.tool.oauth import ServerTokens
from taskbound.surfaces.api.egress_left import teller_of
from taskbound.surfaces.api.show import read_spec
from taskbound.wire import egress as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


class NoPermitError(DeniedError):
    """There is no open permit of this action for whoever asks."""

    code = "no-permit"
    remedy = "have the call decided: `taskbound gateway` does"


class NoAnswerError(DeniedError):
    """No answer of this action may go to a server for whoever asks."""

    code = "not-answered"
    remedy = "have the question decided, and its outcome recorded: `taskbound gateway` does"


_MOST: Final = 32
"""Credentials of one server that are asked about."""


def require_egress(daemon: Daemon, connection: Connection) -> None:
    """Go on only for the egress: its account, and no process beneath a gateway, a run or an egress.

    Raises:
        UnprovenError: It is another's.
        NotOutsideError: The process runs beneath one.
    """
    if connection.role != "egress" or connection.peer.proof.uid != daemon.egress_uid:
        raise UnprovenError("only the egress asks for permits and sealed secrets")
    daemon.require_outside(connection)


async def show_sealed(daemon: Daemon, connection: Connection, ask: wire.ShowSealed) -> Answer:
    """How a server is pinned, and its sealed secrets, for a gateway that may use it, or a look (rule 1)."""
    space = connection.namespace
    await _bury(daemon, space)
    seats = [(one.agent, one.task) for one in gateways_of(daemon, space, ask.holder) if one.task]
    looking = [] if seats else _of_process(daemon.connections.persons(), space, ask.holder)
    for one in looking:
        daemon.require_outside(one)

    def read() -> Answer:
        for one in looking:
            daemon.identify(one)
        with daemon.means.store.read() as snapshot:
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
            ended = tuple(one for one in ask.credentials[:_MOST] if not _lives(snapshot, space, one))
        return wire.SealedServer(
            spec=read_spec(server),
            secrets=tuple(
                wire.SealedSlot(slot=one.slot, number=one.number, sealed=one.sealed)
                for one in secrets
                if one.sealed
            ),
            now=daemon.means.clock.now(),
            tasks=live,
            ended=ended,
        )

    return await daemon.read(read)


async def tell_token(daemon: Daemon, connection: Connection, ask: wire.TellToken) -> Answer:
    """Record what becomes of a token (rule 4); without a task one is about to be asked for by who looks."""
    tokens, space = ServerTokens(daemon.means), connection.namespace
    await _bury(daemon, space)
    looking = _of_process(daemon.connections.persons(), space, ask.holder) if ask.holder is not None else []
    for one in looking:
        daemon.require_outside(one)

    def record() -> None:
        for one in looking:
            daemon.identify(one)
        tokens.record(space, ask, look=bool(looking))

    await daemon.first(record)
    daemon.connections.tokens.note(space, teller_of(connection), ask, daemon.means.clock.now())
    return Done()


async def _bury(daemon: Daemon, namespace: str) -> None:
    """Record what an egress left that is gone (`egress_left`); another one asks."""
    tokens = ServerTokens(daemon.means)

    async def record(told: wire.TellToken) -> None:
        await daemon.first(partial(tokens.record, namespace, told))

    present = daemon.connections.egresses()
    await daemon.connections.tokens.bury(namespace, present, daemon.means.clock.now, record)


async def show_permit(daemon: Daemon, connection: Connection, ask: wire.ShowPermit) -> Answer:
    """The open permit of an action that a connection of this process holds (rule 1)."""
    space = connection.namespace
    held = frozenset(one.name for one in gateways_of(daemon, space, ask.holder))

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
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
            now=daemon.means.clock.now(),
            secrets=tuple((one.slot, one.number) for one in secrets if one.sealed),
            key=action.key,
            task=action.task,
        )

    return await daemon.read(read)


async def show_answer(daemon: Daemon, connection: Connection, ask: wire.ShowAnswer) -> Answer:
    """What came of a question that a connection of this process had decided (rule 2)."""
    space = connection.namespace
    held = frozenset(one.name for one in gateways_of(daemon, space, ask.holder))

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
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
            now=daemon.means.clock.now(),
        )

    return await daemon.read(read)


def gateways_of(daemon: Daemon, namespace: str, holder: wire.Holder) -> list[Connection]:
    """Open connections of gateways that are this very process; in the loop."""
    return _of_process(daemon.connections.gateways(), namespace, holder)


def _lives(snapshot: Snapshot, namespace: str, credential: str) -> bool:
    row = snapshot.credentials.credential(namespace, credential)
    return row is not None and row.state in LIVE


def _of_process(some: Iterable[Connection], namespace: str, holder: wire.Holder) -> list[Connection]:
    """Those of this very process, in this namespace."""
    wanted = (holder.uid, holder.pid, holder.started)
    return [
        one
        for one in some
        if one.namespace == namespace
        and (one.peer.proof.uid, one.peer.proof.pid, one.peer.proof.started) == wanted
    ]


def require_any_live(daemon: Daemon, snapshot: Snapshot, namespace: str, tasks: list[str]) -> tuple[str, ...]:
    """Go on only when nothing is stopped and one of these tasks is live (rule 3); those that are, sorted.

    Raises:
        DeniedError: None is.
    """
    require_not_stopped(snapshot.revocation.kill_switch(namespace))
    now = daemon.means.clock.now()
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
