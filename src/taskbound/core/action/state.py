"""The states of an action, and the answer to a repeated call (design 4.1, 4.8, 4.9 and 5).

1. An action begins held, permitted, refused or unwatched (rule 6).
2. Withdrawn and expired are final: a cancelled hold never runs.
3. A permit without a reported outcome becomes unknown, whether or not sending was reported. Only a permit
   that never reached its holder lapses.
4. Unknown is never treated as failed; it stays until the outcome is reconciled.
5. Only an action that was certainly not sent gives back uses and limits. That is no longer certain once a
   transaction token of it was issued, or once a credential may be minted for it.
6. An action whose outcome will not be reported is unwatched from its permit on: it has no further state, and
   its uses stay taken.

A call with the idempotency key, or the connection and request id, of an earlier call is a duplicate and gets
the earlier answer; with another action it is refused. Any other call is new, also after a success. The answer
to a duplicate offers a retry only where the first call certainly had no effect (law 7).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.quick import quick
from taskbound.core.transition import NoTruth, Transitions

if TYPE_CHECKING:
    from collections.abc import Mapping


class ActionState(Enum):
    """The state of an action."""

    HELD = "held"
    PERMITTED = "permitted"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NOT_SENT = "not-sent"
    LAPSED = "lapsed"
    RECONCILED_SUCCEEDED = "reconciled-succeeded"
    RECONCILED_FAILED = "reconciled-failed"
    UNWATCHED = "unwatched"


class ActionEvent(Enum):
    """An event in the life of an action."""

    PERMIT = "permit"
    """A held action was decided again, and is permitted."""
    PERMIT_UNWATCHED = "permit-unwatched"
    """A held action was decided again and permitted; its outcome will not be reported (rule 6)."""
    REFUSE = "refuse"
    """A held action was denied, or decided again and refused."""
    WITHDRAW = "withdraw"
    """The agent, a person, or the end of the task took a held action back."""
    EXPIRE = "expire"
    """A hold's deadline came."""
    SEND = "send"
    """The holder of the permit is about to send it to the tool."""
    NOT_SEND = "not-send"
    """The live holder of the permit says that it sent nothing."""
    LAPSE = "lapse"
    """The permit ran out and never reached its holder."""
    SUCCEED = "succeed"
    """The tool answered."""
    FAIL = "fail"
    """The tool answered with an error."""
    LOSE = "lose"
    """The holder, the tool or the answer was lost (rule 3)."""
    RECONCILE_SUCCEEDED = "reconcile-succeeded"
    """A person reconciled the unknown action: it took effect."""
    RECONCILE_FAILED = "reconcile-failed"
    """A person reconciled the unknown action: it took no effect."""


_S, _E = ActionState, ActionEvent

ACTION_TRANSITIONS: Final[Transitions[ActionState, ActionEvent]] = Transitions(
    word="the action",
    moves={
        (_S.HELD, _E.PERMIT): _S.PERMITTED,
        (_S.HELD, _E.PERMIT_UNWATCHED): _S.UNWATCHED,
        (_S.HELD, _E.REFUSE): _S.REFUSED,
        (_S.HELD, _E.WITHDRAW): _S.WITHDRAWN,
        (_S.HELD, _E.EXPIRE): _S.EXPIRED,
        (_S.PERMITTED, _E.SEND): _S.SENT,
        (_S.PERMITTED, _E.NOT_SEND): _S.NOT_SENT,
        (_S.PERMITTED, _E.LAPSE): _S.LAPSED,
        (_S.PERMITTED, _E.LOSE): _S.UNKNOWN,
        (_S.SENT, _E.SUCCEED): _S.SUCCEEDED,
        (_S.SENT, _E.FAIL): _S.FAILED,
        (_S.SENT, _E.LOSE): _S.UNKNOWN,
        (_S.UNKNOWN, _E.RECONCILE_SUCCEEDED): _S.RECONCILED_SUCCEEDED,
        (_S.UNKNOWN, _E.RECONCILE_FAILED): _S.RECONCILED_FAILED,
    },
)

BEGINNINGS: Final = frozenset({_S.HELD, _S.PERMITTED, _S.REFUSED, _S.UNWATCHED})
"""Where an action can begin (rules 1 and 6)."""

TERMINAL: Final = frozenset(_S) - {_S.HELD, _S.PERMITTED, _S.SENT, _S.UNKNOWN}
"""Where nothing more can happen to it."""

GIVES_BACK: Final = frozenset({_S.NOT_SENT})
"""Where uses and limits are given back (rule 5)."""


class TokenIssuedError(DeniedError):
    """A report that nothing was sent is refused, because a transaction token of the action was issued."""

    code = "token-was-issued"
    remedy = "tell `succeeded` or `failed` where you know what came of it, and `unknown` where you do not"


class CredentialWrittenError(DeniedError):
    """A report that nothing was sent is refused, because a credential may have been minted for the action."""

    code = "credential-was-written"
    remedy = "tell `succeeded` or `failed`, and end what is needed no more; its use is not given back"


def require_unsent(after: ActionState, *, told: bool, credential: bool = False) -> None:
    """Checks rule 5; `told`: a transaction token may exist, `credential`: a credential may be minted."""
    if credential and after in GIVES_BACK:
        raise CredentialWrittenError("a credential was written down for the action, and may be minted")
    if told and after in GIVES_BACK:
        raise TokenIssuedError("a transaction token was issued for the action, and may have been used")


def advance(state: ActionState, event: ActionEvent) -> ActionState:
    """Returns the state after the event; raises WrongStateError if it is not possible."""
    return ACTION_TRANSITIONS.advance(state, event)


_WAIT: Final = "wait for the answer to the first call; do not repeat it"
_ANEW: Final = "it did not run; call again with another id"
INSTEAD: Final[Mapping[ActionState, str]] = {
    ActionState.HELD: "a person has to decide on it; tell them, and do not repeat it",
    ActionState.PERMITTED: _WAIT,
    ActionState.SENT: _WAIT,
    ActionState.UNKNOWN: (
        "what it did is unknown: look whether it took effect before you do anything else about it"
    ),
    ActionState.NOT_SENT: _ANEW,
    ActionState.LAPSED: _ANEW,
    ActionState.WITHDRAWN: _ANEW,
    ActionState.EXPIRED: _ANEW,
    ActionState.REFUSED: "it was refused; do not repeat it, and do something else",
    ActionState.SUCCEEDED: "it ran and succeeded, and its result is not kept; do not repeat it",
    ActionState.FAILED: "it ran and failed; look at what happened before you try something else",
    ActionState.RECONCILED_SUCCEEDED: "a person found out that it succeeded; do not repeat it",
    ActionState.RECONCILED_FAILED: "a person found out that it did not succeed; call again with another id",
    ActionState.UNWATCHED: "it was permitted once, and its outcome is not reported; do not repeat it",
}
"""The advice for a duplicate, by the state of the first call."""
_OTHER: Final = "do not repeat it; ask the person who opened the task"


def instead_of(state: str) -> str:
    """Returns the advice for a duplicate of a call in this state, which a later version may have named."""
    try:
        return INSTEAD[ActionState(state)]
    except ValueError:
        return _OTHER


_LONGEST: Final = 200


class KeyReusedError(MalformedError):
    """An idempotency key or request id was used again with another action."""

    code = "key-reused"
    remedy = "use a new key for a new action"


class KeySyntaxError(MalformedError):
    """An idempotency key is longer than 200 characters."""

    code = "bad-idempotency-key"
    remedy = f"send a key of 1 to {_LONGEST} characters, or none"


def require_key(key: str) -> None:
    """Raises KeySyntaxError if the key exceeds 200 characters, as keys are stored as long as their task."""
    if len(key) > _LONGEST:
        raise KeySyntaxError(f"an idempotency key has {len(key):,} characters, and may have {_LONGEST}")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PriorAction:
    """The earlier action with the same idempotency key or request id."""

    id: str
    digest: str
    state: ActionState


class PriorAnswer(Enum):
    """The answer to a duplicate call."""

    STORED = "stored"
    """The first one's own answer: its result or refusal, or that it never ran."""
    RUNNING = "running"
    """The first one has no outcome yet."""
    UNKNOWN = "unknown"
    """The first call's outcome is unknown, or will not be reported."""
    OUTCOME = "outcome"
    """What became of the first one was found out later; its answer is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class New(NoTruth):
    """A call that was not presented before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(NoTruth):
    """A call that was presented before."""

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
    """Classifies a call by its digest; raises KeyReusedError if the earlier action with its key differs."""
    if prior is None:
        return New()
    if prior.digest != digest:
        raise KeyReusedError("the same key came with another action before")
    return Duplicate(prior=prior, answer=_ANSWERS[prior.state])
