"""Where an action stands, from its decision to its outcome.

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
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from taskbound.core.errors import DeniedError
from taskbound.core.transition import Transitions


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
