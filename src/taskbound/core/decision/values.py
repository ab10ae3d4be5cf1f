"""What an answer is made of: verdicts that evaluation ends in, and the decision that the commit makes.

A decision is a value with reasons and has no truth value: it is matched on.
"""

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
    """One reason: a stable code, a sentence, and what in detail."""

    code: str
    text: str
    detail: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Permit(NoTruth):
    """Leave for this one act, once, by its holder, until an instant."""

    reasons: tuple[Reason, ...]
    grant: str
    policies: tuple[str, ...]
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(NoTruth):
    """No, until somebody has lifted it."""

    reasons: tuple[Reason, ...]
    policies: tuple[str, ...]
    lifters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(NoTruth):
    """No, with what may be done instead, in one sentence for the model."""

    code: str
    reasons: tuple[Reason, ...]
    instead: str
    policies: tuple[str, ...] = ()


Decision: TypeAlias = Permit | Hold | Refuse


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(NoTruth):
    """Evaluation found nothing in the way: these grants cover, these policies permit."""

    covered: Covered
    policies: tuple[str, ...]
    looked: Holding | None = None
    """The same as a hold that nobody asked for, where the call names a held action and what it names was
    looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding(NoTruth):
    """Grants cover; policies hold it until what they name was given."""

    covered: Covered
    hold: Hold
    operands: tuple[Operand, ...] = ()
    """What probes found behind its arguments."""
    blocked: TaskboundError | None = None
    """Why something that it names can't be looked at; then nobody is asked."""
    looked: Instant | None = None
    """When; None where there was nothing to look at."""


Verdict: TypeAlias = Evaluated | Holding | Refuse
"""What evaluation ends in: a permit exists only once limits are paid, under lock."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """How an action was presented: on which connection, under which request id and key."""

    connection: str
    request: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What evaluation read, by version; if any of it is another one at the commit, it is stale."""

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
    """Of an action with which a person answers a held one: what of that one's question its own takes over."""

    digest: str
    """The approval digest of the held one."""
    lifters: tuple[str, ...]
    """Whose word it needs where policy asks for nobody's."""
    deadline: Instant
    connection: str
    request: str
    waits: Instant
    """Which presentation waits for the held one, and until when: it waits for this one now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Of an action that is asked about as a step of a plan: which one."""

    plan: str
    """The plan's id."""
    step: int
    """From 1."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One evaluated action on its way to the commit."""

    id: str
    action: Action
    root: str
    """The first task of the tree, over which attempts are counted."""
    presented: Presented
    verdict: Verdict
    basis: Basis
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
    """Whether nobody will tell what came of it: its permit counts as used (`core.action.state`, rule 6)."""

    @property
    def permitted(self) -> ActionState:
        """How the action stands once it is permitted."""
        return ActionState.UNWATCHED if self.unwatched else ActionState.PERMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale(NoTruth):
    """Something that evaluation read has changed: evaluate again."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(NoTruth):
    """The same presentation came before."""

    prior: PriorAction


def refusal(error: TaskboundError, *, instead: str = "") -> Refuse:
    """The refusal that an error stands for.

    Args:
        error: The error; its code becomes the refusal's.
        instead: What the model may do; the error's own advice when empty.
    """
    advice = instead or error.advice or "ask the person who opened the task"
    return Refuse(
        code=error.code,
        reasons=(Reason(code=error.code, text=error.message, detail=error.where),),
        instead=advice,
    )
