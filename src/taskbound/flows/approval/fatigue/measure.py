"""What was asked and answered within some hours, by agent and by person.

1. The steps of a plan count as so many questions, and what was shown of the plan as shown of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval.fatigue import Seen, weigh
from taskbound.core.clock import Instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.approval.fatigue import AgentLoad, ApprovalLimits, PersonLoad
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot


_HOUR: Final = 3_600_000_000
_PAGE: Final = 500
_MOST: Final = 20_000


def measure(
    means: Means, namespace: str, hours: int
) -> tuple[ApprovalLimits, tuple[AgentLoad, ...], tuple[PersonLoad, ...]]:
    """What was asked and answered within so many hours: by agent, and by person."""
    since = Instant(means.clock.now() - hours * _HOUR)
    with means.store.read() as snapshot:
        limits = snapshot.approvals.limits(namespace)
        every = (*_seen(snapshot, namespace, since), *_amended(snapshot, namespace, since))
        agents, persons = weigh(every, limits)
    return limits, agents, persons


def _seen(snapshot: Snapshot, namespace: str, since: Instant) -> Iterator[Seen]:
    before, counted = "", 0
    while counted < _MOST:
        page = snapshot.approvals.approvals(namespace, limit=_PAGE, before=before)
        names = {one.question.plan or one.question.id for one in page}  # 1
        shown = snapshot.approvals.displays(namespace, names)
        for one in page:
            if one.question.asked < since:
                return
            yield Seen(
                agent=one.question.agent,
                asked=one.question.asked,
                state=one.state.value,
                answers=() if one.question.narrows else one.answers,  # what it narrows was shown
                displays=shown.get(one.question.plan or one.question.id, ()),
            )
        if len(page) < _PAGE:
            return
        before, counted = page[-1].question.id, counted + len(page)


def _amended(snapshot: Snapshot, namespace: str, since: Instant) -> Iterator[Seen]:
    """Amendments of tasks, which people are asked about as well."""
    page = snapshot.amendments.amendments(namespace, limit=_MOST)
    recent = [one for one in page if one.question.asked >= since]
    shown = snapshot.approvals.displays(namespace, {one.question.id for one in recent})
    for one in recent:
        yield Seen(
            agent=one.question.agent,
            asked=one.question.asked,
            state=one.state.value,
            answers=one.answers,
            displays=shown.get(one.question.id, ()),
        )
