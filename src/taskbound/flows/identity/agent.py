"""Registering, proving the monitor of, activating and suspending agents.

1. An agent is written down inactive; activating it asks for all of law 9.
2. A monitor is acknowledged by a random code that was sent through the monitor and
   comes back by another way; only the code's digest is kept, and it serves once.
3. Suspending an agent revokes its tasks in the same transaction.
4. A ceiling has no uses and no totals, which belong to tasks, and no steps.
5. The owner says anew what the agent can never pass. Its tasks go on, and each of their actions is
   judged against the new ceiling.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.audit import (
    AgentCeilingChanged,
    IdentityChanged,
    IdentityRegistered,
    MonitorAcknowledged,
)
from taskbound.core.errors import MalformedError
from taskbound.core.identity import (
    Agent,
    AgentEvent,
    AgentState,
    MonitorCodeError,
    NotOwnerError,
    UnknownIdentityError,
    acknowledge,
    move_agent,
    parse_name,
)
from taskbound.core.scope import initial_limits
from taskbound.core.task import TaskEvent, TaskState
from taskbound.flows.identity.person import IdentityExistsError
from taskbound.flows.task.cascade import end_tree

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Scope
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means, Moved
    from taskbound.ports.store import Transaction


class CeilingLimitError(MalformedError):
    """A ceiling with uses, totals or steps."""

    code = "ceiling-limit"
    remedy = (
        "leave `uses`, `total`, `rate` and `steps` out of the ceiling, and put them into scopes and templates"
    )


class Agents:
    """Works on agents; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def register(  # noqa: PLR0913 - what an agent is made of, each by its name
        self,
        namespace: str,
        name: str,
        *,
        owner: str,
        approvers: tuple[str, ...],
        monitor: str,
        ceiling: Scope,
        actor: Actor,
    ) -> Agent:
        """Write an agent down, inactive (rule 1).

        Raises:
            MalformedError: The name, the monitor or the ceiling can't be.
            UnknownIdentityError: The owner or an approver is no person.
            IdentityExistsError: An agent of this name is known.
        """
        _require_ceiling(ceiling)
        agent = Agent(
            namespace=namespace,
            name=parse_name(name, what="an agent"),
            state=AgentState.REGISTERED,
            owner=owner,
            approvers=tuple(sorted(set(approvers))),
            monitor=self._means.monitor.parse(monitor),
            ceiling=ceiling,
        )

        def work(tx: Transaction) -> Agent:
            persons = tx.identities.persons(namespace)
            for person in (owner, *approvers):
                if person not in persons:
                    raise UnknownIdentityError(f"no person is named `{person}`")
            if tx.identities.agent(namespace, name) is not None:
                raise IdentityExistsError(f"an agent named `{name}` is known already")
            tx.identities.put_agent(agent, expect=0)
            event = IdentityRegistered(
                identity=name,
                form="agent",
                by=actor.name,
                proof=actor.proof,
                owner=owner,
                approvers=agent.approvers,
                monitor=agent.monitor,
                ceiling=ceiling.digest,
            )
            self._record(tx, namespace, [event])
            return agent

        return self._means.store.write(work)

    def set_ceiling(self, namespace: str, name: str, ceiling: Scope, actor: Actor) -> Agent:
        """Say anew what the agent can never pass (rule 5).

        Raises:
            CeilingLimitError: The ceiling can't be (rule 4).
            UnknownIdentityError: There is no such agent.
            NotOwnerError: Somebody else than its owner asks.
        """
        _require_ceiling(ceiling)

        def work(tx: Transaction) -> Agent:
            agent = _require(tx.identities.agent(namespace, name), name)
            if agent.owner != actor.name:
                raise NotOwnerError(
                    f"only the owner of agent `{name}` changes its ceiling, and that is `{agent.owner}`"
                )
            after = replace(agent, ceiling=ceiling, version=agent.version + 1)
            tx.identities.put_agent(after, expect=agent.version)
            event = AgentCeilingChanged(
                identity=name,
                before=agent.ceiling.digest,
                after=ceiling.digest,
                by=actor.name,
                proof=actor.proof,
            )
            self._record(tx, namespace, [event])
            return after

        after = self._means.store.write(work)
        self._views.forget()
        return after

    def test_monitor(self, namespace: str, name: str, actor: Actor) -> Agent:
        """Have a fresh code brought to the agent's monitor (rule 2).

        Raises:
            UnknownIdentityError: There is no such agent.
            MonitorUnreachableError: The monitor did not take it; nothing changed.
        """
        agent = self._require(namespace, name)
        code = self._means.chance.code()
        message = {
            "kind": "taskbound-monitor-test",
            "agent": name,
            "namespace": namespace,
            "code": code,
            "asked_by": actor.name,
            "say": f"taskbound agent activate {name} --code {code}",
        }
        self._means.monitor.deliver(agent.monitor, json.dumps(message, ensure_ascii=True).encode())
        challenged = replace(agent, challenge=_digest(code), version=agent.version + 1)
        self._means.store.write(lambda tx: tx.identities.put_agent(challenged, expect=agent.version))
        self._views.forget()
        return challenged

    def acknowledge(self, namespace: str, name: str, code: str, actor: Actor) -> Agent:
        """Take the code that the monitor received (rule 2).

        Raises:
            UnknownIdentityError: There is no such agent.
            MonitorCodeError: It is another code, or none was sent. A wrong try uses the code up.
        """
        agent = self._require(namespace, name)
        try:
            acknowledged = acknowledge(agent, _digest(code.strip()), self._means.clock.now())
        except MonitorCodeError:
            if agent.challenge:
                spent = replace(agent, challenge="", version=agent.version + 1)
                self._means.store.write(lambda tx: tx.identities.put_agent(spent, expect=agent.version))
                self._views.forget()
            raise
        event = MonitorAcknowledged(identity=name, monitor=agent.monitor, by=actor.name, proof=actor.proof)

        def work(tx: Transaction) -> None:
            tx.identities.put_agent(acknowledged, expect=agent.version)
            self._record(tx, namespace, [event])

        self._means.store.write(work)
        self._views.forget()
        return acknowledged

    def activate(self, namespace: str, name: str, actor: Actor) -> Agent:
        """Let the agent have tasks (rule 1).

        Raises:
            UnknownIdentityError: There is no such agent.
            InactiveAgentError: It lacks something (law 9).
            WrongStateError: It is active.
        """

        def work(tx: Transaction) -> Agent:
            agent = _require(tx.identities.agent(namespace, name), name)
            after = move_agent(agent, AgentEvent.ACTIVATE, tx.identities.persons(namespace))
            tx.identities.put_agent(after, expect=agent.version)
            self._record(tx, namespace, [_changed(agent, after, "", actor)])
            return after

        after = self._means.store.write(work)
        self._views.forget()
        return after

    def suspend(self, namespace: str, name: str, actor: Actor, *, reason: str) -> list[Moved]:
        """Stop the agent, and revoke its tasks (rule 3); the tasks that ended.

        Raises:
            UnknownIdentityError: There is no such agent.
            WrongStateError: It is suspended.
        """

        def work(tx: Transaction) -> list[Moved]:
            agent = _require(tx.identities.agent(namespace, name), name)
            after = move_agent(agent, AgentEvent.SUSPEND, tx.identities.persons(namespace))
            tx.identities.put_agent(after, expect=agent.version)
            ended, events = _revoke_tasks(tx, agent, actor, self._means.clock.now())
            self._record(tx, namespace, [_changed(agent, after, reason, actor), *events])
            return ended

        ended = self._means.store.write(work, reserve=True)
        self._views.forget()
        return ended

    def _require(self, namespace: str, name: str) -> Agent:
        with self._means.store.read() as snapshot:
            return _require(snapshot.identities.agent(namespace, name), name)

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def _require_ceiling(ceiling: Scope) -> None:
    if initial_limits(ceiling) or ceiling.steps:
        raise CeilingLimitError("a ceiling has no uses, no totals and no steps")  # 4


def _revoke_tasks(
    tx: Transaction, agent: Agent, actor: Actor, now: Instant
) -> tuple[list[Moved], list[Event]]:
    why = f"agent {agent.name} was suspended"
    ended: list[Moved] = []
    events: list[Event] = []
    open_states = {TaskState.PROPOSED, TaskState.RUNNING, TaskState.PAUSED}
    tasks = tx.tasks.tasks(agent.namespace, agent=agent.name, states=open_states, limit=1_000_000)
    for task in tasks:
        tree = tx.tasks.lock_tree(agent.namespace, task.id)
        done = end_tree(tx, tree, TaskEvent.REVOKE, actor, now=now, reason=why, beneath=why)
        ended += done.moved
        events += done.events
    return ended, events


def _require(agent: Agent | None, name: str) -> Agent:
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{name}`")
    return agent


def _changed(before: Agent, after: Agent, reason: str, actor: Actor) -> IdentityChanged:
    return IdentityChanged(
        identity=before.name,
        before=before.state.value,
        after=after.state.value,
        reason=reason,
        by=actor.name,
        proof=actor.proof,
    )


def _digest(code: str) -> str:
    return sha256(code.encode()).hexdigest()
