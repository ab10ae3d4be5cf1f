"""Delegates a part of a task to another agent, and stores task templates.

The parent's requester or its agent's owner delegates, within what they may grant, and becomes the child's
requester; agents do not delegate. The child is judged like any starting task, and against its locked parent:
live, in its step, with what it has left. Limits move in the same transaction (law 3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TemplateRemoved, TemplateSaved
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import parse_name
from taskbound.core.scope.algebra import Carved, NotCovers, carve
from taskbound.core.task import (
    NoTaskError,
    OutsideParentError,
    Task,
    TaskState,
    deadline_of,
    parse_lifetime,
    require_in_charge,
    require_live,
    require_room,
)
from taskbound.core.task.values import await_heartbeat, parse_heartbeat
from taskbound.flows.task.cascade import note_unclaimed, require_startable, require_unchanged, started
from taskbound.flows.task.evidence import declare_evidence, settle_evidence
from taskbound.flows.task.life import (
    Manner,
    TaskOrder,
    manner_of,
    parse_order,
    require_learner,
    require_within,
    scope_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity import Agent
    from taskbound.core.identity.agent import Reach
    from taskbound.core.scope import Scope
    from taskbound.core.task import Template
    from taskbound.flows.identity import Deliveries
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.task.evidence import Declared
    from taskbound.ports.store import Snapshot, Transaction


_ANY_LIFETIME: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrder:
    """An order to delegate; exactly one of template and scope is set."""

    namespace: str
    parent: str
    agent: str
    purpose: str
    seconds: int = 0
    """0: as long as its parent."""
    template: str = ""
    scope: Scope | None = None
    evidence: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    heartbeat: int = 0
    """Seconds; 0 for its template's, and then no grace either."""
    grace: int = 0
    unclaimed: bool = False
    """Whether a client is admitted to it later (`flows.task.cascade`)."""
    bounded: bool = False
    """Whether its template's times are the longest that it may have (`flows.task.order`)."""

    def plain(self, *, learning: bool) -> TaskOrder:
        return TaskOrder(
            namespace=self.namespace,
            agent=self.agent,
            purpose=self.purpose,
            seconds=self.seconds or _ANY_LIFETIME,
            template=self.template,
            scope=self.scope,
            evidence=self.evidence,
            tokens=self.tokens,
            learning=learning,
            heartbeat=self.heartbeat,
            grace=self.grace,
            bounded=self.bounded,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    order: ChildOrder
    actor: Actor
    agent: Agent
    above: str
    """The agent of the parent."""
    reach: Reach
    scope: Scope
    declared: Declared
    manner: Manner


class Delegations:
    """Starts child tasks; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, deliveries: Deliveries) -> None:
        self._adapters = adapters
        self._deliveries = deliveries

    def delegate(self, order: ChildOrder, actor: Actor) -> Task:
        if order.seconds:
            parse_lifetime(order.seconds)
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            parent = snapshot.tasks.task(order.namespace, order.parent)
            if parent is None:
                raise _unknown(order.parent)
            plain = parse_order(order.plain(learning=parent.learning))
            agent = require_startable(snapshot, self._deliveries, order.namespace, order.agent, now)
            scope = scope_of(snapshot, plain)
            manner = manner_of(snapshot, plain)
            require_learner(agent, plain, actor.name)
            reach = require_within(snapshot, scope, agent, actor.name, now)
            _require_in_charge(snapshot, parent, actor)
            issuers = snapshot.identities.issuers(order.namespace)
        declared = declare_evidence(
            order.evidence, order.tokens, issuers, check=self._adapters.tokens, now=now
        )
        judged = _Judged(
            order=order,
            actor=actor,
            agent=agent,
            above=parent.agent,
            reach=reach,
            scope=scope,
            declared=declared,
            manner=manner,
        )
        task_id = self._adapters.chance.name("tsk")
        return self._adapters.store.write(lambda tx: self._write(tx, task_id, judged))

    def _write(self, tx: Transaction, task_id: str, judged: _Judged) -> Task:
        order, space = judged.order, judged.order.namespace
        before = self._adapters.clock.now()
        require_unchanged(tx, judged.agent, judged.actor.name, judged.reach, before, above=judged.above)
        settle_evidence(tx, space, judged.declared)
        heads = tx.tasks.lock_heads(space, {order.parent})
        line = tx.tasks.lineage(space, order.parent)  # as it is under lock
        now = self._adapters.clock.now()
        require_live(order.parent, heads, now)
        parent = line[0]
        _require_in_charge(tx, parent, judged.actor)
        require_room(line, 1 + len(tx.tasks.children(space, parent.root)))
        left = tx.tasks.lock_remainders(space, {parent.id})[parent.id]
        carved = _carve(parent, left, judged.scope)
        child = Task(
            namespace=space,
            id=task_id,
            agent=order.agent,
            requester=judged.actor.name,
            purpose=order.purpose,
            evidence=judged.declared.evidence,
            scope=judged.scope,
            state=TaskState.RUNNING,
            parent=parent.id,
            root=parent.root,
            started=now,
            deadline=_deadline(parent, judged, now),
            learning=parent.learning,
            base=tuple(sorted(carved.limits.items())),
            shares=carved.shares,
            heartbeat=judged.manner.heartbeat,
            grace=judged.manner.grace,
            holds=judged.manner.holds,
            for_token=order.unclaimed,
        )
        tx.tasks.put_task(child, expect=0)
        awaited = await_heartbeat(child, now)
        if awaited is not None:
            tx.tasks.put_heartbeat(awaited)
        tx.tasks.open_limits(space, task_id, carved.limits)
        tx.tasks.set_remainders(space, {(parent.id, limit): change for limit, change in carved.taken.items()})
        taken = {limit: before - after for limit, (before, after) in carved.taken.items()}
        note_unclaimed(tx, child, now, unclaimed=order.unclaimed)
        event = started(child, judged.actor, template=order.template, carved=taken)
        tx.audit.append(space, self._adapters.writer, [event], now)
        return child


def _deadline(parent: Task, judged: _Judged, now: Instant) -> Instant:
    found, longest = deadline_of(parent, judged.order.seconds, now), judged.manner.longest
    return min(found, Instant(now + seconds(longest))) if longest else found


def _require_in_charge(snapshot: Snapshot, parent: Task, actor: Actor) -> None:
    above = snapshot.identities.agent(parent.namespace, parent.agent)
    require_in_charge(parent, above.owner if above else "", actor.name)


def _carve(parent: Task, left: Mapping[str, int], scope: Scope) -> Carved:
    carved = carve(parent.scope, left, scope, step=parent.step)
    if isinstance(carved, NotCovers):
        words = "; ".join(one.sentence for one in carved.uncovered)
        raise OutsideParentError(
            f"task `{parent.id}` does not cover it: {words}", where=carved.uncovered[0].tool
        )
    return carved


def _unknown(task: str) -> NoTaskError:
    return NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")


class UnknownTemplateError(DeniedError):
    """No template has this name."""

    code = "unknown-template"
    remedy = "list them with `taskbound template list`"


def save_template(adapters: Adapters, order: Template, actor: Actor) -> Template:
    parse_name(order.name, what="a template")
    parse_lifetime(order.seconds)
    parse_heartbeat(order.heartbeat, order.grace)

    def work(tx: Transaction) -> Template:
        known = tx.tasks.template(order.namespace, order.name)
        before = known.version if known else 0
        template = replace(order, version=before + 1)
        tx.tasks.put_template(template, expect=before)
        event = TemplateSaved(
            template=template.name,
            scope=template.scope.digest,
            seconds=template.seconds,
            by=actor.name,
            proof=actor.proof,
            heartbeat=template.heartbeat,
            grace=template.grace,
            holds=template.holds.value,
        )
        tx.audit.append(order.namespace, adapters.writer, [event], adapters.clock.now())
        return template

    return adapters.store.write(work)


def drop_template(adapters: Adapters, namespace: str, name: str, actor: Actor) -> None:
    def work(tx: Transaction) -> None:
        if tx.tasks.template(namespace, name) is None:
            raise UnknownTemplateError(f"no template is named `{name}`")
        tx.tasks.drop_template(namespace, name)
        event = TemplateRemoved(template=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)
