"""The approval question for a held action: content and digest, validity, and state machine.

The digest is the SHA-256 of a canonical object that names the action by id and digest, requester, purpose,
policy bundle, scope, operands, lifters with counts, nonce and deadline. The question of a narrowed action
also names the original action's digest, a plan's step its plan and position, and a covered retry its
number and the values that differ from the first question, so a reader can recompute the signed digest. It
counts how often the task was given a scope, because uses may restart with a new one.

Lifters: `confirm` is the requester; `approval:GROUP[:N]` N members of a group; `approval:agent` the tool's
approvers, or the agent's if the tool never had any; `evidence:jws[.ISSUER]` a token of a trusted issuer.
All are needed, each with its count; one human may count for several. `step-up:ACR@SECONDS` sets how each
approver must have signed in; alone, it asks the requester. Any other lifter makes the action refused.

A change of policy bundle, scope, tool or agent standing makes it another question. The task's end
withdraws it; a pause does not, but no approval is used during a pause. The daemon's clock decides its
expiry. A denial by any entitled person is final, also after sufficient approvals, until the approval is
used. An approval is used once, whatever the outcome. A narrowing closes the held action like a denial.
"""

from __future__ import annotations

import re
from dataclasses import field, fields, replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionEvent, canonical, parse_object
from taskbound.core.approval.errors import UnliftableError, UnreadableQuestionError
from taskbound.core.approval.probe import Operand, parse_operand
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy.operation import parse_step_up
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.policy.operation import StepUp


APPROVAL_VERSION: Final = 1
"""The version of what stands in the digest; another composition is another version."""
AGENT: Final = "agent"
"""The group that a lifter names for those who approve for the tool, or else for the agent."""
_KIND: Final = "taskbound approval"
_EVIDENCE: Final = re.compile(r"evidence:(jws(?:\.[a-z0-9][a-z0-9_-]{0,31})?)")
_APPROVAL: Final = re.compile(r"approval:([a-z0-9][a-z0-9._-]{0,63})(?::([1-9]))?")


class NeedKind(Enum):
    """Which kind of answer is needed."""

    APPROVAL = "approve"
    CONFIRMATION = "confirm"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One requirement that lifts a hold."""

    lifter: str
    kind: NeedKind
    group: str = ""
    """Whose members answer, or whose signed word it is; empty for a confirmation."""
    quorum: int = 1
    tool: str = ""
    """Of an amendment: the tool whose approvers answer; empty for all others (`amendment`)."""


def parse_lifter(lifter: str) -> Need:
    if lifter == "confirm":
        return Need(lifter=lifter, kind=NeedKind.CONFIRMATION)
    proof = _EVIDENCE.fullmatch(lifter)
    if proof is not None:
        return Need(lifter=lifter, kind=NeedKind.EVIDENCE, group=proof[1])
    found = _APPROVAL.fullmatch(lifter)
    if found is None:
        raise UnliftableError(f"a policy holds it until `{lifter}`, which can't be given here")
    return Need(lifter=lifter, kind=NeedKind.APPROVAL, group=found[1], quorum=int(found[2] or 1))


def needs_of(lifters: Iterable[str]) -> tuple[Need, ...]:
    named = tuple(lifters)
    steps = [one for one in named if parse_step_up(one) is not None]
    needs = tuple(parse_lifter(one) for one in named if one not in steps)
    if steps and all(need.kind is NeedKind.EVIDENCE for need in needs):
        return (*needs, Need(lifter=steps[0], kind=NeedKind.CONFIRMATION))
    return needs


def steps_of(lifters: Iterable[str]) -> tuple[StepUp, ...]:
    """Lists the step-up requirements in these lifters; an approver must meet each."""
    return tuple(step for step in map(parse_step_up, lifters) if step is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The fields in which the answered question differs from that of its retry."""

    id: str
    action: str
    nonce: str
    asked: Instant
    deadline: Instant


FIRST: Final = tuple(one.name for one in fields(First))
"""The names of what is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question about one held action."""

    namespace: str
    id: str
    action: str
    """The held action's id."""
    act: str
    """Its digest."""
    task: str
    agent: str
    requester: str
    purpose: str
    tool: str
    bundle: str
    scope: str
    lifters: tuple[str, ...]
    """In order; with them the quorum."""
    edition: int
    """How often the task was given a scope until then, from 1."""
    nonce: str
    asked: Instant
    deadline: Instant
    operands: tuple[Operand, ...] = ()
    narrows: str = ""
    """Approval digest of the question that was answered with this action."""
    plan: str = ""
    """Id of the plan whose step this is; empty when it is asked by itself."""
    step: int = 0
    """Which step of it, from 1."""
    first: First | None = None
    """Of a retry: what the question was that people have answered."""
    retry: int = 0
    """Which retry of that it is, from 1."""
    canonical: bytes = field(init=False, repr=False, compare=False)
    digest: str = field(init=False)
    """Rule 1: what people sign."""

    def __post_init__(self) -> None:
        written = canonical(self._value())
        object.__setattr__(self, "canonical", written)
        object.__setattr__(self, "digest", sha256(written).hexdigest())

    @property
    def needs(self) -> tuple[Need, ...]:
        return needs_of(self.lifters)

    @property
    def steps(self) -> tuple[StepUp, ...]:
        return steps_of(self.lifters)

    @property
    def answered(self) -> Question:
        """The question that people signed; for a retry, the first one, with its digest."""
        if self.first is None:
            return self
        first = {name: getattr(self.first, name) for name in FIRST}
        return replace(self, **first, first=None, retry=0)

    @property
    def retried(self) -> str:
        """A unique text for the retry and its question; empty if this is not a retry."""
        return "" if self.first is None else f"{self.answered.digest}:{self.retry}"

    def _value(self) -> dict[str, JsonValue]:
        value: dict[str, JsonValue] = {"kind": _KIND, "version": APPROVAL_VERSION}
        for name in _PLAIN:
            value[name] = getattr(self, name)
        value["first"] = None if self.first is None else {name: getattr(self.first, name) for name in FIRST}
        value["lifters"] = list(self.lifters)
        value["operands"] = [one.value() for one in self.operands]
        return value


_PLAIN: Final = tuple(
    one.name for one in fields(Question) if one.init and one.name not in {"lifters", "operands", "first"}
)
_WHOLE: Final = frozenset({"asked", "deadline", "edition", "retry", "step"})


def parse_question(raw: bytes) -> Question:
    try:
        value = parse_object(raw)
        question = _question(value)
    except MalformedError as error:
        raise UnreadableQuestionError(f"a question can't be read: {error.message}") from error
    if question.canonical != raw:
        raise UnreadableQuestionError("a question is not as it was asked")
    return question


def _question(value: dict[str, JsonValue]) -> Question:
    _require_plain(value, _PLAIN)
    lifters, operands = value.get("lifters"), value.get("operands")
    if not isinstance(lifters, list) or not isinstance(operands, list):
        raise UnreadableQuestionError("a question has no lifters or operands")
    first = value.get("first")
    retry, step, edition = (_whole(value, name) for name in ("retry", "step", "edition"))
    if not isinstance(first, dict | None):
        raise UnreadableQuestionError("a question is a retry of something that is no question")
    if retry < 0 or (first is not None) != (retry > 0):
        raise UnreadableQuestionError("a question is no retry of anything, or which one is not said")
    if step < 0 or bool(value["plan"]) != (step > 0):
        raise UnreadableQuestionError("a question is a step of no plan, or which one is not said")
    if edition < 1:
        raise UnreadableQuestionError("a question does not name the edition of its scope")
    if first is not None:
        _require_plain(first, FIRST)
    plain = {name: value[name] for name in _PLAIN}
    return Question(
        **plain,  # type: ignore[arg-type]  # each was looked at just now
        lifters=tuple(str(one) for one in lifters),
        operands=tuple(parse_operand(one) for one in operands),
        first=None if first is None else First(**{name: first[name] for name in FIRST}),  # type: ignore[arg-type]  # each was looked at just now
    )


def _require_plain(value: dict[str, JsonValue], names: tuple[str, ...]) -> None:
    for name in names:
        if name in _WHOLE:
            _whole(value, name)
        elif not isinstance(value.get(name), str):
            raise UnreadableQuestionError(f"a question has no {name}")


def _whole(value: dict[str, JsonValue], name: str) -> int:
    said = value.get(name)
    if isinstance(said, bool) or not isinstance(said, int):
        raise UnreadableQuestionError(f"a question has no {name}")
    return said


class ApprovalState(Enum):
    """State of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    CONSUMED = "consumed"
    NARROWED = "narrowed"


class ApprovalEvent(Enum):
    """Events that change the state of an approval."""

    APPROVE = "approve"
    """Enough persons have answered yes."""
    DENY = "deny"
    """An entitled person denied it."""
    EXPIRE = "expire"
    """Its deadline came."""
    WITHDRAW = "withdraw"
    """The agent, a person, or the end of the task took the question back."""
    SUPERSEDE = "supersede"
    """What was asked is no more what would run: policy, tool, scope, an operand or the circle changed."""
    CONSUME = "consume"
    """The one action is permitted by it."""
    NARROW = "narrow"
    """An entitled person narrowed it."""


_S, _E = ApprovalState, ApprovalEvent

APPROVAL_TRANSITIONS: Final[Transitions[ApprovalState, ApprovalEvent]] = Transitions(
    word="the approval",
    moves={
        (_S.PENDING, _E.APPROVE): _S.APPROVED,
        (_S.PENDING, _E.DENY): _S.DENIED,
        (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
        (_S.PENDING, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.PENDING, _E.SUPERSEDE): _S.SUPERSEDED,
        (_S.PENDING, _E.NARROW): _S.NARROWED,
        (_S.APPROVED, _E.DENY): _S.DENIED,
        (_S.APPROVED, _E.EXPIRE): _S.EXPIRED,
        (_S.APPROVED, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.APPROVED, _E.SUPERSEDE): _S.SUPERSEDED,
        (_S.APPROVED, _E.CONSUME): _S.CONSUMED,
        (_S.APPROVED, _E.NARROW): _S.NARROWED,
    },
)

OPEN: Final = frozenset({_S.PENDING, _S.APPROVED})
"""Where something can still happen to it, and its action is held."""

BEFALLS: Final = {
    _E.DENY: ActionEvent.REFUSE,
    _E.EXPIRE: ActionEvent.EXPIRE,
    _E.WITHDRAW: ActionEvent.WITHDRAW,
    _E.SUPERSEDE: ActionEvent.WITHDRAW,
    _E.CONSUME: ActionEvent.PERMIT,
    _E.NARROW: ActionEvent.REFUSE,
}
"""What happens to the held action with it; an approving answer alone changes nothing of the action."""


def advance_approval(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    """Returns the state after the event; raises WrongStateError if the event is not allowed."""
    return APPROVAL_TRANSITIONS.advance(state, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The current facts that a question depends on."""

    ended: str
    """How its task, or an ancestor, has ended; empty while none has."""
    active: bool
    """Whether the agent is active."""
    bundle: str
    scope: str
    edition: int
    """How often the task was given a scope."""
    act: str
    """The digest that the same call has now; of a tool that changed, another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """The event that must follow for a question, and the reason."""

    event: ApprovalEvent
    reason: str


def befallen(question: Question, ground: Ground, now: Instant) -> Invalidation | None:
    """Returns what changed for the question, or None while it is unchanged."""
    if ground.ended:
        return Invalidation(event=ApprovalEvent.WITHDRAW, reason=f"its task has ended ({ground.ended})")
    if now >= question.deadline:
        return Invalidation(event=ApprovalEvent.EXPIRE, reason="it was not answered in time")
    changed = (
        (not ground.active, "the agent is not active any more"),
        (ground.bundle != question.bundle, "the policies are others now"),
        (ground.scope != question.scope, "the scope of its task is another one now"),
        (question.edition != ground.edition, "its task was given its scope anew since"),
        (ground.act != question.act, "the tool is another one now"),
    )
    for is_so, reason in changed:
        if is_so:
            return Invalidation(event=ApprovalEvent.SUPERSEDE, reason=reason)
    return None
