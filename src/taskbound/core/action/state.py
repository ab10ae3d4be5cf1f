"""The states of an action, how it is presented, and the answer to a repeated call.

Of `state`:

Rules (design 4.8, 4.9 and 5):

1. An action begins held, permitted or refused; or unwatched (rule 6).
2. A cancelled hold never runs: nothing leads from withdrawn or expired to anywhere.
3. A permit that was handed out and not answered is unknown, whether or not sending was
   reported; only one that never reached its holder lapses.
4. An unknown outcome is never taken for a failure: it stays until somebody finds out.
5. Only what was surely not sent gives uses and limits back; unknown keeps them. Once somebody may have a
   transaction token of the action nobody is sure: whoever has it may have used it downstream. So it is of an
   action that asks for a credential, which is written down, and may be minted, from its permit on, until it
   is over and no mint of it has begun.
6. What nobody will tell the outcome of is used when it is permitted, and is unwatched from then on: nothing
   more happens to it. It neither succeeded nor is unknown, and what it took stays taken.

Of `repeat`:

1. Each state has its words. Only of what is known to have done nothing is it said that it may be asked for
   again; of what may have run it never is (law 7).

Of `presentation`:

Rules (design 4.1):

1. A call with an idempotency key, or a connection and request id, that was seen before
   is a duplicate: it gets what the first one got, and nothing runs.
2. With another action under that key it is malformed: nobody can say which one is meant.
3. Anything else is new. A plain repeat after success is a new use.
4. A key has 200 characters at most, whoever sends it: it is kept as long as its task is.
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
    """Where an action stands."""

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
    """What can happen to an action."""

    PERMIT = "permit"
    """A held action was decided again, and is permitted."""
    PERMIT_UNWATCHED = "permit-unwatched"
    """A held action was decided again, and is permitted to somebody who tells no outcome (rule 6)."""
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
    """Somebody found out that the lost action took effect."""
    RECONCILE_FAILED = "reconcile-failed"
    """Somebody found out that the lost action took no effect."""


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
    """That nothing was sent is believed no more: a token that says so downstream was issued (rule 5)."""

    code = "token-was-issued"
    remedy = "tell `succeeded` or `failed` where you know what came of it, and `unknown` where you do not"


class CredentialWrittenError(DeniedError):
    """That nothing was sent is not believed of what asks for a credential: it may be minted (rule 5)."""

    code = "credential-was-written"
    remedy = "tell `succeeded` or `failed`, and end what is needed no more; its use is not given back"


def require_unsent(after: ActionState, *, told: bool, credential: bool = False) -> None:
    """Go on only with an outcome that can be believed (rule 5).

    Args:
        after: Where it leads.
        told: Whether somebody may have a transaction token of the action.
        credential: Whether a credential was written down with its permit that is, or may be, minted.

    Raises:
        TokenIssuedError: It gives back what may have been used.
        CredentialWrittenError: It gives back what may have been minted.
    """
    if credential and after in GIVES_BACK:
        raise CredentialWrittenError("a credential was written down for the action, and may be minted")
    if told and after in GIVES_BACK:
        raise TokenIssuedError("a transaction token was issued for the action, and may have been used")


def advance(state: ActionState, event: ActionEvent) -> ActionState:
    """The state after the event.

    Raises:
        WrongStateError: The event can't happen in this state.
    """
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
    ActionState.UNWATCHED: "it was permitted once, and nobody tells what came of it; do not repeat it",
}
"""By state, each of them (rule 1)."""
_OTHER: Final = "do not repeat it; ask the person who opened the task"


def instead_of(state: str) -> str:
    """What to do about a call that came before.

    Args:
        state: The first one's, as the daemon says it; one that is not known here may be of a later version.
    """
    try:
        return INSTEAD[ActionState(state)]
    except ValueError:
        return _OTHER


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
