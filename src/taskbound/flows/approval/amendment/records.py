"""What becomes of amendments that people are asked about, with its record.

1. The end of a task withdraws the amendment of it and of all beneath it, in the same transaction.
2. That an amendment was shown to a person is written down the first time, while it is open.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.approval.amendment import (
    AMENDMENT_TRANSITIONS,
    AmendmentState,
)
from taskbound.core.approval.fatigue import Display
from taskbound.core.audit.events import AmendmentAnswered, AmendmentChanged, AmendmentShown
from taskbound.ports.task import AmendmentChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval.amendment import AmendmentFate, AmendmentQuestion
    from taskbound.core.approval.fatigue import Pace
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.proof.signed import Signed
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.ports.task import StoredAmendment


def end_amendments(
    tx: Transaction,
    ending: Sequence[tuple[StoredAmendment, AmendmentFate]],
    *,
    by: tuple[str, str],
    now: Instant,
) -> list[Event]:
    """Write what becomes of these open amendments, of one namespace; what is to be recorded."""
    steps: list[AmendmentChange] = []
    events: list[Event] = []
    for one, fate in ending:
        after = AMENDMENT_TRANSITIONS.advance(one.state, fate.event)
        steps.append(
            AmendmentChange(
                id=one.question.id, before=one.state, after=after, finished=now, reason=fate.reason
            )
        )
        events.append(
            AmendmentChanged(
                amendment=one.question.id,
                task=one.question.task,
                before=one.state.value,
                after=after.value,
                reason=fate.reason,
                by=by[0],
                proof=by[1],
            )
        )
    if steps:
        tx.amendments.move_amendments(ending[0][0].question.namespace, steps)
    return events


def amendment_answered(one: StoredAmendment, said: Signed, pace: Pace) -> AmendmentAnswered:
    """The record of an answer to this amendment."""
    return AmendmentAnswered(
        amendment=one.question.id,
        digest=one.question.digest,
        task=one.question.task,
        answer=said.statement.kind.value,
        person=said.statement.person,
        key=said.statement.key,
        statement=sha256(said.raw).hexdigest(),
        signature=sha256(said.signature).hexdigest(),
        proof=said.by[1],
        taken=pace.taken,
        length=pace.length,
        hasty=pace.hasty,
    )


def length_of(question: AmendmentQuestion) -> int:
    """Characters that have to be read of it: the whole new scope, and why."""
    return len(question.after.canonical.decode()) + len(question.reason) + len(question.purpose)


def note_amendment(means: Means, namespace: str, amendment: str, actor: Actor) -> None:
    """Keep that this amendment is shown to this person now, if it never was (rule 2)."""
    with means.store.read() as snapshot:
        one = snapshot.amendments.amendment(namespace, amendment)
        if one is None or one.state is not AmendmentState.PENDING or _was_shown(snapshot, one, actor.name):
            return
    length = length_of(one.question)

    def work(tx: Transaction) -> None:
        if _was_shown(tx, one, actor.name):
            return
        now = means.clock.now()
        tx.approvals.put_display(namespace, amendment, Display(person=actor.name, at=now, length=length))
        event = AmendmentShown(
            amendment=amendment,
            task=one.question.task,
            person=actor.name,
            length=length,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [event], now)

    means.store.write(work)


def _was_shown(snapshot: Snapshot, one: StoredAmendment, person: str) -> bool:
    question = one.question
    known = snapshot.approvals.displays(question.namespace, {question.id}).get(question.id, ())
    return any(display.person == person for display in known)
