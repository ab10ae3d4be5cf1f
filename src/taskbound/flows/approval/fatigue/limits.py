"""How much people may be asked, and who is told when it is too much, or answered too fast.

1. The limits are said by the account that owns the data directory: whoever could raise them could have people
   asked until they say yes to anything.
2. Those who watch over the agents are told of each pause, and of each hasty yes, after it is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import Question
from taskbound.core.approval.fatigue import parse_limits
from taskbound.core.audit.events import ApprovalLimitsChanged
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.identity.telling import tell
from taskbound.ports.approval import StoredPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Answer
    from taskbound.core.approval.amendment import AmendmentQuestion
    from taskbound.core.approval.fatigue import ApprovalLimits, Pace
    from taskbound.flows.means import Actor, Means, Moved
    from taskbound.ports.store import Transaction


def set_limits(means: Means, namespace: str, *, actor: Actor, owns: bool, **values: int) -> ApprovalLimits:
    """Say how much people may be asked from now on; what is not said stays as it was (rule 1).

    Raises:
        NotSelfError: Another account than the data directory's says it.
        BadLimitsError: One can't be.
    """
    require_self(actor, (), owns=owns)

    def work(tx: Transaction) -> ApprovalLimits:
        now = tx.approvals.limits(namespace)
        before = {"open": now.open, "hourly": now.hourly, "speed": now.speed}
        after = parse_limits(namespace, **before | values)
        tx.approvals.put_limits(after)
        event = ApprovalLimitsChanged(
            open=after.open, hourly=after.hourly, speed=after.speed, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    return means.store.write(work)


def tell_hasty(
    means: Means, asked: Question | AmendmentQuestion | StoredPlan, answer: Answer, pace: Pace
) -> None:
    """Tell of a yes that came sooner than anybody can read (rule 2)."""
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
    tell(means, namespace, news)


def tell_paused(means: Means, moved: Sequence[Moved]) -> None:
    """Tell of the tasks that were paused since people were asked too much (rule 2)."""
    for one in moved:
        news = {
            "kind": "taskbound-asks-too-much",
            "task": one.task,
            "reason": one.reason,
            "say": f"taskbound task resume {one.task}",
        }
        tell(means, one.namespace, news)
