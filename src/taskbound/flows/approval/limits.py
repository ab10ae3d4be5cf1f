"""Limits on how much people may be asked, by agent and by person, and the alerts.

Only the account that owns the data directory sets limits, because raising them would let an agent wear
approvers down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import Question
from taskbound.core.approval.fatigue import CountedQuestion, parse_limits, weigh
from taskbound.core.audit.events import ApprovalLimitsChanged
from taskbound.core.clock import Instant
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.identity.monitors import tell
from taskbound.ports.approval import StoredPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.approval import Answer
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.approval.fatigue import AgentLoad, ApprovalLimits, Pace, PersonLoad
    from taskbound.flows.means import Actor, Adapters, TaskChange
    from taskbound.ports.store import Snapshot, Transaction


def set_limits(
    adapters: Adapters, namespace: str, *, actor: Actor, owns: bool, **values: int
) -> ApprovalLimits:
    require_self(actor, (), owns=owns)

    def work(tx: Transaction) -> ApprovalLimits:
        now = tx.approvals.limits(namespace)
        before = {"open": now.open, "hourly": now.hourly, "speed": now.speed}
        after = parse_limits(namespace, **before | values)
        tx.approvals.put_limits(after)
        event = ApprovalLimitsChanged(
            open=after.open, hourly=after.hourly, speed=after.speed, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    return adapters.store.write(work)


def alert_hasty(
    adapters: Adapters, asked: Question | AmendmentQuestion | StoredPlan, answer: Answer, pace: Pace
) -> None:
    if isinstance(asked, StoredPlan):
        namespace, name, agent = asked.plan.namespace, asked.plan.id, asked.agent
        about = {"plan": name}
    else:
        namespace, name, agent = asked.namespace, asked.id, asked.agent
        about = {"approval": name, "action": asked.action if isinstance(asked, Question) else ""}
    news = {
        "kind": "taskbound-hasty-answer",
        "agent": agent,
        **about,
        "person": answer.person,
        "answer": answer.kind.value,
        "milliseconds": pace.taken // 1000 if pace.taken >= 0 else -1,
        "characters": pace.length,
        "say": f"taskbound approval show {name}",
    }
    tell(adapters, namespace, news)


def tell_paused(adapters: Adapters, moved: Sequence[TaskChange]) -> None:
    for one in moved:
        news = {
            "kind": "taskbound-asks-too-much",
            "task": one.task,
            "reason": one.reason,
            "say": f"taskbound task resume {one.task}",
        }
        tell(adapters, one.namespace, news)


_HOUR: Final = 3_600_000_000
_PAGE: Final = 500
_MOST: Final = 20_000


def measure(
    adapters: Adapters, namespace: str, hours: int
) -> tuple[ApprovalLimits, tuple[AgentLoad, ...], tuple[PersonLoad, ...]]:
    since = Instant(adapters.clock.now() - hours * _HOUR)
    with adapters.store.read() as snapshot:
        limits = snapshot.approvals.limits(namespace)
        every = (*_seen(snapshot, namespace, since), *_amended(snapshot, namespace, since))
        agents, persons = weigh(every, limits)
    return limits, agents, persons


def _seen(snapshot: Snapshot, namespace: str, since: Instant) -> Iterator[CountedQuestion]:
    before, counted = "", 0
    while counted < _MOST:
        page = snapshot.approvals.approvals(namespace, limit=_PAGE, before=before)
        names = {one.question.plan or one.question.id for one in page}
        shown = snapshot.approvals.displays(namespace, names)
        for one in page:
            if one.question.asked < since:
                return
            yield CountedQuestion(
                agent=one.question.agent,
                asked=one.question.asked,
                state=one.state.value,
                answers=() if one.question.narrows else one.answers,  # what it narrows was shown
                displays=shown.get(one.question.plan or one.question.id, ()),
            )
        if len(page) < _PAGE:
            return
        before, counted = page[-1].question.id, counted + len(page)


def _amended(snapshot: Snapshot, namespace: str, since: Instant) -> Iterator[CountedQuestion]:
    page = snapshot.amendments.amendments(namespace, limit=_MOST)
    recent = [one for one in page if one.question.asked >= since]
    shown = snapshot.approvals.displays(namespace, {one.question.id for one in recent})
    for one in recent:
        yield CountedQuestion(
            agent=one.question.agent,
            asked=one.question.asked,
            state=one.state.value,
            answers=one.answers,
            displays=shown.get(one.question.id, ()),
        )
