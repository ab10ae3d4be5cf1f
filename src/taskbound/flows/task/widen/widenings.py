"""Widening a running task: asked for by a person in charge, approved by the agent's approvers, then applied.

1. The requester of the task or the owner of its agent asks, from outside any gateway or run (`asking`).
2. An answer is taken as one to a held action is: the signature over exactly the bytes that came, then, under
   lock, who may say so, the key, and the digest. A denial is final.
3. The last answer that is needed applies it, in its own transaction and on what is so then: everything is
   judged again, the scope within the ceilings of the agents of the task and of all above it, within what the
   requester and the asker may grant, and for a child within what its parent has left. Where one of these is
   not so any more it ends as *superseded*; while the task is paused, or all is stopped, that answer is not
   taken, and can be given again.
4. What ends a question of a held action ends an amendment: whoever meets it first, or the sweep.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    ApprovalOverError,
    NotEntitledError,
    UnknownApprovalError,
    require_entitled,
)
from taskbound.core.approval.amendment import (
    AmendmentEvent,
    AmendmentFate,
    AmendmentState,
    require_amendment_answer,
)
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.identity.person_key import NotStandingError, require_standing
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.core.task.amendment import widen_task
from taskbound.flows.approval.amendment.ground import amendment_circle
from taskbound.flows.approval.amendment.records import amendment_answered, end_amendments
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.approval.ending import DAEMON
from taskbound.flows.approval.fatigue.display import pace_in
from taskbound.flows.approval.proof.counting import count_on
from taskbound.flows.approval.proof.signed import verify_signed
from taskbound.flows.means import Actor
from taskbound.flows.task.change import Amended, lock_left, write_amended
from taskbound.flows.task.widen.asking import ask_amendment, parse_amendment_order
from taskbound.flows.task.widen.ground import (
    end_amendment,
    fate_of,
    lock_line,
    require_open,
    require_widenable,
    said,
)

if TYPE_CHECKING:
    from taskbound.core.approval import Answer, Circle
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.circle import People
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Means
    from taskbound.flows.task.widen.ground import AmendmentOrder, AmendmentSaid, Locked
    from taskbound.ports.store import Transaction
    from taskbound.ports.task import StoredAmendment


_log = logging.getLogger(__name__)


class Widenings:
    """Asks for wider scopes, takes the answers, and applies; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def ask(self, order: AmendmentOrder, actor: Actor) -> StoredAmendment:
        """The amendment, open.

        Raises:
            DeniedError: Something that rule 1 names is in the way.
            MalformedError: The order can't be read.
        """
        parse_amendment_order(order)
        names = (self._means.chance.name("amd"), self._means.chance.name("non"))
        return self._means.store.write(lambda tx: ask_amendment(tx, self._means, order, actor, names))

    def answer(self, namespace: str, raw: bytes, signature: bytes) -> AmendmentSaid:
        """Take a signed answer; what becomes of the amendment (rules 2 and 3).

        Raises:
            BadStatementError: The bytes are no answer.
            BadSignatureError: The signature is not by that key over exactly these bytes.
            UnknownApprovalError: There is no such amendment.
            ApprovalOverError: It is not open any more.
            DeniedError: The answer does not count, or it can't be applied while the task is paused.
        """
        signed = verify_signed(self._means, namespace, raw, signature)
        hasty: list[tuple[AmendmentQuestion, Answer, Pace]] = []
        told, over = self._means.store.write(lambda tx: self._answer(tx, namespace, signed, hasty))
        if over:
            raise ApprovalOverError(f"the amendment is over: {over}")
        for one in hasty[-1:]:
            from taskbound.flows.approval.fatigue.limits import tell_hasty  # noqa: PLC0415  # persons import tasks

            tell_hasty(self._means, *one)
        if told.state is AmendmentState.APPLIED:
            self._views.forget()
        return told

    def withdraw(self, namespace: str, amendment: str, actor: Actor, *, reason: str) -> AmendmentSaid:
        """Take an amendment back, as who asked for it or for the task, or as the agent's owner.

        Raises:
            UnknownApprovalError: There is no such amendment.
            ApprovalOverError: It is not open any more.
            NotEntitledError: It is somebody else's.
        """

        def work(tx: Transaction) -> AmendmentSaid:
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
            return end_amendment(tx, self._means, one, fate, (actor.name, actor.proof))

        return self._means.store.write(work)

    def sweep(self) -> list[AmendmentSaid]:
        """End every amendment whose deadline has come, or whose ground is gone (rule 4); what was ended."""
        now = self._means.clock.now()
        with self._means.store.read() as snapshot:
            due = [
                one.question
                for one in snapshot.amendments.open_amendments()
                if fate_of(snapshot, self._means, one.question, now) is not None
            ]
        ended: list[AmendmentSaid] = []
        for question in due:
            try:
                ended += self._means.store.write(partial(self._look, question))
            except TaskboundError:  # whoever would answer it meets it again; the others don't wait
                _log.exception("amendment %s could not be ended", question.id)
        return ended

    def _answer(
        self,
        tx: Transaction,
        namespace: str,
        signed: Signed,
        hasty: list[tuple[AmendmentQuestion, Answer, Pace]],
    ) -> tuple[AmendmentSaid, str]:
        statement = signed.statement
        seen = tx.amendments.amendment(namespace, statement.question)
        if seen is None:
            raise UnknownApprovalError(f"no amendment is named `{statement.question}`")
        locked = lock_line(tx, namespace, seen.question.task)
        one = require_open(tx, namespace, statement.question)
        now = self._means.clock.now()
        people = lock_people(tx, namespace, now)
        fate = fate_of(tx, self._means, one.question, now)
        if fate is not None:  # 4
            return end_amendment(tx, self._means, one, fate, DAEMON), fate.reason
        circle = amendment_circle(tx, people, locked.tree[0], one.question.asker)
        _require_counts(one, signed, people, circle, now)
        count_on(tx, self._means.signatures, people.keys[statement.key], signed.signature)
        answer = signed.answer(statement.kind, now)
        tx.amendments.put_answer(namespace, one.question.id, answer)
        pace = pace_in(tx, one.question.namespace, one.question.id, answer)
        if pace.hasty:
            hasty.append((one.question, answer, pace))
        tx.audit.append(namespace, self._means.writer, [amendment_answered(one, signed, pace)], now)
        if statement.kind is AnswerKind.DENY:  # 2
            fate = AmendmentFate(event=AmendmentEvent.DENY, reason=f"denied by {statement.person}")
            return end_amendment(tx, self._means, one, fate, signed.by), ""
        answers = (*one.answers, answer)
        lacking = people.lacking(one.question, answers, circle, self._means, now)
        if lacking:
            return said(one, one.state, missing=lacking), ""
        return self._apply(tx, one, locked, people, signed), ""

    def _apply(
        self, tx: Transaction, one: StoredAmendment, locked: Locked, people: People, signed: Signed
    ) -> AmendmentSaid:
        """Give the task its wider scope, on what is so now; or end the amendment, saying why (rule 3)."""
        question, now = one.question, self._means.clock.now()
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
            return end_amendment(tx, self._means, one, fate, DAEMON)
        work = Amended(tree=locked.tree, above=locked.above, left=left, after=after, by_approval=question.id)
        ended, events = write_amended(tx, work, by, now)
        fate = AmendmentFate(event=AmendmentEvent.APPLY, reason="enough have answered")
        events += end_amendments(tx, [(one, fate)], by=signed.by, now=now)
        tx.audit.append(question.namespace, self._means.writer, events, now)
        return said(one, AmendmentState.APPLIED, ended=tuple(ended))

    def _look(self, question: AmendmentQuestion, tx: Transaction) -> list[AmendmentSaid]:
        """End it if that is still due."""
        lock_line(tx, question.namespace, question.task)
        one = tx.amendments.lock_amendment(question.namespace, question.id)
        if one is None or one.state is not AmendmentState.PENDING:
            return []
        fate = fate_of(tx, self._means, one.question, self._means.clock.now())
        return [] if fate is None else [end_amendment(tx, self._means, one, fate, DAEMON)]


def _require_counts(
    one: StoredAmendment, signed: Signed, people: People, circle: Circle, now: Instant
) -> None:
    """Go on only when the statement counts for this amendment, which is locked (rule 2).

    Raises:
        DeniedError: It does not.
    """
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


def _is_again(past: Answer, circle: Circle, human: str, kind: AnswerKind) -> bool:
    return circle.human(past.person) == human and past.kind is kind
