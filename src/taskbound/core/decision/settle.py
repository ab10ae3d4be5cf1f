"""Turns proposals into decisions inside the commit, in order, from locked rows.

1. A proposal that read something that has changed is *stale* and is evaluated again, never settled: a
   revocation that commits first wins.
2. The kill switch, the task and its ancestors are judged again from the locked rows at the instant of the
   commit, before duplicates are answered: an ended task releases no answer.
3. A presentation that was permitted before is a duplicate and takes nothing; with another digest it is
   refused.
4. The first covering grant with everything left pays, all or nothing.
5. One proposal's refusal changes nothing for its neighbors.
6. A held proposal is resumed, asked for or refused as `hold` says; a lifted hold pays like any other.
7. An act counts as unknown if the holder of its permit is lost, without a write.
8. Results of probes and checks are valid for seconds. A proposal with older results, with expired evidence or
   with replaced evidence is stale.
9. A credential that would expire at once is refused; its task's end is read at the commit.
10. A renewal is judged by the credential's locked row. A second renewal waits for the outcome of the first.
    Duplicates are answered before this check.

A plan is held only if all its steps could be paid now, in order; each step is judged again when its turn
comes. A plan that would have to wait for a rate's window is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.action import Duplicate, New, PriorAction, present
from taskbound.core.approval import PlanRefusedError, step_words
from taskbound.core.credential import end_of
from taskbound.core.dataclass import dataclass
from taskbound.core.decision.hold import ActHistory, HoldLedger, Narrowed, OpenHold, OpenHolds, Waiting
from taskbound.core.decision.values import (
    Decision,
    Evaluated,
    Holding,
    Permit,
    Presentation,
    Proposal,
    Reason,
    Refuse,
    Repeated,
    Stale,
    refusal,
)
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.quick import quick
from taskbound.core.revocation import require_not_stopped
from taskbound.core.scope import Exhausted, Paid, pay
from taskbound.core.target import renewed_until
from taskbound.core.task import deadline_with, require_live

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action import Frame
    from taskbound.core.clock import Instant
    from taskbound.core.decision.values import ReadVersions
    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.scope import Charge
    from taskbound.core.target import Renewable
    from taskbound.core.task import TaskHead


def why_too_short(proposal: Proposal, tasks: Mapping[str, TaskHead], now: Instant) -> TaskboundError | None:
    """Returns why the requested credential would expire at once; None if it is fine or not requested."""
    life = proposal.life
    if life is None:
        return None
    try:
        end_of(life.asked, life.most, now, deadline_with(proposal.action.task, tasks))
    except (DeniedError, MalformedError) as error:
        return error
    return None


def require_renewable(proposal: Proposal, locked: Locked, renewed: Collection[str], now: Instant) -> None:
    """Raises a `TaskboundError` for a credential that cannot be renewed or is in `renewed`."""
    life = proposal.life
    if life is None or not life.renews:
        return
    found = next((one for one in locked.credentials if one.row.id == life.renews), None)
    if found is not None and life.renews in renewed:
        found = replace(found, unsettled=True)
    deadline = deadline_with(proposal.action.task, locked.tasks)
    renewed_until(found, proposal.action, life, now, deadline)


_NO_PLACES: Final = OpenHolds(holds={}, unaskable={}, room={}, hourly={}, superseded={}, anew={})


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The rows that the transaction read under lock, for one namespace."""

    switch: KillSwitch
    tasks: Mapping[str, TaskHead]
    agents: Mapping[str, int]
    """Version by name."""
    tools: Mapping[str, int]
    """Version by name."""
    left: Mapping[str, Mapping[str, int]]
    """By task: what is left of each limit."""
    priors: Mapping[Presentation, PriorAction]
    """By presentation; a key stands as `Presented(connection=task, request="", key=key)`."""
    acts: Mapping[tuple[str, str], ActHistory]
    """By (root task, act key)."""
    bundle: str
    doubted: frozenset[tuple[str, str]] = frozenset()
    """(root task, act key) of acts that were permitted to a holder who is lost."""
    issuers: tuple[Issuer, ...] = ()
    """Whose word counts as evidence; read only where a proposal rests on it."""
    places: OpenHolds = _NO_PLACES
    credentials: tuple[Renewable, ...] = ()
    """Those that are to be renewed."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A decision, ready to be written with its record."""

    proposal: Proposal
    decision: Decision
    attempt: int
    charges: tuple[Charge, ...] = ()
    lifted: OpenHold | None = None
    """The hold that was lifted, when this is its permit; the action is the held one then."""


Answered: TypeAlias = Settled | Stale | Repeated | Waiting | Narrowed


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One answer for each proposal, in order, and the rows that change."""

    answers: tuple[Answered, ...]
    left: Mapping[tuple[str, str], tuple[int, int]]
    """By (task, limit): what was left before and after; compare-and-set."""
    acts: Mapping[tuple[str, str], ActHistory]
    differed: Mapping[str, str]
    """Plans ended by a call that differed, and how it differed."""


def take_paid(paid: Paid, task: str, left: dict[str, dict[str, int]]) -> None:
    own = left.setdefault(task, {})
    for charge in paid.charges:
        own[charge.limit] -= charge.amount
    own.update(paid.windows)
    for above, row, value in paid.above:
        left[above][row] = value


def require_payable(
    proposals: Sequence[Proposal], left: Mapping[str, Mapping[str, int]], now: Instant
) -> None:
    """Raises PlanRefusedError unless all steps could be paid in order; `left` is by task and limit."""
    still = {task: dict(limits) for task, limits in left.items()}
    for number, one in enumerate(proposals, 1):
        if not isinstance(one.verdict, Holding):
            continue  # refused by what settles it
        match pay(one.verdict.covered, still.get(one.action.task, {}), now, still):
            case Paid() as paid:
                take_paid(paid, one.action.task, still)
            case Exhausted(shortfalls=shortfalls):
                words = "; ".join(each.sentence for each in shortfalls)
                raise PlanRefusedError(
                    f"with the steps before it, it asks for more than is left: {words}",
                    remedy="propose fewer steps, or smaller ones",
                    where=step_words(number, one.action.tool),
                )


_UNKNOWN_ACT: Final = ActHistory()
LOOK_LIFE: Final = 5_000_000
"""µs from a look at what a call names to the commit that rests on it (rule 8)."""


class _Book:
    def __init__(self, locked: Locked) -> None:
        self.left = {task: dict(limits) for task, limits in locked.left.items()}
        self.acts = dict(locked.acts)
        self.priors = dict(locked.priors)
        self.holds = HoldLedger(locked.places)
        self.renewed: set[str] = set()
        """Ids of the credentials that a permit of this group renews."""
        self.attempted: set[tuple[str, str]] = set()
        self.barred: dict[str, DeniedError | None] = {}
        """By task: what keeps it from acting at this instant, once it was looked at."""
        self.permits: dict[tuple[str, tuple[str, ...]], Permit] = {}
        """By grant and policies: the same words for every action that they permit."""
        self.moved: dict[tuple[int, int], str] = {}
        """By the identities of basis and frame, which the proposals keep alive: what of them changed."""

    def changes(self, locked: Locked) -> dict[tuple[str, str], tuple[int, int]]:
        return {
            (task, limit): (locked.left[task][limit], after)
            for task, limits in self.left.items()
            for limit, after in limits.items()
            if after != locked.left[task][limit]
        }


def presentation_names(proposal: Proposal) -> tuple[Presentation, ...]:
    """Returns the names of a presentation: connection with request id, and idempotency key with task."""
    presented = proposal.presented
    if not presented.key:
        return (presented,)
    return (
        Presentation(connection=proposal.action.task, request="", key=presented.key),
        Presentation(connection=presented.connection, request=presented.request),
    )


def settle(proposals: Sequence[Proposal], locked: Locked, *, now: Instant, until: Instant) -> Settlement:
    """Returns the answers in order of arrival, and the rows that change; permits lapse at `until`."""
    book = _Book(locked)
    answers = tuple(_settle_one(one, locked, book, now=now, until=until) for one in proposals)
    acts = {key: book.acts[key] for key in book.attempted}
    return Settlement(answers=answers, left=book.changes(locked), acts=acts, differed=book.holds.differed)


def _settle_one(proposal: Proposal, locked: Locked, book: _Book, *, now: Instant, until: Instant) -> Answered:
    changed = _changed(proposal, locked, book) or _outlived(proposal, now)
    if changed:
        return Stale(what=changed)  # 1
    key = (proposal.root, proposal.action.act_key)
    history = book.acts.get(key, _UNKNOWN_ACT)
    if isinstance(proposal.verdict, Refuse):
        return Settled(proposal=proposal, decision=proposal.verdict, attempt=history.attempts + 1)
    barred: TaskboundError | None = _barred(proposal.action.task, locked, book, now)
    if barred is None:
        barred = why_too_short(proposal, locked.tasks, now)  # 9
    if barred is not None:
        return Settled(proposal=proposal, decision=refusal(barred), attempt=history.attempts + 1)  # 2
    try:
        names = presentation_names(proposal)
        prior = _prior(proposal, names, book)
        if prior is not None:
            return Repeated(prior=prior)  # 3
        require_renewable(proposal, locked, book.renewed, now)  # 10
    except (DeniedError, MalformedError) as error:
        return Settled(proposal=proposal, decision=refusal(error), attempt=history.attempts + 1)
    settled = _decide(proposal, book, attempt=history.attempts + 1, now=now, until=until)
    if isinstance(settled, Settled) and isinstance(settled.decision, Permit):
        if proposal.life is not None and proposal.life.renews:
            book.renewed.add(proposal.life.renews)
        book.acts[key] = ActHistory(
            attempts=settled.attempt,
            last_outcome=history.last_outcome,
            last_action=settled.proposal.id,
            last_at=now,
        )
        book.attempted.add(key)
        own = PriorAction(id=settled.proposal.id, digest=proposal.action.digest, state=proposal.permitted)
        for name in names:
            book.priors[name] = own
    return settled


def _barred(task: str, locked: Locked, book: _Book, now: Instant) -> DeniedError | None:
    """Returns why the task may not act now; computed once for a group."""
    if task not in book.barred:
        try:
            require_not_stopped(locked.switch)
            require_live(task, locked.tasks, now)
        except DeniedError as error:
            book.barred[task] = error
        else:
            book.barred[task] = None
    return book.barred[task]


def _changed(proposal: Proposal, locked: Locked, book: _Book) -> str:
    basis, frame = proposal.basis, proposal.action.frame
    shared = (id(basis), id(frame))
    moved = book.moved.get(shared)
    if moved is None:
        moved = book.moved[shared] = _moved(basis, frame, locked)
    if moved:
        return moved
    if basis.reads_outcome:
        key = (proposal.root, proposal.action.act_key)
        last = "unknown" if key in locked.doubted else locked.acts.get(key, _UNKNOWN_ACT).last_outcome  # 7
        if last != basis.last_outcome:
            return "the last outcome of this act"
    if basis.attempts is not None:
        key = (proposal.root, proposal.action.act_key)
        if book.acts.get(key, _UNKNOWN_ACT).attempts != basis.attempts:
            return "the attempts of this act"
    if basis.issuers is not None and basis.issuers != locked.issuers:
        return "whose word counts as evidence"  # 8
    return ""


def _outlived(proposal: Proposal, now: Instant) -> str:
    vouched = proposal.basis.vouched_until
    if vouched is not None and now >= vouched:
        return "how long its evidence stands"
    verdict = proposal.verdict
    asked = verdict.looked if isinstance(verdict, Holding) else None
    looks = [one for one in (asked, proposal.basis.looked) if one is not None]
    return "what was looked at for it" if looks and now - min(looks) > LOOK_LIFE else ""


def _moved(basis: ReadVersions, frame: Frame, locked: Locked) -> str:
    """Returns what changed in the basis shared by all calls of one standing; computed once for a group."""
    for task, version in basis.tasks:
        head = locked.tasks.get(task)
        if head is None or head.version != version:
            return f"task `{task}`"
    agents = ((frame.agent, basis.agent), *basis.agents)
    compared = (
        *((f"agent `{name}`", locked.agents.get(name), version) for name, version in agents),
        ("the tool", locked.tools.get(frame.tool), basis.tool),
        ("the kill switch", locked.switch.epoch, basis.switch),
        ("the policy bundle", locked.bundle, basis.bundle),
    )
    return next((what for what, now, then in compared if now != then), "")


def _prior(proposal: Proposal, names: tuple[Presentation, ...], book: _Book) -> PriorAction | None:
    for name in names:
        found = book.priors.get(name)
        if found is None:
            continue
        match present(found, proposal.action.digest):
            case Duplicate():
                return found
            case New():
                continue
    return None


def _decide(
    proposal: Proposal, book: _Book, *, attempt: int, now: Instant, until: Instant
) -> Settled | Waiting | Narrowed:
    match proposal.verdict:
        case Refuse() as verdict:
            return Settled(proposal=proposal, decision=verdict, attempt=attempt)
        case Holding() as verdict:
            return _hold(proposal, verdict, book, attempt=attempt, now=now, until=until)  # 6
        case Evaluated() as verdict:
            return _pay(proposal, verdict, book, attempt=attempt, now=now, until=until)
        case _ as never:
            assert_never(never)


def _hold(
    proposal: Proposal, verdict: Holding, book: _Book, *, attempt: int, now: Instant, until: Instant
) -> Settled | Waiting | Narrowed:
    try:
        found = book.holds.take(proposal, now)
    except DeniedError as error:
        return Settled(proposal=proposal, decision=refusal(error), attempt=attempt)
    if isinstance(found, Narrowed):
        return found
    if found is None:
        asked = book.holds.ask(proposal, verdict.hold)
        return Settled(proposal=proposal, decision=asked, attempt=attempt)
    if not found.lifted:
        return Waiting(proposal=proposal, hold=found, decision=verdict.hold)
    lifted = Evaluated(covered=verdict.covered, policies=verdict.hold.policies)
    paid = _pay(proposal, lifted, book, attempt=attempt, now=now, until=until)
    if not isinstance(paid.decision, Permit):
        return paid
    book.holds.use(proposal.action.task, found)
    return replace(paid, proposal=replace(proposal, id=found.action), lifted=found)


def _pay(
    proposal: Proposal, verdict: Evaluated, book: _Book, *, attempt: int, now: Instant, until: Instant
) -> Settled:
    left = book.left.get(proposal.action.task, {})
    match pay(verdict.covered, left, now, book.left):
        case Paid() as paid:
            take_paid(paid, proposal.action.task, book.left)
            key = (paid.grant, verdict.policies)
            decision = book.permits.get(key)
            if decision is None:
                decision = book.permits[key] = Permit(
                    reasons=(Reason(code="covered", text=f"grant {paid.grant} covers this action"),),
                    grant=paid.grant,
                    policies=verdict.policies,
                    until=until,
                )
            return Settled(proposal=proposal, decision=decision, attempt=attempt, charges=paid.charges)
        case Exhausted() as exhausted:
            refused = Refuse(
                code="exhausted",
                reasons=tuple(
                    Reason(code="exhausted", text=text)
                    for text in (one.sentence for one in exhausted.shortfalls)
                ),
                instead="stay within what is left, or ask the person who opened the task for a new one",
                policies=verdict.policies,
            )
            return Settled(proposal=proposal, decision=refused, attempt=attempt)
        case _ as never:
            assert_never(never)
