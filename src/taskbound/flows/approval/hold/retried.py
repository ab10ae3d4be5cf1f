"""Retries that an approval covers: asked about like any call, and answered by what people signed before.

1. An approval covers no retry unless its statement says how many (law 7); and none after the deadline of the
   question that was signed. A narrowing, a plan and an issuer's token cover none.
2. A retry is what follows an attempt that is known to have failed, or not to have been sent. After a success
   people are asked anew; and so they are while an attempt of the act is under way, or its outcome is unknown,
   since that is never retried as if it had failed.
3. Nothing that is bound has changed: with what of the first is another, the question of the retry has the
   digest that was signed. And the same policies hold it, so that none lets pass what it didn't ask for then.
4. The retry is a new action under a question of its own: it is recorded, used once, ends like any other, and
   takes the room of one. Whether those who signed may still do so is judged when it is used, as ever.
5. What stood when it was answered must still stand when it is used: the attempt before is judged again then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.approval import (
    FIRST,
    ApprovalEvent,
    ApprovalState,
    Befallen,
    First,
)
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Holding
from taskbound.flows.approval.hold.asking import names_of, question_of
from taskbound.ports.approval import ApprovalChange

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from taskbound.core.approval import Answer, Question
    from taskbound.core.decision import Proposal
    from taskbound.flows.approval.hold.judging import Bench
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


_OVER: Final = frozenset(
    {ActionState.FAILED, ActionState.NOT_SENT, ActionState.LAPSED, ActionState.RECONCILED_FAILED}
)
"""What is known to have had no effect (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A retry that is answered before it is asked about."""

    question: Question
    answers: tuple[Answer, ...]
    """What was said to the first question."""


def retries_of(
    tx: Transaction,
    means: Means,
    held: Sequence[Proposal],
    holds: Container[tuple[str, str]],
    bench: Bench,
) -> dict[str, Retry]:
    """By the proposal's id: those of these held calls that are covered retries.

    Args:
        tx: The transaction that holds the locks.
        means: What names are drawn from.
        held: The group's calls that policy holds.
        holds: (task, action digest) of what is open: such a call resumes that.
        bench: What is true now.
    """
    found: dict[str, Retry] = {}
    seen: set[tuple[str, str]] = set()
    for one in held:
        key = (one.action.task, one.action.digest)
        if key in holds or key in seen or one.narrows is not None or one.planned is not None:
            continue
        seen.add(key)
        retry = _retry(tx, means, one, bench)
        if retry is not None:
            found[one.id] = retry
    return found


def _retry(tx: Transaction, means: Means, one: Proposal, bench: Bench) -> Retry | None:
    verdict, now = one.verdict, bench.now
    task, circle = bench.tasks.get(one.action.task), bench.circles.get((one.action.task, one.action.tool))
    if task is None or circle is None or not isinstance(verdict, Holding):
        return None
    used = tx.approvals.lock_last_used(task.namespace, task.id, one.action.digest)
    kept = None if used is None else tx.actions.action(task.namespace, used.question.action)
    if used is None or kept is None or kept.policies != verdict.hold.policies or _why_no_retry(tx, kept):
        return None  # 2, 3
    asked = question_of(one, task, verdict, names_of(means), now)
    before, number = used.question, used.question.retry + 1
    first = before.first or First(**{name: getattr(before, name) for name in FIRST})
    deadline = Instant(min(asked.deadline, first.deadline))
    question = replace(asked, first=first, retry=number, deadline=deadline)
    if now >= deadline or bench.people.lacking(question, used.answers, circle, means, now):
        return None  # 1, 3: an answer counts for this question only if it says so of all that is bound
    return Retry(question=question, answers=used.answers)


def fate_of_retry(tx: Transaction, one: StoredApproval) -> Befallen | None:
    """What has befallen an open question that was answered before it was asked (rule 5)."""
    question = one.question
    if question.first is None:
        return None
    used = tx.approvals.lock_last_used(question.namespace, question.task, question.act)
    kept = None if used is None else tx.actions.action(question.namespace, used.question.action)
    reason = "another attempt was made meanwhile"
    if used is not None and kept is not None and _follows(question, used.question):
        reason = _why_no_retry(tx, kept)
    return Befallen(event=ApprovalEvent.SUPERSEDE, reason=reason) if reason else None


def answer_retry(tx: Transaction, one: StoredApproval) -> None:
    """Answer the question of a covered retry, which is asked just now, with what was signed before."""
    question = one.question
    for each in one.answers:
        tx.approvals.put_answer(question.namespace, question.id, each)
    step = ApprovalChange(
        id=question.id,
        before=one.state,
        after=ApprovalState.APPROVED,
        finished=Instant(0),
        reason=covered_words(question),
    )
    tx.approvals.move_approvals(question.namespace, [step])


def covered_words(question: Question) -> str:
    """Why a retry needs no further answer."""
    first = question.answered
    return f"the answer to `{first.id}` covers retry {question.retry} of it"


def _why_no_retry(tx: Transaction, kept: StoredAction) -> str:
    """Why what follows this attempt is no retry of something that failed (rule 2); empty when it is one."""
    history = tx.actions.act(kept.namespace, kept.root, kept.act_key)
    if history.last_action != kept.id:
        return "another attempt was made meanwhile"
    key = (kept.root, kept.act_key)
    if any((one.root, one.act_key) == key for one in tx.actions.open_permits(kept.namespace)):
        return "an attempt of it is under way"
    if tx.actions.unknowns(kept.namespace, *key):
        return "what came of an attempt of it is unknown"
    return "" if kept.state in _OVER else f"the attempt before is {kept.state.value}"


def _follows(question: Question, before: Question) -> bool:
    return (question.answered.digest, question.retry) == (before.answered.digest, before.retry + 1)
