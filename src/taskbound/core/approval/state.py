"""Where an approval stands, from its question to its one use (design 5).

1. A denial by anyone entitled is final: nothing leads away from it.
2. An approval is used once; nothing leads from used to anywhere, whatever becomes of the action.
3. A denial that comes when enough have approved is a denial all the same: it is never used, nor asked again.
4. A narrowing answers the held action for good, as a denial does: what runs instead is another action, with a
   question of its own.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from taskbound.core.action import ActionEvent
from taskbound.core.transition import Transitions


class ApprovalState(Enum):
    """Where an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    CONSUMED = "consumed"
    NARROWED = "narrowed"


class ApprovalEvent(Enum):
    """What can happen to it."""

    APPROVE = "approve"
    """Enough persons have answered yes."""
    DENY = "deny"
    """Somebody entitled has answered no."""
    EXPIRE = "expire"
    """Its deadline came."""
    WITHDRAW = "withdraw"
    """The agent, a person, or the end of the task took the question back."""
    SUPERSEDE = "supersede"
    """What was asked is no more what would run: policy, tool, scope, an operand or the circle changed."""
    CONSUME = "consume"
    """The one action is permitted by it."""
    NARROW = "narrow"
    """Somebody entitled has answered with a narrower action (rule 4)."""


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
    """The state after the event.

    Raises:
        WrongStateError: The event can't happen in this state.
    """
    return APPROVAL_TRANSITIONS.advance(state, event)
