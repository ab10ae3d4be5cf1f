"""Verdicts of evaluation, and decisions of the commit. They have no truth value and must be matched on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action.state import ActionState
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from taskbound.core.action import Action, PriorAction
    from taskbound.core.approval import Operand
    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.scope import Covered
    from taskbound.core.target import Life


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A stable code, a sentence and details."""

    code: str
    text: str
    detail: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Permit(NoTruth):
    """Permission for this action, once, for its holder, until an instant."""

    reasons: tuple[Reason, ...]
    grant: str
    policies: tuple[str, ...]
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(NoTruth):
    """Refused until its lifters are given."""

    reasons: tuple[Reason, ...]
    policies: tuple[str, ...]
    lifters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(NoTruth):
    """Refused, with a sentence that tells the model what it may do instead."""

    code: str
    reasons: tuple[Reason, ...]
    instead: str
    policies: tuple[str, ...] = ()


Decision: TypeAlias = Permit | Hold | Refuse


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(NoTruth):
    """Evaluation permits: the grants that cover the action and the policies that permit it."""

    covered: Covered
    policies: tuple[str, ...]
    looked: Holding | None = None
    """The same verdict as a hold, if the call names a held action and its operands were probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding(NoTruth):
    """Evaluation holds: grants cover the action, and policies require these lifters."""

    covered: Covered
    hold: Hold
    operands: tuple[Operand, ...] = ()
    """What probes found behind its arguments."""
    blocked: TaskboundError | None = None
    """Why an operand cannot be probed; then no approver is asked."""
    looked: Instant | None = None
    """When; None where there was nothing to look at."""


Verdict: TypeAlias = Evaluated | Holding | Refuse
"""What evaluation ends in: a permit exists only once limits are paid, under lock."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """The connection, request id and idempotency key of a call."""

    connection: str
    request: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadVersions:
    """The versions of everything that evaluation read; a changed version makes the proposal stale."""

    tasks: tuple[tuple[str, int], ...]
    """(task id, version) of the task and its ancestors."""
    agent: int | None
    """None when there was no such agent."""
    agents: tuple[tuple[str, int | None], ...] = ()
    """(name, version) of the agents of its ancestors."""
    switch: int
    tool: int | None
    """None when no such tool was pinned."""
    bundle: str
    last_outcome: str
    """`none`, `succeeded`, `failed` or `unknown`; compared only when a policy reads it."""
    reads_outcome: bool
    attempts: int | None = None
    """How often the act was attempted before; None when no policy reads of that."""
    issuers: tuple[Issuer, ...] | None = None
    """Whose word counted for the task's evidence; None when no policy reads of that."""
    vouched_until: Instant | None = None
    """When the first piece of it that stood does so no more; None where none stood."""
    looked: Instant | None = None
    """When what policies read of was looked at; None where nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrows:
    """For an action that narrows a held one: what it takes over from that one's question."""

    digest: str
    """The approval digest of the held one."""
    lifters: tuple[str, ...]
    """The lifters that it needs if policy requires none."""
    deadline: Instant
    connection: str
    request: str
    waits: Instant
    """Which presentation waits for the held one, and until when: it waits for this one now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """For an action that is a step of a plan: the plan and the step."""

    plan: str
    """The plan's id."""
    step: int
    """From 1."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An evaluated action on its way to the commit."""

    id: str
    action: Action
    root: str
    """The first task of the tree, over which attempts are counted."""
    presented: Presentation
    verdict: Verdict
    basis: ReadVersions
    flags: tuple[str, ...]
    scope: str
    """Digest of the task's scope; empty without a task."""
    facts: tuple[tuple[str, str], ...] = ()
    """What policies read, in words: kept with the action so that it can be explained and replayed."""
    resume: str = ""
    """The held action that the call waits for, when it is asked for again."""
    narrows: Narrows | None = None
    """What it narrows, when a person brings it as their answer."""
    planned: Planned | None = None
    """Which step of a plan it is, while the plan is asked about."""
    life: Life | None = None
    """For how long a credential is asked for, where one is."""
    unwatched: bool = False
    """Whether its outcome will not be reported: the permit counts as used."""

    @property
    def permitted(self) -> ActionState:
        """The action's state once it is permitted."""
        return ActionState.UNWATCHED if self.unwatched else ActionState.PERMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale(NoTruth):
    """Something that evaluation read has changed; the action must be evaluated again."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(NoTruth):
    """The same presentation came before."""

    prior: PriorAction


def refusal(error: TaskboundError, *, instead: str = "") -> Refuse:
    """Returns the refusal for an error; `instead` replaces the error's own advice."""
    advice = instead or error.advice or "ask the person who opened the task"
    return Refuse(
        code=error.code,
        reasons=(Reason(code=error.code, text=error.message, detail=error.where),),
        instead=advice,
    )
