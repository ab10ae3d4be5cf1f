"""Persons who leave and return, their sessions, and the owners and approvers of agents.

A departure is one transaction: keys withdrawn, accounts unlinked, sessions ended, groups left, tools unowned,
approver roles dropped; agents they own or solely approve for are suspended, and running tasks of those agents
and of their own request paused. A person may leave; the account that owns the data directory may declare
anyone gone, and alone may bring them back. Keys stay withdrawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import AgentPeopleChanged, GroupChanged, IdentityChanged, TaskChanged
from taskbound.core.audit.events.people import AccountUnlinked, SessionEnded
from taskbound.core.errors import DeniedError
from taskbound.core.identity import (
    AgentEvent,
    AgentState,
    NotOwnerError,
    PersonState,
    UnknownIdentityError,
    move_agent,
    require_approver,
)
from taskbound.core.identity.person_key import PersonKeyState
from taskbound.core.task import TaskEvent, TaskState, move_task
from taskbound.flows.identity.monitors import tell
from taskbound.flows.identity.person import let_go_of_tools, withdrawn
from taskbound.flows.means import TaskChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.audit import Event
    from taskbound.core.identity import Agent, Person
    from taskbound.core.identity.issuer import Account
    from taskbound.core.identity.sign_in import Session
    from taskbound.core.task import Task
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Transaction


def end_sessions(
    tx: Transaction,
    namespace: str,
    which: Callable[[Session], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> tuple[Session, ...]:
    ended = tuple(one for one in tx.accounts.sessions(namespace) if which(one))
    for one in ended:
        tx.accounts.drop_session(namespace, one.id)
        events.append(
            SessionEnded(person=one.person, session=one.id, reason=reason, by=actor.name, proof=actor.proof)
        )
    return ended


def drop_accounts(
    tx: Transaction,
    namespace: str,
    which: Callable[[Account], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> tuple[Account, ...]:
    """Unlinks the selected accounts, ends their sessions and appends the events."""
    gone = tuple(one for one in tx.accounts.accounts(namespace) if which(one))
    for one in gone:
        tx.accounts.drop_account(namespace, one.issuer, one.subject)
        events.append(
            AccountUnlinked(
                person=one.person,
                issuer=one.issuer,
                subject=one.subject,
                reason=reason,
                by=actor.name,
                proof=actor.proof,
            )
        )
    named = {(one.issuer, one.subject) for one in gone}
    end_sessions(tx, namespace, lambda one: (one.issuer, one.subject) in named, reason, actor, events)
    return gone


_ALL: Final = 1_000_000


class NotSelfError(DeniedError):
    """Only the person or the account that owns the data directory may do this."""

    code = "not-self"
    remedy = "ask that person, or the account that owns the data directory"


class People:
    """Works on persons and on owners and approvers; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def leave(self, namespace: str, name: str, actor: Actor, *, owns: bool, reason: str) -> list[TaskChange]:
        require_self(actor, (name,), owns=owns)
        suspended: list[str] = []
        orphaned: dict[str, list[str]] = {}

        def work(tx: Transaction) -> list[TaskChange]:
            tx.accounts.sessions(namespace)  # alone among those who sign in, before any row is locked
            persons, groups = tx.identities.lock_grantors(namespace)
            before = require_present(persons.get(name), name)
            gone = replace(before, state=PersonState.GONE, version=before.version + 1)
            tx.identities.put_person(gone, expect=before.version)
            events: list[Event] = [_moved(name, before.state.value, gone.state.value, reason, actor)]
            events += [
                withdrawn(tx, key, actor, f"{name} has left")[1]
                for key in tx.identities.lock_person_keys(namespace)
                if key.person == name and key.state is not PersonKeyState.WITHDRAWN
            ]
            for group in groups:
                if name in group.everyone:
                    members = tuple(one for one in group.members if one != name)
                    claimed = tuple(one for one in group.claimed if one.person != name)
                    after = replace(group, members=members, claimed=claimed, version=group.version + 1)
                    tx.identities.put_group(after, expect=group.version)
                    events.append(
                        GroupChanged(group=group.name, members=members, by=actor.name, proof=actor.proof)
                    )
            drop_accounts(tx, namespace, lambda one: one.person == name, f"{name} has left", actor, events)
            orphaned.clear()
            orphaned.update(let_go_of_tools(tx, namespace, name, actor, events))
            suspended[:] = _let_go(tx, namespace, name, actor, events)
            moved = pause_tasks(
                tx,
                namespace,
                lambda task: task.requester == name or task.agent in suspended,
                f"{name} has left",
                actor,
                events,
            )
            self._record(tx, namespace, events)
            return moved

        moved = self._adapters.store.write(work, reserve=True)
        self._after(namespace, moved)
        news = {
            "kind": "taskbound-person-left",
            "person": name,
            "reason": reason,
            "suspended_agents": suspended,
            **orphaned,
            "paused_tasks": [one.task for one in moved],
        }
        tell(self._adapters, namespace, news, also=suspended)
        return moved

    def come_back(self, namespace: str, name: str, actor: Actor, *, owns: bool) -> Person:
        require_self(actor, (), owns=owns)

        def work(tx: Transaction) -> Person:
            persons, _ = tx.identities.lock_grantors(namespace)
            before = persons.get(name)
            if before is None or before.state is PersonState.PRESENT:
                raise UnknownIdentityError(f"no person named `{name}` has left")
            after = replace(before, state=PersonState.PRESENT, version=before.version + 1)
            tx.identities.put_person(after, expect=before.version)
            self._record(tx, namespace, [_moved(name, before.state.value, after.state.value, "", actor)])
            return after

        after = self._adapters.store.write(work)
        self._after(namespace, [])
        return after

    def set_answering(
        self,
        namespace: str,
        agent: str,
        *,
        owner: str,
        approvers: tuple[str, ...],
        actor: Actor,
        owns: bool,
    ) -> Agent:
        def work(tx: Transaction) -> Agent:
            persons, _ = tx.identities.lock_grantors(namespace)
            before = tx.identities.agent(namespace, agent)
            if before is None:
                raise UnknownIdentityError(f"no agent is named `{agent}`")
            for name in (owner, *approvers):
                require_present(persons.get(name), name)
            left = persons.get(before.owner)
            orphaned = left is None or left.state is not PersonState.PRESENT
            if actor.name != before.owner and not (orphaned and owns):
                raise NotOwnerError(f"only the owner of agent `{agent}` says who answers for it")
            after = replace(
                before, owner=owner, approvers=tuple(sorted(set(approvers))), version=before.version + 1
            )
            require_approver(after)
            tx.identities.put_agent(after, expect=before.version)
            event = AgentPeopleChanged(
                identity=agent, owner=owner, approvers=after.approvers, by=actor.name, proof=actor.proof
            )
            self._record(tx, namespace, [event])
            return after

        after = self._adapters.store.write(work)
        self._after(namespace, [])
        return after

    def _after(self, namespace: str, moved: Iterable[TaskChange]) -> None:
        self._views.forget()
        for one in moved:
            self._views.forget_task(namespace, one.task)

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def pause_tasks(
    tx: Transaction,
    namespace: str,
    which: Callable[[Task], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> list[TaskChange]:
    moved: list[TaskChange] = []
    for task in tx.tasks.tasks(namespace, states={TaskState.RUNNING}, limit=_ALL):
        if not which(task):
            continue
        after = move_task(task, TaskEvent.PAUSE)
        tx.tasks.put_task(after, expect=task.version)
        moved.append(TaskChange(namespace=namespace, task=task.id, state=after.state, reason=reason))
        events.append(
            TaskChanged(
                task=task.id,
                before=task.state.value,
                after=after.state.value,
                event=TaskEvent.PAUSE.value,
                reason=reason,
                by=actor.name,
                proof=actor.proof,
                learning=task.learning,
            )
        )
    return moved


def _let_go(tx: Transaction, namespace: str, name: str, actor: Actor, events: list[Event]) -> list[str]:
    suspended: list[str] = []
    for agent in tx.identities.agents(namespace):
        if name != agent.owner and name not in agent.approvers:
            continue
        approvers = tuple(one for one in agent.approvers if one != name)
        after = replace(agent, approvers=approvers, version=agent.version + 1)
        if (name == agent.owner or not approvers) and agent.state is not AgentState.SUSPENDED:
            after = replace(move_agent(after, AgentEvent.SUSPEND, {}), version=agent.version + 1)
            suspended.append(agent.name)
            events.append(_moved(agent.name, agent.state.value, after.state.value, f"{name} has left", actor))
        tx.identities.put_agent(after, expect=agent.version)
        if approvers != agent.approvers:
            events.append(
                AgentPeopleChanged(
                    identity=agent.name,
                    owner=agent.owner,
                    approvers=approvers,
                    by=actor.name,
                    proof=actor.proof,
                )
            )
    return suspended


def require_self(actor: Actor, who: tuple[str, ...], *, owns: bool) -> None:
    """Raises NotSelfError unless the actor is one of `who` or the data directory's owner."""
    if not owns and not who:
        raise NotSelfError(
            "only the account that owns the data directory may say that",
            remedy="ask the account that owns the data directory",
        )
    if not owns and actor.name not in who:
        raise NotSelfError(f"`{actor.name}` may do this only for themselves")


def require_present(person: Person | None, name: str) -> Person:
    if person is None or person.state is not PersonState.PRESENT:
        raise UnknownIdentityError(f"no person is named `{name}`")
    return person


def _moved(name: str, before: str, after: str, reason: str, actor: Actor) -> IdentityChanged:
    return IdentityChanged(
        identity=name, before=before, after=after, reason=reason, by=actor.name, proof=actor.proof
    )
