"""Operations on persons, groups and agents: accounts, keys, grantable scopes.

1. A statement goes to a process beneath the registered run of a running task, for that task's agent, and to a
   gateway for its own agent while its bound task runs. The nearest run counts.
2. A process beneath a gateway is a server that the gateway started, not the agent: it gets no statement, even
   if both stand beneath a run.
3. The gateway role and its agent are the caller's own claim, so they grant nothing that the process would not
   get without them: nothing beneath another gateway or beneath a run of another agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import parse_document
from taskbound.core.errors import UnavailableError
from taskbound.core.identity import Breadth, UnknownIdentityError, lacks
from taskbound.core.identity.agent import BadGrantableError, NotAgentProcessError
from taskbound.core.scope import parse_scope
from taskbound.core.task import TaskState, require_live
from taskbound.flows.identity import Groups, register_person, set_person_grantable
from taskbound.flows.identity.account import end_session, link_account, set_issuer_groups, unlink_account
from taskbound.flows.identity.agent import say_risk
from taskbound.flows.task import nearest_run
from taskbound.surfaces.api.auth.authority import apart
from taskbound.surfaces.api.operations.show import agent_detail, group_detail, person_detail, person_row
from taskbound.surfaces.api.server.operation import Ended, as_giver, as_person, from_snapshot, operation
from taskbound.wire import identity as wire
from taskbound.wire import workload as workload_wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity import Agent, Grantable
    from taskbound.core.identity.agent import AgentKey
    from taskbound.flows.means import Actor
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, PersonAct, Reading
    from taskbound.wire.envelope import Answer


_SIGNER_STARTS: Final = 5.0
"""Seconds that a signer may take which is just starting."""


@operation(workload_wire.RenewAgentKey)
async def _renew_key(daemon: Daemon, connection: Connection, ask: workload_wire.RenewAgentKey) -> Answer:
    actor, owns = await daemon.first(lambda: daemon.require_giver(connection))
    made = await _made(daemon, connection.namespace, ask.agent, actor, owns=owns)
    return Done(detail=made.kid)


async def make_first_key(daemon: Daemon, connection: Connection, agent: str) -> str:
    """Has the key of a newly registered agent made; returns why that failed, or an empty text."""
    actor, owns = await daemon.first(lambda: daemon.require_giver(connection))
    try:
        await _made(daemon, connection.namespace, agent, actor, owns=owns)
    except UnavailableError as error:
        return error.message
    return ""


@from_snapshot(workload_wire.ListAgentKeys)
def _list_keys(reading: Reading, ask: workload_wire.ListAgentKeys) -> Answer:
    found = reading.snapshot.workloads.agent_keys(reading.namespace, ask.agent)
    rows = [
        workload_wire.AgentKeyRow(kid=one.kid, agent=one.agent, made=one.made, ended=one.ended or 0)
        for one in found
    ]
    return workload_wire.AgentKeyRows(rows=tuple(rows))


@operation(workload_wire.AssertAgentKey)
async def _assert_agent(daemon: Daemon, connection: Connection, ask: workload_wire.AssertAgentKey) -> Answer:
    gateways = frozenset(one.peer.ancestry[0] for one in daemon.connections.gateways(lost=True))
    bound = await daemon.first(lambda: daemon.bind(connection)) if connection.role == "gateway" else ""

    def work() -> Answer:
        agent = _require_agent(daemon, connection, ask.agent, gateways, bound)
        return workload_wire.Assertion(
            agent=agent, token=daemon.agent_keys.assertion(connection.namespace, agent)
        )

    return await apart(work)


async def _made(daemon: Daemon, namespace: str, agent: str, actor: Actor, *, owns: bool) -> AgentKey:
    if daemon.log_key == "":
        await daemon.wait_checkpoint(_SIGNER_STARTS)
    return await apart(lambda: daemon.agent_keys.renew(namespace, agent, actor=actor, owns=owns))


def _require_agent(
    daemon: Daemon, connection: Connection, agent: str, gateways: frozenset[tuple[int, int]], bound: str
) -> str:
    """`agent` may be empty for any agent; `bound` is a gateway's task, empty for other processes."""
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
    """Returns the agent of the nearest run; empty if a gateway is nearer (rule 2), None without a run."""
    now = daemon.adapters.clock.now()
    with daemon.adapters.store.read() as snapshot:
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


@operation(wire.RegisterPerson)
async def _add_person(daemon: Daemon, connection: Connection, ask: wire.RegisterPerson) -> Answer:
    """Registers a person; the account that owns the data directory may always register itself."""

    def work() -> None:
        if ask.uid == daemon.owner_uid:
            actor, _ = daemon.require_giver(connection)
        else:
            actor = daemon.require_person(connection)
        register_person(
            daemon.adapters,
            connection.namespace,
            ask.name,
            uid=ask.uid,
            actor=actor,
            owner_uid=daemon.owner_uid,
        )
        daemon.views.forget()

    await daemon.first(work)
    return Done()


@from_snapshot(wire.ListPersons)
def _list_persons(reading: Reading, _ask: wire.ListPersons) -> Answer:
    persons = reading.snapshot.identities.persons(reading.namespace)
    groups = reading.snapshot.identities.groups(reading.namespace)
    return wire.PersonRows(rows=tuple(person_row(one, persons, groups) for one in persons.values()))


@operation(wire.RegisterAgent)
async def _register_agent(daemon: Daemon, connection: Connection, ask: wire.RegisterAgent) -> Answer:
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


@operation(wire.SetCeiling)
async def _set_ceiling(daemon: Daemon, connection: Connection, ask: wire.SetCeiling) -> Answer:
    ceiling = parse_scope(parse_document(bytes(ask.ceiling)))
    await daemon.first(
        lambda: daemon.agents.set_ceiling(
            connection.namespace, ask.name, ceiling, daemon.require_person(connection)
        )
    )
    return Done()


@operation(wire.TestMonitor)
async def _test_monitor(daemon: Daemon, connection: Connection, ask: wire.TestMonitor) -> Answer:
    agent = await daemon.first(
        lambda: daemon.agents.test_monitor(connection.namespace, ask.name, daemon.require_person(connection))
    )
    return Done(detail=agent.monitor)


@as_person(wire.AcknowledgeMonitor)
def _acknowledge_monitor(act: PersonAct, ask: wire.AcknowledgeMonitor) -> None:
    act.daemon.agents.acknowledge(act.namespace, ask.name, ask.code, act.actor)


@as_person(wire.ActivateAgent)
def _activate_agent(act: PersonAct, ask: wire.ActivateAgent) -> None:
    act.daemon.agents.activate(act.namespace, ask.name, act.actor)


@as_person(wire.SuspendAgent)
def _suspend_agent(act: PersonAct, ask: wire.SuspendAgent) -> Ended:
    ended = act.daemon.agents.suspend(act.namespace, ask.name, act.actor, reason=ask.reason)
    return Ended(ended, Done(detail=f"{len(ended)} tasks revoked"))


@as_person(wire.SetRisk)
def _set_risk(act: PersonAct, ask: wire.SetRisk) -> None:
    say_risk(
        act.adapters, act.daemon.views, act.namespace, ask.name, ask.level, reason=ask.reason, actor=act.actor
    )


@from_snapshot(wire.ShowAgent)
def _show_agent(reading: Reading, ask: wire.ShowAgent) -> Answer:
    agent = reading.snapshot.identities.agent(reading.namespace, ask.name)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{ask.name}`")
    return _detail(reading.snapshot, agent)


@from_snapshot(wire.ListAgents)
def _list_agents(reading: Reading, _ask: wire.ListAgents) -> Answer:
    agents = reading.snapshot.identities.agents(reading.namespace)
    return wire.AgentRows(rows=tuple(_detail(reading.snapshot, one) for one in agents))


def _detail(snapshot: Snapshot, agent: Agent) -> wire.AgentDetail:
    running = snapshot.tasks.tasks(agent.namespace, agent=agent.name, states={TaskState.RUNNING})
    missing = lacks(agent, snapshot.identities.persons(agent.namespace))
    return agent_detail(agent, missing, tuple(one.id for one in running))


@as_giver(wire.LinkAccount)
def _link(act: GiverAct, ask: wire.LinkAccount) -> None:
    link_account(
        act.adapters,
        act.namespace,
        ask.person,
        issuer=ask.issuer,
        subject=ask.subject,
        actor=act.actor,
        owns=act.owns,
    )


@as_giver(wire.UnlinkAccount)
def _unlink(act: GiverAct, ask: wire.UnlinkAccount) -> Ended:
    moved = unlink_account(
        act.adapters,
        act.namespace,
        ask.person,
        issuer=ask.issuer,
        subject=ask.subject,
        actor=act.actor,
        owns=act.owns,
    )
    act.daemon.views.forget()
    return Ended(moved, Done())


@from_snapshot(wire.ListAccounts)
def _list_accounts(reading: Reading, ask: wire.ListAccounts) -> Answer:
    found = reading.snapshot.accounts.accounts(reading.namespace)
    rows = (
        wire.AccountRow(
            person=one.person, issuer=one.issuer, subject=one.subject, linked=one.linked, by=one.by
        )
        for one in found
        if ask.person in {"", one.person}
    )
    return wire.AccountRows(rows=tuple(rows))


@from_snapshot(wire.ListSessions)
def _list_sessions(reading: Reading, ask: wire.ListSessions) -> Answer:
    now = reading.adapters.clock.now()
    found = reading.snapshot.accounts.sessions(reading.namespace)
    rows = (
        wire.SessionRow(
            session=one.id,
            person=one.person,
            issuer=one.issuer,
            subject=one.subject,
            authenticated=one.authenticated,
            acr=one.acr,
            began=one.began,
            until=one.until,
        )
        for one in found
        if ask.person in {"", one.person} and now < one.until
    )
    return wire.SessionRows(rows=tuple(rows))


@as_giver(wire.EndSession)
def _put_session_out(act: GiverAct, ask: wire.EndSession) -> None:
    end_session(act.adapters, act.namespace, ask.session, actor=act.actor, owns=act.owns)


@as_giver(wire.SetIssuerGroups)
def _put_groups(act: GiverAct, ask: wire.SetIssuerGroups) -> Ended:
    moved = set_issuer_groups(
        act.adapters,
        act.namespace,
        ask.name,
        claim=ask.claim,
        groups=[(one.value, one.group) for one in ask.groups],
        actor=act.actor,
        owns=act.owns,
    )
    act.daemon.views.forget()
    return Ended(moved, Done())


@from_snapshot(wire.ShowPerson)
def _show_person(reading: Reading, ask: wire.ShowPerson) -> Answer:
    persons = reading.snapshot.identities.persons(reading.namespace)
    groups = reading.snapshot.identities.groups(reading.namespace)
    if ask.name not in persons:
        raise UnknownIdentityError(f"no person is named `{ask.name}`")
    return person_detail(ask.name, persons, groups)


@operation(wire.SetPersonGrantable)
async def _set_grantable(daemon: Daemon, connection: Connection, ask: wire.SetPersonGrantable) -> Answer:
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        set_person_grantable(
            daemon.adapters, connection.namespace, ask.name, grantable, actor=actor, owns=owns
        )
        daemon.views.forget()

    await daemon.first(work)
    return Done()


@as_giver(wire.AddGroup)
def _add_group(act: GiverAct, ask: wire.AddGroup) -> None:
    Groups(act.adapters).add(act.namespace, ask.name, act.actor, owns=act.owns)


@as_giver(wire.SetMember)
def _set_member(act: GiverAct, ask: wire.SetMember) -> Ended:
    moved = Groups(act.adapters).set_member(
        act.namespace, ask.group, ask.person, member=ask.member, actor=act.actor, owns=act.owns
    )
    act.daemon.views.forget()
    return Ended(moved, Done(detail=f"{len(moved)} tasks paused" if moved else ""))


@operation(wire.SetGroupGrantable)
async def _set_group_grantable(daemon: Daemon, connection: Connection, ask: wire.SetGroupGrantable) -> Answer:
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        Groups(daemon.adapters).set_grantable(
            connection.namespace, ask.name, grantable, actor=actor, owns=owns
        )
        daemon.views.forget()

    await daemon.first(work)
    return Done()


@from_snapshot(wire.ListGroups)
def _list_groups(reading: Reading, _ask: wire.ListGroups) -> Answer:
    groups = reading.snapshot.identities.groups(reading.namespace)
    return wire.GroupRows(rows=tuple(map(group_detail, groups)))


@from_snapshot(wire.ShowGroup)
def _show_group(reading: Reading, ask: wire.ShowGroup) -> Answer:
    for one in reading.snapshot.identities.groups(reading.namespace):
        if one.name == ask.name:
            return group_detail(one)
    raise UnknownIdentityError(f"no group is named `{ask.name}`")


def _grantable(ask: wire.SetPersonGrantable | wire.SetGroupGrantable) -> Grantable:
    scope = ask.scope
    if isinstance(scope, msgspec.Raw) and not ask.word:
        return parse_scope(parse_document(bytes(scope)))
    for one in Breadth:
        if ask.word == one.value and scope is msgspec.UNSET:
            return one
    raise BadGrantableError("give either a scope, or one of the words `nothing` and `ceiling`", where="word")
