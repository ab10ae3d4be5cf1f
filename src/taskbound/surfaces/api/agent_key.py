"""Operations on keys of agents: renewing and listing them, and a statement for a process of the agent.

1. A statement is given to a process that stands beneath the registered run of a running task, for that
   task's agent; and to a gateway, for its own agent, while the task runs that it is bound to. The nearest run
   counts.
2. A process that stands beneath a gateway is a server that the gateway has started, and no agent: it gets
   none, also where all of it stands beneath a run.
3. Whoever connects says itself that it is a gateway, and of which agent. So it gets no more by that than
   without: none beneath another gateway, and none beneath a run of another agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.core.identity.agent_key import NotAgentProcessError
from taskbound.core.task import require_live
from taskbound.flows.task import nearest_run
from taskbound.surfaces.api.authority import apart
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.flows.means import Actor
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_SIGNER_STARTS: Final = 5.0
"""Seconds that a signer may take which is just starting."""


async def renew_key(daemon: Daemon, connection: Connection, ask: wire.RenewAgentKey) -> Answer:
    """Have a new key of the agent made, which counts from now on."""
    actor, owns = await daemon.first(lambda: daemon.require_giver(connection))
    made = await _made(daemon, connection.namespace, ask.agent, actor, owns=owns)
    return Done(detail=made.kid)


async def make_first_key(daemon: Daemon, connection: Connection, agent: str) -> str:
    """Make the key of an agent that was just registered; why that can't be done now, or empty."""
    actor, owns = await daemon.first(lambda: daemon.require_giver(connection))
    try:
        await _made(daemon, connection.namespace, agent, actor, owns=owns)
    except UnavailableError as error:
        return error.message
    return ""


async def list_keys(daemon: Daemon, connection: Connection, ask: wire.ListAgentKeys) -> Answer:
    """The keys of one agent, or of all."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.workloads.agent_keys(connection.namespace, ask.agent)
        rows = [
            wire.AgentKeyRow(kid=one.kid, agent=one.agent, made=one.made, ended=one.ended or 0)
            for one in found
        ]
        return wire.AgentKeyRows(rows=tuple(rows))

    return await daemon.read(read)


async def assert_agent(daemon: Daemon, connection: Connection, ask: wire.AssertAgentKey) -> Answer:
    """A statement of the agent, for its own process (rules 1 and 2)."""
    gateways = frozenset(one.peer.ancestry[0] for one in daemon.connections.gateways(lost=True))
    bound = await daemon.first(lambda: daemon.bind(connection)) if connection.role == "gateway" else ""

    def work() -> Answer:
        agent = _require_agent(daemon, connection, ask.agent, gateways, bound)
        return wire.Assertion(agent=agent, token=daemon.agent_keys.assertion(connection.namespace, agent))

    return await apart(work)


async def _made(daemon: Daemon, namespace: str, agent: str, actor: Actor, *, owns: bool) -> AgentKey:
    if daemon.log_key == "":
        await daemon.wait_checkpoint(_SIGNER_STARTS)
    return await apart(lambda: daemon.agent_keys.renew(namespace, agent, actor=actor, owns=owns))


def _require_agent(
    daemon: Daemon, connection: Connection, agent: str, gateways: frozenset[tuple[int, int]], bound: str
) -> str:
    """The agent whose process is at the other end: the one that is asked for, where one is.

    Args:
        daemon: Who knows.
        connection: Whose other end it is.
        agent: Who is asked for; empty for whoever it is.
        gateways: The processes that are gateways.
        bound: The task of a gateway; empty of whatever is none.

    Raises:
        NotAgentProcessError: It is none's, or another's.
        DeniedError: The task of its run is not live.
    """
    if bound:
        above = _of_run(daemon, connection, gateways - {connection.peer.ancestry[0]}, bound)
        found = connection.agent if above in {None, connection.agent} else ""  # 3
    else:
        found = _of_run(daemon, connection, gateways) or ""
    if not found or agent not in {"", found}:
        raise NotAgentProcessError(
            "a statement of an agent is for its own processes, and this is not one of a task that runs"
        )
    return found


def _of_run(
    daemon: Daemon, connection: Connection, gateways: frozenset[tuple[int, int]], bound: str = ""
) -> str | None:
    """The agent of the nearest run above; empty where a gateway stands nearer (rule 2), none without a run.

    Raises:
        DeniedError: The task of that run is not live, or the one that a gateway is bound to.
    """
    now = daemon.means.clock.now()
    with daemon.means.store.read() as snapshot:
        if bound:
            require_live(bound, snapshot.tasks.heads(connection.namespace, {bound}), now)
        space = connection.namespace
        run = nearest_run(snapshot, space, daemon.boot, connection.peer.ancestry)
        for process in connection.peer.ancestry:
            if process in gateways:
                return ""
            if run is not None and process == (run.pid, run.started):
                if run.namespace != space:
                    return ""
                require_live(run.task, snapshot.tasks.heads(space, {run.task}), now)
                task = snapshot.tasks.task(space, run.task)
                return "" if task is None else task.agent
    return None
