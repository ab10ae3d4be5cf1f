"""Open holds: which hold a call resumes, who holds a permit, and earlier attempts of the same act.

1. A call with the digest of an open hold of its task resumes that hold under the same action id. One call
   waits on a hold at a time; another is a new action.
2. A gateway names the hold that it waits for. A call that names a finished hold is refused.
3. An approval that counts is used by the call that resumes the hold, and by no other of the group.
4. A question that is asked again because something changed says so.
5. A narrowed action is finished. Its call is directed to the replacement action, which only that caller can
   take. The replacement has a question of its own.
6. A hold takes no uses. It is refused instead if no approver may answer or see it, or if too many are open.
7. While a plan of the task is open, only its next step can be resumed, and only after the step before it has
   ended. Any other held call ends the rest of the plan and is asked about by itself.

Attempts are permits, counted by act key. An unknown attempt stays the last one until all unknown attempts are
reconciled. Whatever is not known of the last attempt counts as changed.

A gateway holds permits through its connection; they are in doubt once it is lost. A network agent holds a
permit through one request and is taken to be at work until the permit ends; when the outcome is overdue the
act is unknown. The number of its permits without an outcome is limited for each task.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.decision.values import Hold, Reason, Refuse, refusal
from taskbound.core.errors import DeniedError
from taskbound.core.quick import quick
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.decision.values import Proposal
    from taskbound.core.errors import TaskboundError


PAUSES: Final = frozenset({"too-many-holds", "too-many-questions"})
"""Codes of refusals that pause the task: people are not asked on."""


class HoldOverError(DeniedError):
    """The held action that the call waits for has ended."""

    code = "hold-over"
    remedy = "look at it with `taskbound action show`; call again to ask anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHold:
    """A held action that can still be permitted, and whether its approval counts now."""

    approval: str
    action: str
    connection: str
    request: str
    waits: Instant
    """Until when the presentation above waits for the answer."""
    lifted: bool
    """Whether enough persons have approved, by what is true now, and the approval is unused."""
    behind: str = ""
    """Of a step of a plan that waits for the one before it: the action that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(NoTruth):
    """The call resumes a hold that is not lifted yet."""

    proposal: Proposal
    hold: OpenHold
    decision: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed(NoTruth):
    """The held action was narrowed: the caller must present this open action instead."""

    proposal: Proposal
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPlan:
    """An open plan of a task and its remaining steps (rule 7)."""

    plan: str
    first: int
    """Which step is next, from 1."""
    steps: tuple[tuple[str, OpenHold], ...]
    """From the next one on: the digest of its action, and its hold."""
    runs: str
    """The action of the step before the next one, which was permitted and has no outcome yet; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHolds:
    """The open holds and plans, read under lock."""

    holds: Mapping[tuple[str, str], tuple[OpenHold, ...]]
    """By (task, action digest), oldest first."""
    unaskable: Mapping[str, TaskboundError]
    """By the proposal's id: why no approver can be asked."""
    room: Mapping[str, int]
    """By task: how many more may be open."""
    hourly: Mapping[str, int]
    """By agent: how many more it may ask within this hour."""
    superseded: Mapping[str, str]
    """Held actions that were ended just now, since what was asked is not what would run, and why."""
    anew: Mapping[tuple[str, str], str]
    """The same by (task, action digest): what is asked anew, and why."""
    narrowed: Mapping[tuple[str, str], tuple[tuple[str, OpenHold], ...]] = field(default_factory=dict)
    """By (task, action digest): held actions that were narrowed, each with the open one that runs instead."""
    plans: Mapping[str, OpenPlan] = field(default_factory=dict)
    """By task: its open plan."""


class HoldLedger:
    """The open holds of a commit group, updated while its proposals are settled."""

    __slots__ = ("_differs", "_holds", "_hourly", "_places", "_plans", "_room", "_taken", "differed")

    def __init__(self, places: OpenHolds) -> None:
        self._places = places
        self._holds = {key: list(some) for key, some in places.holds.items()}
        self._room = dict(places.room)
        self._hourly = dict(places.hourly)
        self._plans = dict(places.plans)
        self._taken: set[str] = set()
        self._differs = ""
        self.differed: dict[str, str] = {}
        """Plans ended by a call that differed, and how it differed (rule 7)."""

    def take(self, proposal: Proposal, now: Instant) -> OpenHold | Narrowed | None:
        """Assigns to the call the hold that it resumes; raises HoldOverError for an ended hold."""
        self._differs = ""
        if proposal.narrows is not None or proposal.planned is not None:
            return None  # 5
        key = (proposal.action.task, proposal.action.digest)
        step = self._take_step(proposal, now)
        if step is not None:
            return step
        waiting = self._holds.get(key, [])
        for one in waiting:
            if _resumes(proposal, one, now):
                waiting.remove(one)
                self._differ(proposal)
                return one
        for held, hold in self._places.narrowed.get(key, ()):
            if _resumes(proposal, hold, now, held=held):
                return Narrowed(proposal=proposal, action=hold.action)
        if proposal.resume and proposal.resume not in self._places.superseded:
            raise HoldOverError("the action that this call waits for is not held any more")
        self._differ(proposal)
        return None

    def use(self, task: str, hold: OpenHold) -> None:
        """Records that the call of this hold was permitted; a plan moves to its next step (rule 7)."""
        plan = self._plans.get(task)
        if plan is None or plan.steps[0][1].action != hold.action:
            return
        del self._plans[task]
        if len(plan.steps) > 1:
            self._plans[task] = replace(plan, first=plan.first + 1, steps=plan.steps[1:], runs=hold.action)

    def _take_step(self, proposal: Proposal, now: Instant) -> OpenHold | None:
        plan = self._plans.get(proposal.action.task)
        if plan is None or plan.steps[0][0] != proposal.action.digest:
            return None
        hold = plan.steps[0][1]
        if hold.action in self._taken or not _resumes(proposal, hold, now):
            return None
        self._taken.add(hold.action)
        return replace(hold, lifted=False, behind=plan.runs) if plan.runs else hold

    def _differ(self, proposal: Proposal) -> None:
        plan = self._plans.pop(proposal.action.task, None)
        if plan is None:
            return
        acts = [act for act, _ in plan.steps]
        what = "another call"
        if proposal.action.digest in acts:
            what = f"the call of step {plan.first + acts.index(proposal.action.digest)}"
        self._differs = f"{what} was made, and the next was step {plan.first}"
        self.differed[plan.plan] = self._differs

    def ask(self, proposal: Proposal, hold: Hold) -> Hold | Refuse:
        """Returns the hold, or a refusal if approvers cannot be asked (rules 4 and 6)."""
        error = self._places.unaskable.get(proposal.id)
        if error is not None:
            return refusal(error)
        task = proposal.action.task
        agent = proposal.action.agent
        self._room[task] = self._room.get(task, 0) - 1
        self._hourly[agent] = self._hourly.get(agent, 0) - 1
        for code, left in (("too-many-holds", self._room[task]), ("too-many-questions", self._hourly[agent])):
            if left < 0:
                return Refuse(
                    code=code,
                    reasons=hold.reasons,
                    instead="stop: the task pauses until a person has looked at what was asked",
                    policies=hold.policies,
                )
        if self._differs:
            over = Reason(code="plan-over", text="what was left of the plan is over", detail=self._differs)
            return replace(hold, reasons=(over, *hold.reasons))
        why = self._places.anew.get((task, proposal.action.digest))
        if why is None:
            return hold
        before = Reason(code="superseded", text="what was asked before is another thing now", detail=why)
        return replace(hold, reasons=(before, *hold.reasons))


def _resumes(proposal: Proposal, hold: OpenHold, now: Instant, *, held: str = "") -> bool:
    presented = proposal.presented
    if proposal.resume:
        return (held or hold.action) == proposal.resume and (
            hold.connection == presented.connection or now >= hold.waits
        )
    own = (hold.connection, hold.request) == (presented.connection, presented.request)
    return own or now >= hold.waits


_NEVER: Final = Instant(0)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ActHistory:
    """The number of permits of an act, its last outcome and its last attempt."""

    attempts: int = 0
    last_outcome: str = "none"
    """`none`, `succeeded`, `failed` or `unknown`."""
    last_action: str = ""
    """The action of the last attempt; empty when there was none, or it was before such was kept."""
    last_at: Instant = _NEVER
    """When that was permitted."""

    def reconciled(self, outcome: str, *, still_unknown: bool) -> ActHistory:
        """Returns the history after the outcome of an unknown attempt was reconciled."""
        if self.last_outcome != "unknown" or still_unknown:
            return self
        return replace(self, last_outcome=outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """The facts that an attempt was judged by, beside its act key."""

    definition: str
    scope: str
    policy: str
    operands: tuple[str, ...] | None
    """What probes found, each in words; None when that was not recorded."""
    people: tuple[str, ...] | None
    """In words: owner and approvers of the agent, requester of the task; None when they were not recorded."""
    risk: str | None
    """The level of risk; None when it was not recorded."""


CHANGES: Final = ("definition", "operands", "people", "policy", "risk", "scope")
"""What can have changed since the last attempt, in order."""


def changed_since(before: AttemptFacts | None, now: AttemptFacts) -> tuple[str, ...]:
    """Returns the facts that differ from the attempt before; unknown facts count as changed."""
    if before is None:
        return CHANGES
    found = {
        "definition": before.definition != now.definition,
        "operands": (before.operands or ()) != now.operands,
        "people": before.people is None or before.people != now.people,
        "policy": before.policy != now.policy,
        "risk": before.risk is None or before.risk != now.risk,
        "scope": before.scope != now.scope,
    }
    return tuple(name for name in CHANGES if found[name])


AFAR: Final = "net"
"""What the names of such requests begin with."""
_OUTCOME: Final = minutes(10)
"""From the end of a permit until its outcome is overdue: what takes longer than that ends unknown."""
MOST_OPEN: Final = 1000
"""Permits of one task that agents afar hold at once; as they are seen, and not to the last one."""


class TooManyOpenError(DeniedError):
    """Network agents hold the maximum number of the task's permits without an outcome."""

    code = "too-many-open"
    remedy = "report what came of those that were permitted"


def is_network_holder(holder: str) -> bool:
    return holder.startswith(f"{AFAR}_")


def due_of(until: Instant) -> Instant:
    return Instant(until + _OUTCOME)
