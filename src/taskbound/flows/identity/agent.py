"""Agents: registered, activated, suspended; their keys, selectors and risk.

- A monitor is acknowledged by a random code sent through it and returned another way; only its digest is
  kept, for one use.
- Suspending an agent revokes its tasks in the same transaction. A risk level changes the agent's version, so
  uncommitted decisions are evaluated again.
- The agent's owner or the account that owns the data directory renews the key. It is made before it is
  stored, so a crash leaves at most a private key without trust. The surface ensures that only a process of
  the agent's running task gets a statement.
- Overlap with another agent's selectors is checked in the writing transaction, which excludes other writers
  on any machine.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.audit import (
    AgentCeilingChanged,
    AgentRiskChanged,
    IdentityChanged,
    IdentityRegistered,
    MonitorAcknowledged,
)
from taskbound.core.audit.events.people import AgentKeyChanged, SelectorAdded, SelectorRemoved
from taskbound.core.errors import MalformedError, TaskboundError, UnavailableError
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
from taskbound.core.identity.agent import (
    AgentKey,
    UnknownAgentKeyError,
    parse_risk,
    parse_risk_reason,
    set_level,
)
from taskbound.core.identity.issuer import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import UnknownSelectorError, require_apart, selector_id
from taskbound.core.scope import initial_limits
from taskbound.core.task import TaskEvent, TaskState
from taskbound.flows.identity.person import IdentityExistsError
from taskbound.flows.task.cascade import end_tree
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity.selector import Selector
    from taskbound.core.scope import Scope
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters, TaskChange
    from taskbound.ports.identity import Custody, IdentityReads
    from taskbound.ports.store import Transaction


class CeilingLimitError(MalformedError):
    """A ceiling may not have uses, totals or steps."""

    code = "ceiling-limit"
    remedy = (
        "leave `uses`, `total`, `rate` and `steps` out of the ceiling, and put them into scopes and templates"
    )


class Agents:
    """Works on agents; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
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
        _require_ceiling(ceiling)
        agent = Agent(
            namespace=namespace,
            name=parse_name(name, what="an agent"),
            state=AgentState.REGISTERED,
            owner=owner,
            approvers=tuple(sorted(set(approvers))),
            monitor=self._adapters.monitor.parse(monitor),
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

        return self._adapters.store.write(work)

    def set_ceiling(self, namespace: str, name: str, ceiling: Scope, actor: Actor) -> Agent:
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

        after = self._adapters.store.write(work)
        self._views.forget()
        return after

    def test_monitor(self, namespace: str, name: str, actor: Actor) -> Agent:
        agent = self._require(namespace, name)
        code = self._adapters.chance.code()
        message = {
            "kind": "taskbound-monitor-test",
            "agent": name,
            "namespace": namespace,
            "code": code,
            "asked_by": actor.name,
            "say": f"taskbound agent activate {name} --code {code}",
        }
        self._adapters.monitor.deliver(agent.monitor, json.dumps(message, ensure_ascii=True).encode())
        challenged = replace(agent, challenge=_digest(code), version=agent.version + 1)
        self._adapters.store.write(lambda tx: tx.identities.put_agent(challenged, expect=agent.version))
        self._views.forget()
        return challenged

    def acknowledge(self, namespace: str, name: str, code: str, actor: Actor) -> Agent:
        agent = self._require(namespace, name)
        try:
            acknowledged = acknowledge(agent, _digest(code.strip()), self._adapters.clock.now())
        except MonitorCodeError:
            if agent.challenge:
                spent = replace(agent, challenge="", version=agent.version + 1)
                self._adapters.store.write(lambda tx: tx.identities.put_agent(spent, expect=agent.version))
                self._views.forget()
            raise
        event = MonitorAcknowledged(identity=name, monitor=agent.monitor, by=actor.name, proof=actor.proof)

        def work(tx: Transaction) -> None:
            tx.identities.put_agent(acknowledged, expect=agent.version)
            self._record(tx, namespace, [event])

        self._adapters.store.write(work)
        self._views.forget()
        return acknowledged

    def activate(self, namespace: str, name: str, actor: Actor) -> Agent:
        def work(tx: Transaction) -> Agent:
            agent = _require(tx.identities.agent(namespace, name), name)
            after = move_agent(agent, AgentEvent.ACTIVATE, tx.identities.persons(namespace))
            tx.identities.put_agent(after, expect=agent.version)
            self._record(tx, namespace, [_changed(agent, after, "", actor)])
            return after

        after = self._adapters.store.write(work)
        self._views.forget()
        return after

    def suspend(self, namespace: str, name: str, actor: Actor, *, reason: str) -> list[TaskChange]:
        def work(tx: Transaction) -> list[TaskChange]:
            agent = _require(tx.identities.agent(namespace, name), name)
            after = move_agent(agent, AgentEvent.SUSPEND, tx.identities.persons(namespace))
            tx.identities.put_agent(after, expect=agent.version)
            ended, events = _revoke_tasks(tx, agent, actor, self._adapters.clock.now())
            self._record(tx, namespace, [_changed(agent, after, reason, actor), *events])
            return ended

        ended = self._adapters.store.write(work, reserve=True)
        self._views.forget()
        return ended

    def _require(self, namespace: str, name: str) -> Agent:
        with self._adapters.store.read() as snapshot:
            return _require(snapshot.identities.agent(namespace, name), name)

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def _require_ceiling(ceiling: Scope) -> None:
    if initial_limits(ceiling) or ceiling.steps:
        raise CeilingLimitError("a ceiling has no uses, no totals and no steps")


def _revoke_tasks(
    tx: Transaction, agent: Agent, actor: Actor, now: Instant
) -> tuple[list[TaskChange], list[Event]]:
    why = f"agent {agent.name} was suspended"
    ended: list[TaskChange] = []
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


class AgentKeys:
    """Makes and uses agents' keys; callable from any thread, as the signer may be slow."""

    def __init__(self, adapters: Adapters, custody: Custody | None, *, audience: str) -> None:
        """Uses the signer's `custody`, None without signer; `audience` is our own issuer's name."""
        self._adapters = adapters
        self._custody = custody
        self._audience = audience

    def renew(self, namespace: str, agent: str, *, actor: Actor, owns: bool) -> AgentKey:
        """Makes a new key of the agent, which counts from now on."""
        with self._adapters.store.read() as snapshot:
            _require_owner(snapshot.identities, namespace, agent, actor, owns=owns)
        custody = self._require_custody()
        public = custody.make_key(namespace, agent)
        (jwk,) = parse_jwks(public)
        made = AgentKey(
            namespace=namespace, kid=jwk.kid, agent=agent, public=public, made=self._adapters.clock.now()
        )

        def work(tx: Transaction) -> tuple[str, ...]:
            before = tx.workloads.agent_keys(namespace, agent)
            _require_owner(tx.identities, namespace, agent, actor, owns=owns)
            now = self._adapters.clock.now()
            ending = tuple(one for one in before if one.ended is None)
            for one in ending:
                tx.workloads.end_agent_key(namespace, one.kid, now)
            tx.workloads.put_agent_key(made)
            ended = tuple(one.kid for one in ending)
            event = AgentKeyChanged(agent=agent, key=made.kid, ended=ended, by=actor.name, proof=actor.proof)
            tx.audit.append(namespace, self._adapters.writer, [event], now)
            return tuple(one.kid for one in before)

        try:
            over = self._adapters.store.write(work)
        except TaskboundError:
            self._forget(made.kid)
            raise
        for one in over:
            self._forget(one)
        return made

    def assertion(self, namespace: str, agent: str) -> str:
        with self._adapters.store.read() as snapshot:
            keys = snapshot.workloads.agent_keys(namespace, agent)
        standing = next((one for one in keys if one.ended is None), None)
        if standing is None:
            raise UnknownAgentKeyError(f"agent `{agent}` has no key")
        return self._require_custody().assert_agent(standing.kid, self._audience)

    def _forget(self, kid: str) -> None:
        with contextlib.suppress(UnavailableError):
            self._require_custody().forget_key(kid)

    def _require_custody(self) -> Custody:
        if self._custody is None:
            raise SignerUnavailableError("this installation has no signer for agents' keys")
        return self._custody


def _require_owner(identities: IdentityReads, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
    agent = identities.agent(namespace, name)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{name}`")
    if agent.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of agent `{name}` has its key renewed, and that is `{agent.owner}`"
        )


def add_selector(adapters: Adapters, selector: Selector, *, actor: Actor, owns: bool) -> str:
    name = selector_id(selector)

    def work(tx: Transaction) -> None:
        known = tx.workloads.selectors(selector.namespace)
        _selectors_require_owner(tx, selector.namespace, selector.agent, actor, owns=owns)
        if any(one.agent == selector.agent and selector_id(one) == name for one in known):
            raise IdentityExistsError(f"agent `{selector.agent}` has this selector: `{name}`")
        _require_issuer(tx, selector)
        require_apart(selector, known)
        tx.workloads.put_selector(selector)
        event = SelectorAdded(
            agent=selector.agent,
            selector=name,
            form=selector.kind.value,
            issuer=selector.issuer,
            subjects=selector.subjects,
            claims=tuple(f"{pointer}={text}" for pointer, texts in selector.claims for text in texts),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(selector.namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)
    return name


def drop_selector(
    adapters: Adapters, namespace: str, agent: str, name: str, *, actor: Actor, owns: bool
) -> None:
    def work(tx: Transaction) -> None:
        known = tx.workloads.selectors(namespace)
        _selectors_require_owner(tx, namespace, agent, actor, owns=owns)
        if not any(one.agent == agent and selector_id(one) == name for one in known):
            raise UnknownSelectorError(f"agent `{agent}` has no such selector")
        tx.workloads.drop_selector(namespace, name)
        event = SelectorRemoved(agent=agent, selector=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def _selectors_require_owner(tx: Transaction, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
    agent = tx.identities.agent(namespace, name)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{name}`")
    if agent.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of agent `{name}` says what proves it, and that is `{agent.owner}`"
        )


def _require_issuer(tx: Transaction, selector: Selector) -> None:
    """Requires an existing issuer: one added later under this name could be a different one."""
    if selector.kind is not WorkloadKind.OIDC:
        return
    known = tx.workloads.identity_issuers(selector.namespace)
    if not any((one.name, one.use) == (selector.issuer, IssuerUse.WORKLOADS) for one in known):
        raise UnknownIdentityIssuerError(f"no issuer of workloads is named `{selector.issuer}`")


def say_risk(  # noqa: PLR0913 - what is said, of whom and by whom, each by its name
    adapters: Adapters, views: Views, namespace: str, name: str, level: str, *, reason: str, actor: Actor
) -> Agent:
    wanted, why = parse_risk(level), parse_risk_reason(reason)

    def work(tx: Transaction) -> Agent:
        persons, _ = tx.identities.lock_grantors(namespace)
        before = tx.identities.agent(namespace, name)
        if before is None:
            raise UnknownIdentityError(f"no agent is named `{name}`")
        after = set_level(before, wanted, actor.name, persons)
        tx.identities.put_agent(after, expect=before.version)
        event = AgentRiskChanged(
            identity=name,
            before=before.risk.value,
            after=after.risk.value,
            reason=why,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    after = adapters.store.write(work)
    views.forget()
    return after
