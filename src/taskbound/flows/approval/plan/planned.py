"""Plans inside the commit of a group of decisions: which step is next, what differed, what was used.

1. Read only for tasks of which policy holds a call: what it does not hold runs as always, and touches no
   plan.
2. What is left of a plan is judged by what is true now, as a single question is: policy, scope, deadline
   and whose word counts for each step; what became of the step before; and for the next step, when it is
   presented, what its probes find and whose word policy wants.
3. How many steps were used moves in one conditional statement, in the transaction that writes their
   permits. So of two that would use a step, or use it and end the plan, one happens; and never the second
   step before the first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, Protocol

from taskbound.core.approval import ApprovalEvent, Befallen, advance_approval
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import PlanPlace
from taskbound.flows.approval.ending import DAEMON
from taskbound.flows.approval.plan.whole import (
    Whole,
    end_plan,
    fate_by_outcome,
    lock_wholes,
    move_plan,
    turn_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.decision import OpenHold
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction

    class FateOf(Protocol):
        """Says what has befallen a step that is left; `first` of the next one."""

        def __call__(self, one: StoredApproval, *, first: bool) -> Befallen | None:
            """What has; None while nothing has."""


@dataclass(slots=True, kw_only=True)
class PlanSheet:
    """The open plans of the group's tasks, and what is written of them."""

    wholes: dict[str, Whole]
    """By plan."""
    used: Counter[str] = field(default_factory=Counter)
    """By plan: how many of its steps this group uses."""

    @property
    def steps(self) -> tuple[StoredApproval, ...]:
        """Those that are left, of all."""
        return tuple(step for one in self.wholes.values() for step in one.left)

    def judge(
        self,
        tx: Transaction,
        fate_of: FateOf,
        *,
        now: Instant,
    ) -> tuple[list[Event], list[tuple[StoredApproval, Befallen]]]:
        """End each plan of which something has befallen a step that is left (rule 2).

        Args:
            tx: The transaction that holds the locks.
            fate_of: What has befallen a step.
            now: The instant.

        Returns:
            What is to be recorded, and the steps that were ended, with why.
        """
        events: list[Event] = []
        ended: list[tuple[StoredApproval, Befallen]] = []
        for name, whole in list(self.wholes.items()):
            fate = _fate(tx, whole, fate_of)
            if fate is not None:
                events += end_plan(tx, whole, fate, by=DAEMON, now=now)[0]
                ended += [(one, fate) for one in whole.left]
                del self.wholes[name]
        return events, ended

    def places(
        self, tx: Transaction, open_hold: Callable[[StoredApproval], OpenHold]
    ) -> dict[str, PlanPlace]:
        """By task: its open plan, for core."""
        return {
            whole.stored.plan.task: PlanPlace(
                plan=name,
                first=whole.stored.used + 1,
                steps=tuple((one.question.act, open_hold(one)) for one in whole.left),
                runs=whole.last.question.action if turn_of(tx, whole) is None else "",
            )
            for name, whole in self.wholes.items()
        }

    def write(self, tx: Transaction, differed: Mapping[str, str], now: Instant) -> Iterable[Event]:
        """Write where each plan stands that was used or differed from; what is to be recorded (rule 3)."""
        for name, found in self.wholes.items():
            whole, count, reason = found, self.used[name], differed.get(name, "")
            if count:
                whole, event = _use(tx, whole, count, now)
                yield event
            if reason and whole.left:
                fate = Befallen(event=ApprovalEvent.SUPERSEDE, reason=f"it differs: {reason}")
                yield from end_plan(tx, whole, fate, by=DAEMON, now=now)[0]


def lock_plans(tx: Transaction, namespace: str, tasks: Iterable[str]) -> PlanSheet:
    """The open plans of these tasks, locked (rule 1)."""
    return PlanSheet(wholes={one.stored.plan.id: one for one in lock_wholes(tx, namespace, tasks)})


def _fate(tx: Transaction, whole: Whole, fate_of: FateOf) -> Befallen | None:
    if tuple(one.question.digest for one in whole.steps) != whole.stored.plan.questions:
        return Befallen(event=ApprovalEvent.SUPERSEDE, reason="what is kept of the plan is about other steps")
    for number, one in enumerate(whole.left):
        fate = fate_of(one, first=number == 0)
        if fate is not None:
            return Befallen(event=fate.event, reason=f"step {one.question.step}: {fate.reason}")
    return fate_by_outcome(tx, whole)


def _use(tx: Transaction, whole: Whole, count: int, now: Instant) -> tuple[Whole, Event]:
    """Write that so many more steps were used; the plan as it stands by that."""
    stored = whole.stored
    used = stored.used + count
    state = stored.state
    if used == len(whole.steps):
        state = advance_approval(state, ApprovalEvent.CONSUME)
    event = move_plan(tx, whole, (state, used), f"step {used} is permitted", by=DAEMON, now=now)
    return Whole(stored=replace(stored, state=state, used=used), steps=whole.steps), event
