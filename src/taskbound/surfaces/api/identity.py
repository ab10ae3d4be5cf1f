"""Operations on persons and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_document
from taskbound.core.identity import UnknownIdentityError, lacks
from taskbound.core.scope import parse_scope
from taskbound.core.task import TaskState
from taskbound.flows.identity import register_person
from taskbound.flows.identity.risk import say_risk
from taskbound.surfaces.api.agent_key import make_first_key
from taskbound.surfaces.api.show import agent_detail, person_row
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity import Agent
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def add_person(daemon: Daemon, connection: Connection, ask: wire.RegisterPerson) -> Answer:
    """Make a person known; the account that owns the data directory registers itself at any time."""

    def work() -> None:
        if ask.uid == daemon.owner_uid:
            actor, _ = daemon.require_giver(connection)
        else:
            actor = daemon.require_person(connection)
        register_person(
            daemon.means, connection.namespace, ask.name, uid=ask.uid, actor=actor, owner_uid=daemon.owner_uid
        )
        daemon.views.forget()

    await daemon.first(work)
    return Done()


async def list_persons(daemon: Daemon, connection: Connection, _ask: wire.ListPersons) -> Answer:
    """Every person."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            persons = snapshot.identities.persons(connection.namespace)
            groups = snapshot.identities.groups(connection.namespace)
        return wire.PersonRows(rows=tuple(person_row(one, persons, groups) for one in persons.values()))

    return await daemon.read(read)


async def register_agent(daemon: Daemon, connection: Connection, ask: wire.RegisterAgent) -> Answer:
    """Write an agent down, inactive."""
    ceiling = parse_scope(parse_document(bytes(ask.ceiling)))
    await daemon.first(
        lambda: daemon.agents.register(
            connection.namespace,
            ask.name,
            owner=ask.owner,
            approvers=ask.approvers,
            monitor=ask.monitor,
            ceiling=ceiling,
            actor=daemon.require_person(connection),
        )
    )
    return Done(detail=await make_first_key(daemon, connection, ask.name))


async def set_ceiling(daemon: Daemon, connection: Connection, ask: wire.SetCeiling) -> Answer:
    """Say anew what the agent can never pass."""
    ceiling = parse_scope(parse_document(bytes(ask.ceiling)))
    await daemon.first(
        lambda: daemon.agents.set_ceiling(
            connection.namespace, ask.name, ceiling, daemon.require_person(connection)
        )
    )
    return Done()


async def test_monitor(daemon: Daemon, connection: Connection, ask: wire.TestMonitor) -> Answer:
    """Bring a fresh code to the agent's monitor."""
    agent = await daemon.first(
        lambda: daemon.agents.test_monitor(connection.namespace, ask.name, daemon.require_person(connection))
    )
    return Done(detail=agent.monitor)


async def acknowledge_monitor(daemon: Daemon, connection: Connection, ask: wire.AcknowledgeMonitor) -> Answer:
    """Take the code that the monitor received."""
    await daemon.first(
        lambda: daemon.agents.acknowledge(
            connection.namespace, ask.name, ask.code, daemon.require_person(connection)
        )
    )
    return Done()


async def activate_agent(daemon: Daemon, connection: Connection, ask: wire.ActivateAgent) -> Answer:
    """Let the agent have tasks."""
    await daemon.first(
        lambda: daemon.agents.activate(connection.namespace, ask.name, daemon.require_person(connection))
    )
    return Done()


async def suspend_agent(daemon: Daemon, connection: Connection, ask: wire.SuspendAgent) -> Answer:
    """Stop the agent and revoke its tasks."""
    ended = await daemon.first(
        lambda: daemon.agents.suspend(
            connection.namespace, ask.name, daemon.require_person(connection), reason=ask.reason
        )
    )
    daemon.tell_ended(ended)
    return Done(detail=f"{len(ended)} tasks revoked")


async def set_risk(daemon: Daemon, connection: Connection, ask: wire.SetRisk) -> Answer:
    """Say how risky the agent is."""
    await daemon.first(
        lambda: say_risk(
            daemon.means,
            daemon.views,
            connection.namespace,
            ask.name,
            ask.level,
            reason=ask.reason,
            actor=daemon.require_person(connection),
        )
    )
    return Done()


async def show_agent(daemon: Daemon, connection: Connection, ask: wire.ShowAgent) -> Answer:
    """One agent."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            agent = snapshot.identities.agent(connection.namespace, ask.name)
            if agent is None:
                raise UnknownIdentityError(f"no agent is named `{ask.name}`")
            return _detail(snapshot, agent)

    return await daemon.read(read)


async def list_agents(daemon: Daemon, connection: Connection, _ask: wire.ListAgents) -> Answer:
    """Every agent."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            agents = snapshot.identities.agents(connection.namespace)
            return wire.AgentRows(rows=tuple(_detail(snapshot, one) for one in agents))

    return await daemon.read(read)


def _detail(snapshot: Snapshot, agent: Agent) -> wire.AgentDetail:
    running = snapshot.tasks.tasks(agent.namespace, agent=agent.name, states={TaskState.RUNNING})
    missing = lacks(agent, snapshot.identities.persons(agent.namespace))
    return agent_detail(agent, missing, tuple(one.id for one in running))
