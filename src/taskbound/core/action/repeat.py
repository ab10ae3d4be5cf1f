"""What to do about a call that came before, by what became of the first one: the words for agents.

1. Each state has its words. Only of what is known to have done nothing is it said that it may be asked for
   again; of what may have run it never is (law 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.state import ActionState

if TYPE_CHECKING:
    from collections.abc import Mapping


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
