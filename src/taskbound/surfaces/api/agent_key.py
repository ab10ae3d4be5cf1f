"""Operations on keys of agents: renewing and listing them, and a statement for a process of the agent.

1. A statement is given to a process that stands beneath the registered run of a running task, for that
   task's agent; and to a gateway, for its own agent. The nearest run counts.
2. A process that stands beneath a gateway is a server that the gateway has started, and no agent: it gets
   none, also where all of it stands beneath a run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.core.identity.agent_key import NotAgentProcessError
from taskbound.core.task import require_live
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.flows.means import Actor
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer

__all__ = ["assert_agent", "list_keys", "make_first_key", "renew_key"]

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

    def work() -> Answer:
        agent = _require_agent(daemon, connection, ask.agent, gateways)
        return wire.Assertion(agent=agent, token=daemon.agent_keys.assertion(connection.namespace, agent))

    return await asyncio.to_thread(work)


async def _made(daemon: Daemon, namespace: str, agent: str, actor: Actor, *, owns: bool) -> AgentKey:
    if daemon.log_key == "":
        await daemon.wait_checkpoint(_SIGNER_STARTS)
    return await asyncio.to_thread(daemon.agent_keys.renew, namespace, agent, actor=actor, owns=owns)


def _require_agent(
    daemon: Daemon, connection: Connection, agent: str, gateways: frozenset[tuple[int, int]]
) -> str:
    """The agent whose process is at the other end: the one that is asked for, where one is.

    Raises:
        NotAgentProcessError: It is none's, or another's.
        DeniedError: The task of its run is not live.
    """
    found = connection.agent if connection.role == "gateway" else _of_run(daemon, connection, gateways)
    if not found or agent not in {"", found}:
        raise NotAgentProcessError(
            "a statement of an agent is for its own processes, and this is not one of a task that runs"
        )
    return found


def _of_run(daemon: Daemon, connection: Connection, gateways: frozenset[tuple[int, int]]) -> str:
    """The agent of the nearest run above, where no gateway stands nearer (rule 2); else empty."""
    with daemon.means.store.read() as snapshot:
        runs = {(run.pid, run.started): run for run in snapshot.tasks.runs(connection.namespace, daemon.boot)}
        for process in connection.peer.ancestry:
            if process in gateways:
                return ""
            if (run := runs.get(process)) is not None:
                heads = snapshot.tasks.heads(connection.namespace, {run.task})
                require_live(run.task, heads, daemon.means.clock.now())
                task = snapshot.tasks.task(connection.namespace, run.task)
                return "" if task is None else task.agent
    return ""
