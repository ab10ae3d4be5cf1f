"""Whether a call is a new action or one that was presented before.

Rules (design 4.1):

1. A call with an idempotency key, or a connection and request id, that was seen before
   is a duplicate: it gets what the first one got, and nothing runs.
2. With another action under that key it is malformed: nobody can say which one is meant.
3. Anything else is new. A plain repeat after success is a new use.
4. A key has 200 characters at most, whoever sends it: it is kept as long as its task is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from taskbound.core.action.state import ActionState
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.quick import quick
from taskbound.core.truth import NoTruth

_LONGEST: Final = 200


class KeyReusedError(MalformedError):
    """An idempotency key or request id came with another action than before."""

    code = "key-reused"
    remedy = "use a new key for a new action"


class KeySyntaxError(MalformedError):
    """An idempotency key is longer than one may be."""

    code = "bad-idempotency-key"
    remedy = f"send a key of 1 to {_LONGEST} characters, or none"


def require_key(key: str) -> None:
    """Rule 4; an empty one is none.

    Raises:
        KeySyntaxError: It is longer.
    """
    if len(key) > _LONGEST:
        raise KeySyntaxError(f"an idempotency key has {len(key):,} characters, and may have {_LONGEST}")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PriorAction:
    """The action that came with the same key before."""

    id: str
    digest: str
    state: ActionState


class PriorAnswer(Enum):
    """What a duplicate can be told."""

    STORED = "stored"
    """The first one's own answer: its result or refusal, or that it never ran."""
    RUNNING = "running"
    """The first one has no outcome yet."""
    UNKNOWN = "unknown"
    """Nobody knows what became of the first one, or will ever tell."""
    OUTCOME = "outcome"
    """What became of the first one was found out later; its answer is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class New(NoTruth):
    """Nobody presented this before (rule 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(NoTruth):
    """The same call was presented before (rule 1)."""

    prior: PriorAction
    answer: PriorAnswer


Presentation: TypeAlias = New | Duplicate

_ANSWERS: Final = {
    ActionState.HELD: PriorAnswer.RUNNING,
    ActionState.PERMITTED: PriorAnswer.RUNNING,
    ActionState.SENT: PriorAnswer.RUNNING,
    ActionState.SUCCEEDED: PriorAnswer.STORED,
    ActionState.FAILED: PriorAnswer.STORED,
    ActionState.UNKNOWN: PriorAnswer.UNKNOWN,
    ActionState.REFUSED: PriorAnswer.STORED,
    ActionState.WITHDRAWN: PriorAnswer.STORED,
    ActionState.EXPIRED: PriorAnswer.STORED,
    ActionState.NOT_SENT: PriorAnswer.STORED,
    ActionState.LAPSED: PriorAnswer.STORED,
    ActionState.RECONCILED_SUCCEEDED: PriorAnswer.OUTCOME,
    ActionState.RECONCILED_FAILED: PriorAnswer.OUTCOME,
    ActionState.UNWATCHED: PriorAnswer.UNKNOWN,
}


def present(prior: PriorAction | None, digest: str) -> Presentation:
    """How a call is presented.

    Args:
        prior: What came with the same key before, if anything did.
        digest: Of the action that this call is.

    Raises:
        KeyReusedError: The key came with another action (rule 2).
    """
    if prior is None:
        return New()
    if prior.digest != digest:
        raise KeyReusedError("the same key came with another action before")
    return Duplicate(prior=prior, answer=_ANSWERS[prior.state])
