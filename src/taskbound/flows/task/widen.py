"""Widens a running task: an amendment is requested, approved and applied.

- The task's requester or the agent's owner asks, with a reason. An amendment that could not be applied, is
  narrower, was denied before, waits behind another, or exceeds question limits is not asked.
- Tasks are locked first, from the parent down, so that the record follows those of earlier charges; then,
  shared, what decisions lock before them, then people and remainders.
- The last needed answer applies the amendment in its own transaction, judged by current state; if that no
  longer allows it, it ends as *superseded*. While the task is paused or everything is stopped, the answer is
  not taken and may be repeated.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    ApprovalOverError,
    NotEntitledError,
    TooLongToShowError,
    UnknownApprovalError,
    require_askable,
    require_entitled,
)
from taskbound.core.approval.amendment import (
    AMENDMENT_TRANSITIONS,
    AmendmentEvent,
    AmendmentFate,
    AmendmentQuestion,
    AmendmentState,
    amendment_fate,
    require_amendment_answer,
)
from taskbound.core.audit.events import AmendmentAsked
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity.agent import reach_of, require_grantable, uncovered_words
from taskbound.core.identity.person_key import NotStandingError, require_standing
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.task import (
    AmendmentDeniedError,
    AmendmentOpenError,
    NoTaskError,
    TaskSyntaxError,
    require_in_charge,
    require_live,
)
from taskbound.core.task.amendment import require_widening, widen_task
from taskbound.flows.approval.amendment import (
    amendment_answered,
    amendment_circle,
    amendment_ground,
    end_amendments,
    lifters_of,
)
from taskbound.flows.approval.circle import DAEMON, lock_people
from taskbound.flows.approval.fatigue import pace_in, room_for_amendment
from taskbound.flows.approval.proof.kept import count_on
from taskbound.flows.approval.proof.signed import verify_signed
from taskbound.flows.means import Actor
from taskbound.flows.task.cascade import lock_beneath_parent
from taskbound.flows.task.change import Amended, lock_left, require_other, write_amended
from taskbound.flows.task.life import OutsideCeilingError, require_within
from taskbound.ports.task import StoredAmendment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.approval import Answer, EligibleApprovers
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.scope import Scope
    from taskbound.core.task import Task, TaskHead
    from taskbound.flows.approval.circle import People
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.ports.store import Snapshot, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentOrder:
    """A request for a wider scope."""

    namespace: str
    task: str
    scope: Scope
    reason: str
    seconds: int = 3600
    """How long it may be answered, at most to the task's deadline."""
    seen: str = ""
    """The digest of the scope that they looked at; empty for whichever it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentUpdate:
    """The state of an amendment after an answer, a withdrawal or a sweep."""

    amendment: str
    task: str
    state: AmendmentState
    missing: str = ""
    """What is missing until it is applied, in words."""
    reason: str = ""
    ended: tuple[TaskChange, ...] = ()
    """What ended beneath the task since the new scope does not cover it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The locked task with its ancestors and descendants."""

    line: Sequence[Task]
    above: Task | None
    tree: Sequence[Task]
    heads: Mapping[str, TaskHead]
    switch: KillSwitch


def lock_line(tx: Transaction, namespace: str, task: str) -> Locked:
    """Locks the task and what decisions about it lock; raises NoTaskError."""
    line = tx.tasks.lineage(namespace, task)
    if not line:
        raise NoTaskError(f"no task is named `{task}`", remedy="list them with `taskbound task list`")
    above, tree = lock_beneath_parent(tx, namespace, task)
    switch = tx.revocation.lock_kill_switch(namespace)
    tx.identities.lock_agents(namespace, {one.agent for one in line})
    return Locked(
        line=line, above=above, tree=tree, heads=tx.tasks.lock_heads(namespace, {task}), switch=switch
    )


def require_open(tx: Transaction, namespace: str, amendment: str) -> StoredAmendment:
    one = tx.amendments.lock_amendment(namespace, amendment)
    if one is None:
        raise UnknownApprovalError(f"no amendment is named `{amendment}`")
    if one.state is not AmendmentState.PENDING:
        raise ApprovalOverError(f"the amendment is over: it is {one.state.value}")
    return one


def require_widenable(
    tx: Transaction, people: People, line: Sequence[Task], scope: Scope, asker: str, now: Instant
) -> None:
    """Raises DeniedError unless the scope is within every ceiling and both grants."""
    space, requester = line[0].namespace, line[0].requester
    for number, one in enumerate(line):
        agent = tx.identities.agent(space, one.agent)
        if agent is None:
            raise OutsideCeilingError(f"agent `{one.agent}` is not there")
        if number == 0:
            require_within(tx, scope, agent, requester, now)
            continue
        answer = covers(agent.ceiling, scope)
        if isinstance(answer, NotCovers):
            words = uncovered_words(answer, {}, "of the ceiling")
            raise OutsideCeilingError(
                f"the ceiling of agent `{one.agent}`, whose task is above, does not cover it: {words}"
            )
    require_grantable(scope, reach_of(asker, people.persons, people.groups))


def fate_of(
    snapshot: Snapshot, adapters: Adapters, question: AmendmentQuestion, now: Instant
) -> AmendmentFate | None:
    return amendment_fate(question, amendment_ground(snapshot, question, adapters.policy), now)


def end_amendment(
    tx: Transaction, adapters: Adapters, one: StoredAmendment, fate: AmendmentFate, by: tuple[str, str]
) -> AmendmentUpdate:
    now = adapters.clock.now()
    events = end_amendments(tx, [(one, fate)], by=by, now=now)
    tx.audit.append(one.question.namespace, adapters.writer, events, now)
    return said(one, AMENDMENT_TRANSITIONS.advance(one.state, fate.event), reason=fate.reason)


def said(
    one: StoredAmendment,
    state: AmendmentState,
    *,
    missing: str = "",
    reason: str = "",
    ended: tuple[TaskChange, ...] = (),
) -> AmendmentUpdate:
    return AmendmentUpdate(
        amendment=one.question.id,
        task=one.question.task,
        state=state,
        missing=missing,
        reason=reason,
        ended=ended,
    )


_LONGEST: Final = 8 * 3600
_SHOWN: Final = 65_536
_REASON: Final = 500


def parse_amendment_order(order: AmendmentOrder) -> None:
    """Raises TaskSyntaxError for a missing reason or bad wait, or TooLongToShowError."""
    if not order.reason.strip() or len(order.reason) > _REASON:
        raise TaskSyntaxError(
            f"a reason has 1 to {_REASON} characters",
            where="reason",
            remedy="say why the task needs more with `--reason`",
        )
    if not 1 <= order.seconds <= _LONGEST:
        raise TaskSyntaxError(f"an amendment waits 1 to {_LONGEST} seconds", where="seconds")
    if len(order.scope.canonical) > _SHOWN:
        raise TooLongToShowError(
            f"a scope of more than {_SHOWN} bytes can't be shown whole", remedy="give a shorter scope"
        )


def ask_amendment(
    tx: Transaction, adapters: Adapters, order: AmendmentOrder, actor: Actor, names: tuple[str, str]
) -> StoredAmendment:
    """Writes the question; `names` are its id and nonce. Raises DeniedError."""
    space, scope = order.namespace, order.scope
    locked = lock_line(tx, space, order.task)
    first, now = locked.tree[0], adapters.clock.now()
    require_not_stopped(locked.switch)
    require_other(first, scope, order.seen)
    require_live(first.id, locked.heads, now)
    agent = tx.identities.agent(space, first.agent)
    require_in_charge(first, agent.owner if agent else "", actor.name)
    people = lock_people(tx, space, now)
    require_widenable(tx, people, locked.line, scope, actor.name, now)
    left = lock_left(tx, locked.above, locked.tree)
    require_widening(locked.tree, locked.above, left, scope, now)
    widen_task(locked.tree, locked.above, left, scope, now)  # people are not asked for what can't be applied
    if tx.amendments.denied(space, first.id, scope.digest):
        raise AmendmentDeniedError(f"a person has denied exactly this scope to task `{first.id}`")
    for other in tx.amendments.lock_open(space, {first.id}):
        fate = fate_of(tx, adapters, other.question, now)
        if fate is None:
            raise AmendmentOpenError(f"amendment `{other.question.id}` of the task waits for an answer")
        end_amendment(tx, adapters, other, fate, DAEMON)
    room_for_amendment(tx, first, now)
    question = AmendmentQuestion(
        namespace=space,
        id=names[0],
        task=first.id,
        agent=first.agent,
        requester=first.requester,
        asker=actor.name,
        purpose=first.purpose,
        reason=order.reason,
        bundle=adapters.policy.digest_of(tx.policy.in_force(space)),
        before=first.scope.digest,
        edition=first.scope_version,
        step=first.step,
        after=scope,
        lifters=lifters_of(tx, adapters.policy, first, scope),
        nonce=names[1],
        asked=now,
        deadline=min(first.deadline, Instant(now + seconds(order.seconds))),
    )
    require_askable(question.needs, amendment_circle(tx, people, first, actor.name))
    stored = StoredAmendment(question=question, state=AmendmentState.PENDING)
    tx.amendments.insert_amendment(stored)
    tx.audit.append(space, adapters.writer, [_asked(question, actor)], now)
    return stored


def _asked(question: AmendmentQuestion, actor: Actor) -> AmendmentAsked:
    return AmendmentAsked(
        amendment=question.id,
        digest=question.digest,
        task=question.task,
        agent=question.agent,
        requester=question.requester,
        before=question.before,
        edition=question.edition,
        step=question.step,
        after=question.after.digest,
        bundle=question.bundle,
        lifters=question.lifters,
        deadline=question.deadline,
        reason=question.reason,
        by=actor.name,
        proof=actor.proof,
    )


_log = logging.getLogger(__name__)


class Widenings:
    """Requests, answers and applies wider scopes; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def ask(self, order: AmendmentOrder, actor: Actor) -> StoredAmendment:
        parse_amendment_order(order)
        names = (self._adapters.chance.name("amd"), self._adapters.chance.name("non"))
        return self._adapters.store.write(lambda tx: ask_amendment(tx, self._adapters, order, actor, names))

    def answer(self, namespace: str, raw: bytes, signature: bytes) -> AmendmentUpdate:
        signed = verify_signed(self._adapters, namespace, raw, signature)
        hasty: list[tuple[AmendmentQuestion, Answer, Pace]] = []
        told, over = self._adapters.store.write(lambda tx: self._answer(tx, namespace, signed, hasty))
        if over:
            raise ApprovalOverError(f"the amendment is over: {over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.limits import alert_hasty  # noqa: PLC0415  # persons import tasks

            alert_hasty(self._adapters, *one)
        if told.state is AmendmentState.APPLIED:
            self._views.forget()
        return told

    def withdraw(self, namespace: str, amendment: str, actor: Actor, *, reason: str) -> AmendmentUpdate:
        def work(tx: Transaction) -> AmendmentUpdate:
            one = require_open(tx, namespace, amendment)
            agent = tx.identities.agent(namespace, one.question.agent)
            may = {one.question.asker, one.question.requester, agent.owner if agent is not None else ""}
            if actor.name not in may:
                raise NotEntitledError(
                    f"`{actor.name}` asked neither for it nor for the task, and does not own the agent",
                    remedy="deny it instead, if you may answer it",
                )
            why = reason or f"withdrawn by {actor.name}"
            fate = AmendmentFate(event=AmendmentEvent.WITHDRAW, reason=why)
            return end_amendment(tx, self._adapters, one, fate, (actor.name, actor.proof))

        return self._adapters.store.write(work)

    def sweep(self) -> list[AmendmentUpdate]:
        now = self._adapters.clock.now()
        with self._adapters.store.read() as snapshot:
            due = [
                one.question
                for one in snapshot.amendments.open_amendments()
                if fate_of(snapshot, self._adapters, one.question, now) is not None
            ]
        ended: list[AmendmentUpdate] = []
        for question in due:
            try:
                ended += self._adapters.store.write(partial(self._look, question))
            except TaskboundError:  # the next answer meets it again; the others don't wait
                _log.exception("amendment %s could not be ended", question.id)
        return ended

    def _answer(
        self,
        tx: Transaction,
        namespace: str,
        signed: Signed,
        hasty: list[tuple[AmendmentQuestion, Answer, Pace]],
    ) -> tuple[AmendmentUpdate, str]:
        statement = signed.statement
        seen = tx.amendments.amendment(namespace, statement.question)
        if seen is None:
            raise UnknownApprovalError(f"no amendment is named `{statement.question}`")
        locked = lock_line(tx, namespace, seen.question.task)
        one = require_open(tx, namespace, statement.question)
        now = self._adapters.clock.now()
        people = lock_people(tx, namespace, now)
        fate = fate_of(tx, self._adapters, one.question, now)
        if fate is not None:
            return end_amendment(tx, self._adapters, one, fate, DAEMON), fate.reason
        circle = amendment_circle(tx, people, locked.tree[0], one.question.asker)
        _require_counts(one, signed, people, circle, now)
        count_on(tx, self._adapters.signatures, people.keys[statement.key], signed.signature)
        answer = signed.answer(statement.kind, now)
        tx.amendments.put_answer(namespace, one.question.id, answer)
        pace = pace_in(tx, one.question.namespace, one.question.id, answer)
        if pace.hasty:
            hasty.append((one.question, answer, pace))
        tx.audit.append(namespace, self._adapters.writer, [amendment_answered(one, signed, pace)], now)
        if statement.kind is AnswerKind.DENY:
            fate = AmendmentFate(event=AmendmentEvent.DENY, reason=f"denied by {statement.person}")
            return end_amendment(tx, self._adapters, one, fate, signed.by), ""
        answers = (*one.answers, answer)
        lacking = people.lacking(one.question, answers, circle, self._adapters, now)
        if lacking:
            return said(one, one.state, missing=lacking), ""
        return self._apply(tx, one, locked, people, signed), ""

    def _apply(
        self, tx: Transaction, one: StoredAmendment, locked: Locked, people: People, signed: Signed
    ) -> AmendmentUpdate:
        """Applies the wider scope by current state, or ends the amendment with the reason."""
        question, now = one.question, self._adapters.clock.now()
        require_not_stopped(locked.switch)
        require_live(question.task, locked.heads, now)
        by = Actor(name=signed.by[0], proof=signed.by[1])
        try:
            require_widenable(tx, people, locked.line, question.after, question.asker, now)
            left = lock_left(tx, locked.above, locked.tree)
            after = widen_task(locked.tree, locked.above, left, question.after, now)
        except (DeniedError, MalformedError) as error:
            reason = f"it can't be applied any more: {error.message}"
            fate = AmendmentFate(event=AmendmentEvent.SUPERSEDE, reason=reason)
            return end_amendment(tx, self._adapters, one, fate, DAEMON)
        work = Amended(tree=locked.tree, above=locked.above, left=left, after=after, by_approval=question.id)
        ended, events = write_amended(tx, work, by, now)
        fate = AmendmentFate(event=AmendmentEvent.APPLY, reason="enough have answered")
        events += end_amendments(tx, [(one, fate)], by=signed.by, now=now)
        tx.audit.append(question.namespace, self._adapters.writer, events, now)
        return said(one, AmendmentState.APPLIED, ended=tuple(ended))

    def _look(self, question: AmendmentQuestion, tx: Transaction) -> list[AmendmentUpdate]:
        lock_line(tx, question.namespace, question.task)
        one = tx.amendments.lock_amendment(question.namespace, question.id)
        if one is None or one.state is not AmendmentState.PENDING:
            return []
        fate = fate_of(tx, self._adapters, one.question, self._adapters.clock.now())
        return [] if fate is None else [end_amendment(tx, self._adapters, one, fate, DAEMON)]


def _require_counts(
    one: StoredAmendment, signed: Signed, people: People, circle: EligibleApprovers, now: Instant
) -> None:
    statement = signed.statement
    require_amendment_answer(statement, one.question, now)
    key = people.keys.get(statement.key)
    if key is None or (key.person, key.public) != (signed.key.person, signed.key.public):
        raise NotStandingError(f"key `{statement.key}` is another one now")
    require_standing(key, people.persons, now)
    require_entitled(statement.kind, statement.person, one.question.needs, circle)
    human = circle.human(statement.person)
    if any(_is_again(past, circle, human, statement.kind) for past in one.answers):
        raise AlreadyAnsweredError(f"`{statement.person}` has answered already")


def _is_again(past: Answer, circle: EligibleApprovers, human: str, kind: AnswerKind) -> bool:
    return circle.human(past.person) == human and past.kind is kind
