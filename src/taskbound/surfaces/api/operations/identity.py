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
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import identity as wire
from taskbound.wire import workload as workload_wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.identity import Agent, Grantable
    from taskbound.core.identity.agent import AgentKey
    from taskbound.flows.means import Actor, Moved
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
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


@operation(workload_wire.ListAgentKeys)
async def _list_keys(daemon: Daemon, connection: Connection, ask: workload_wire.ListAgentKeys) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.workloads.agent_keys(connection.namespace, ask.agent)
        rows = [
            workload_wire.AgentKeyRow(kid=one.kid, agent=one.agent, made=one.made, ended=one.ended or 0)
            for one in found
        ]
        return workload_wire.AgentKeyRows(rows=tuple(rows))

    return await daemon.read(read)


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


@operation(wire.RegisterPerson)
async def _add_person(daemon: Daemon, connection: Connection, ask: wire.RegisterPerson) -> Answer:
    """Registers a person; the account that owns the data directory may always register itself."""

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


@operation(wire.ListPersons)
async def _list_persons(daemon: Daemon, connection: Connection, _ask: wire.ListPersons) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            persons = snapshot.identities.persons(connection.namespace)
            groups = snapshot.identities.groups(connection.namespace)
        return wire.PersonRows(rows=tuple(person_row(one, persons, groups) for one in persons.values()))

    return await daemon.read(read)


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


@operation(wire.AcknowledgeMonitor)
async def _acknowledge_monitor(
    daemon: Daemon, connection: Connection, ask: wire.AcknowledgeMonitor
) -> Answer:
    await daemon.first(
        lambda: daemon.agents.acknowledge(
            connection.namespace, ask.name, ask.code, daemon.require_person(connection)
        )
    )
    return Done()


@operation(wire.ActivateAgent)
async def _activate_agent(daemon: Daemon, connection: Connection, ask: wire.ActivateAgent) -> Answer:
    await daemon.first(
        lambda: daemon.agents.activate(connection.namespace, ask.name, daemon.require_person(connection))
    )
    return Done()


@operation(wire.SuspendAgent)
async def _suspend_agent(daemon: Daemon, connection: Connection, ask: wire.SuspendAgent) -> Answer:
    ended = await daemon.first(
        lambda: daemon.agents.suspend(
            connection.namespace, ask.name, daemon.require_person(connection), reason=ask.reason
        )
    )
    daemon.tell_ended(ended)
    return Done(detail=f"{len(ended)} tasks revoked")


@operation(wire.SetRisk)
async def _set_risk(daemon: Daemon, connection: Connection, ask: wire.SetRisk) -> Answer:
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


@operation(wire.ShowAgent)
async def _show_agent(daemon: Daemon, connection: Connection, ask: wire.ShowAgent) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            agent = snapshot.identities.agent(connection.namespace, ask.name)
            if agent is None:
                raise UnknownIdentityError(f"no agent is named `{ask.name}`")
            return _detail(snapshot, agent)

    return await daemon.read(read)


@operation(wire.ListAgents)
async def _list_agents(daemon: Daemon, connection: Connection, _ask: wire.ListAgents) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            agents = snapshot.identities.agents(connection.namespace)
            return wire.AgentRows(rows=tuple(_detail(snapshot, one) for one in agents))

    return await daemon.read(read)


def _detail(snapshot: Snapshot, agent: Agent) -> wire.AgentDetail:
    running = snapshot.tasks.tasks(agent.namespace, agent=agent.name, states={TaskState.RUNNING})
    missing = lacks(agent, snapshot.identities.persons(agent.namespace))
    return agent_detail(agent, missing, tuple(one.id for one in running))


@operation(wire.LinkAccount)
async def _link(daemon: Daemon, connection: Connection, ask: wire.LinkAccount) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        link_account(
            daemon.means,
            connection.namespace,
            ask.person,
            issuer=ask.issuer,
            subject=ask.subject,
            actor=actor,
            owns=owns,
        )

    await daemon.first(work)
    return Done()


@operation(wire.UnlinkAccount)
async def _unlink(daemon: Daemon, connection: Connection, ask: wire.UnlinkAccount) -> Answer:
    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = unlink_account(
            daemon.means,
            connection.namespace,
            ask.person,
            issuer=ask.issuer,
            subject=ask.subject,
            actor=actor,
            owns=owns,
        )
        daemon.views.forget()
        return moved

    daemon.tell_ended(await daemon.first(work))
    return Done()


@operation(wire.ListAccounts)
async def _list_accounts(daemon: Daemon, connection: Connection, ask: wire.ListAccounts) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.accounts.accounts(connection.namespace)
        rows = (
            wire.AccountRow(
                person=one.person, issuer=one.issuer, subject=one.subject, linked=one.linked, by=one.by
            )
            for one in found
            if ask.person in {"", one.person}
        )
        return wire.AccountRows(rows=tuple(rows))

    return await daemon.read(read)


@operation(wire.ListSessions)
async def _list_sessions(daemon: Daemon, connection: Connection, ask: wire.ListSessions) -> Answer:
    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            found = snapshot.accounts.sessions(connection.namespace)
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

    return await daemon.read(read)


@operation(wire.EndSession)
async def _put_session_out(daemon: Daemon, connection: Connection, ask: wire.EndSession) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        end_session(daemon.means, connection.namespace, ask.session, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


@operation(wire.SetIssuerGroups)
async def _put_groups(daemon: Daemon, connection: Connection, ask: wire.SetIssuerGroups) -> Answer:
    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = set_issuer_groups(
            daemon.means,
            connection.namespace,
            ask.name,
            claim=ask.claim,
            groups=[(one.value, one.group) for one in ask.groups],
            actor=actor,
            owns=owns,
        )
        daemon.views.forget()
        return moved

    daemon.tell_ended(await daemon.first(work))
    return Done()


@operation(wire.ShowPerson)
async def _show_person(daemon: Daemon, connection: Connection, ask: wire.ShowPerson) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            persons = snapshot.identities.persons(connection.namespace)
            groups = snapshot.identities.groups(connection.namespace)
        if ask.name not in persons:
            raise UnknownIdentityError(f"no person is named `{ask.name}`")
        return person_detail(ask.name, persons, groups)

    return await daemon.read(read)


@operation(wire.SetPersonGrantable)
async def _set_grantable(daemon: Daemon, connection: Connection, ask: wire.SetPersonGrantable) -> Answer:
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        set_person_grantable(daemon.means, connection.namespace, ask.name, grantable, actor=actor, owns=owns)
        daemon.views.forget()

    await daemon.first(work)
    return Done()


@operation(wire.AddGroup)
async def _add_group(daemon: Daemon, connection: Connection, ask: wire.AddGroup) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        Groups(daemon.means).add(connection.namespace, ask.name, actor, owns=owns)

    await daemon.first(work)
    return Done()


@operation(wire.SetMember)
async def _set_member(daemon: Daemon, connection: Connection, ask: wire.SetMember) -> Answer:
    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = Groups(daemon.means).set_member(
            connection.namespace, ask.group, ask.person, member=ask.member, actor=actor, owns=owns
        )
        daemon.views.forget()
        return moved

    moved = await daemon.first(work)
    daemon.tell_ended(moved)
    return Done(detail=f"{len(moved)} tasks paused" if moved else "")


@operation(wire.SetGroupGrantable)
async def _set_group_grantable(daemon: Daemon, connection: Connection, ask: wire.SetGroupGrantable) -> Answer:
    grantable = _grantable(ask)

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        Groups(daemon.means).set_grantable(connection.namespace, ask.name, grantable, actor=actor, owns=owns)
        daemon.views.forget()

    await daemon.first(work)
    return Done()


@operation(wire.ListGroups)
async def _list_groups(daemon: Daemon, connection: Connection, _ask: wire.ListGroups) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            groups = snapshot.identities.groups(connection.namespace)
        return wire.GroupRows(rows=tuple(map(group_detail, groups)))

    return await daemon.read(read)


@operation(wire.ShowGroup)
async def _show_group(daemon: Daemon, connection: Connection, ask: wire.ShowGroup) -> Answer:
    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            for one in snapshot.identities.groups(connection.namespace):
                if one.name == ask.name:
                    return group_detail(one)
        raise UnknownIdentityError(f"no group is named `{ask.name}`")

    return await daemon.read(read)


def _grantable(ask: wire.SetPersonGrantable | wire.SetGroupGrantable) -> Grantable:
    scope = ask.scope
    if isinstance(scope, msgspec.Raw) and not ask.word:
        return parse_scope(parse_document(bytes(scope)))
    for one in Breadth:
        if ask.word == one.value and scope is msgspec.UNSET:
            return one
    raise BadGrantableError("give either a scope, or one of the words `nothing` and `ceiling`", where="word")
