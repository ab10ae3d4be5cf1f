"""The question about a widening amendment of a task, its digest and its state machine (design 5).

The digest is the SHA-256 of one canonical object with every fact that people approve. A changed scope,
step, policy bundle or agent standing replaces the question; a pause does not end it. The last required
answer applies the amendment in the same transaction, so no approval waits for later use. A denial by any
entitled person is final for that scope in that task. The agent's approvers answer, and those of each
widened tool that ever had approvers; each set needs the highest count that a policy in force asks of the
agent's approvers.
"""

from __future__ import annotations

import re
from dataclasses import field, fields
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import OtherQuestionError, StatementTimeError, UnreadableQuestionError
from taskbound.core.approval.question import Need, NeedKind, parse_lifter
from taskbound.core.approval.quorum import SKEW, Statement, Subject
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope import Scope, parse_scope
from taskbound.core.transition import Transitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant


AMENDMENT_VERSION: Final = 1
"""The version of what stands in the digest; another composition is another version."""
AMENDMENT_LIFTER: Final = "approval:agent"
"""What lifts every amendment: the word of those who approve for the task's agent."""
_KIND: Final = "taskbound amendment"
_APPROVERS: Final = re.compile(AMENDMENT_LIFTER + r"(?::([1-9]))?")
_TOOL: Final = re.compile(r"approval:tool:([^:]+)(?::([1-9]))?")


class AmendmentState(Enum):
    """State of an amendment."""

    PENDING = "pending"
    APPLIED = "applied"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class AmendmentEvent(Enum):
    """Events that change the state of an amendment."""

    APPLY = "apply"
    """Enough persons have answered yes, and the task has the scope."""
    DENY = "deny"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"


_S, _E = AmendmentState, AmendmentEvent

AMENDMENT_TRANSITIONS: Final[Transitions[AmendmentState, AmendmentEvent]] = Transitions(
    word="the amendment",
    moves={
        (_S.PENDING, _E.APPLY): _S.APPLIED,
        (_S.PENDING, _E.DENY): _S.DENIED,
        (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
        (_S.PENDING, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.PENDING, _E.SUPERSEDE): _S.SUPERSEDED,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentQuestion:
    """The question about one widening amendment."""

    namespace: str
    id: str
    task: str
    agent: str
    requester: str
    """Who asked for the task."""
    asker: str
    """Who asks for the amendment."""
    purpose: str
    """Of the task."""
    reason: str
    """Why it is to be widened."""
    bundle: str
    before: str
    """Digest of the scope that the task has."""
    edition: int
    """How often the task was given a scope until then."""
    step: int
    """In which step it is, counted from 0."""
    after: Scope
    """The scope that it is to have."""
    lifters: tuple[str, ...]
    """In order; with them the quorum."""
    nonce: str
    asked: Instant
    deadline: Instant
    canonical: bytes = field(init=False, repr=False, compare=False)
    digest: str = field(init=False)
    """Rule 1: what people sign."""

    def __post_init__(self) -> None:
        written = canonical(self._value())
        object.__setattr__(self, "canonical", written)
        object.__setattr__(self, "digest", sha256(written).hexdigest())

    @property
    def needs(self) -> tuple[Need, ...]:
        """All needs that must be met to apply the amendment."""
        return tuple(map(_need, self.lifters))

    def _value(self) -> dict[str, JsonValue]:
        value: dict[str, JsonValue] = {"kind": _KIND, "version": AMENDMENT_VERSION}
        for name in _PLAIN:
            value[name] = getattr(self, name)
        value["after"] = self.after.value()
        value["lifters"] = list(self.lifters)
        return value


def amendment_lifters(tools: Iterable[str], policies: Iterable[str]) -> tuple[str, ...]:
    asked = (_APPROVERS.fullmatch(one) for one in policies)
    quorum = max((int(one[1] or 1) for one in asked if one is not None), default=1)
    number = f":{quorum}" if quorum > 1 else ""
    return tuple(
        one + number for one in (AMENDMENT_LIFTER, *(f"approval:tool:{tool}" for tool in sorted(tools)))
    )


def _need(lifter: str) -> Need:
    tool = _TOOL.fullmatch(lifter)
    if tool is None:
        return parse_lifter(lifter)
    return Need(lifter=lifter, kind=NeedKind.APPROVAL, tool=tool[1], quorum=int(tool[2] or 1))


_PLAIN: Final = tuple(
    one.name for one in fields(AmendmentQuestion) if one.init and one.name not in {"after", "lifters"}
)
_WHOLE: Final = frozenset({"edition", "step", "asked", "deadline"})


def parse_amendment(raw: bytes) -> AmendmentQuestion:
    try:
        question = _question(parse_object(raw))
    except MalformedError as error:
        raise UnreadableQuestionError(f"an amendment can't be read: {error.message}") from error
    if question.canonical != raw:
        raise UnreadableQuestionError("an amendment is not as it was asked for")
    return question


def _question(value: dict[str, JsonValue]) -> AmendmentQuestion:
    for name in _PLAIN:
        said = value.get(name)
        if isinstance(said, bool) or not isinstance(said, int if name in _WHOLE else str):
            raise UnreadableQuestionError(f"an amendment has no {name}")
    lifters = value.get("lifters")
    if not isinstance(lifters, list):
        raise UnreadableQuestionError("an amendment has no lifters")
    plain = {name: value[name] for name in _PLAIN}
    return AmendmentQuestion(
        **plain,  # type: ignore[arg-type]  # each was looked at just now
        after=parse_scope(value.get("after")),
        lifters=tuple(str(one) for one in lifters),
    )


def require_amendment_answer(statement: Statement, question: AmendmentQuestion, now: Instant) -> None:
    """Raises unless the statement answers this amendment and was made while it was open."""
    if statement.subject is not Subject.AMENDMENT:
        raise OtherQuestionError(
            f"what was signed answers one {statement.subject.value}, and not one amendment"
        )
    named = (statement.namespace, statement.question, statement.digest)
    if named != (question.namespace, question.id, question.digest):
        raise OtherQuestionError("what was signed is not what is asked: the digest is another one")
    if not question.asked - SKEW <= statement.at <= now + SKEW:
        raise StatementTimeError("the statement was not made between the question and now")


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentGround:
    """The current facts that an amendment depends on."""

    ended: str
    """How its task, or an ancestor, has ended; empty while none has."""
    active: bool
    """Whether the agent is active."""
    bundle: str
    scope: str
    edition: int
    step: int
    lifters: tuple[str, ...]
    """What would lift it if it were asked now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentFate:
    """The event that must follow for an amendment, and the reason."""

    event: AmendmentEvent
    reason: str


def amendment_fate(
    question: AmendmentQuestion, ground: AmendmentGround, now: Instant
) -> AmendmentFate | None:
    """Returns what changed for the amendment, or None while the question is unchanged."""
    if ground.ended:
        return AmendmentFate(event=_E.WITHDRAW, reason=f"its task has ended ({ground.ended})")
    if now >= question.deadline:
        return AmendmentFate(event=_E.EXPIRE, reason="it was not approved in time")
    changed = (
        (not ground.active, "the agent is not active any more"),
        (ground.bundle != question.bundle, "the policies are others now"),
        (
            (ground.scope, ground.edition) != (question.before, question.edition),
            "the scope of its task is another one now",
        ),
        (ground.step != question.step, "its task is in another step now"),
        (ground.lifters != question.lifters, "others have to answer it by now"),
    )
    for is_so, reason in changed:
        if is_so:
            return AmendmentFate(event=_E.SUPERSEDE, reason=reason)
    return None
