"""Results of our own: refusals, withheld results, what is offered.

1. A refusal is a tool result with `isError`: one text for the model, which says what it
   may do instead. The structured reason stands in `_meta`, where it belongs to nobody's
   schema: `structuredContent` must conform to the tool's `outputSchema` (MCP, Tools,
   Output Schema), and a refusal would not.
2. `resultType` stands in it for every client: modern ones need it, older ones ignore it.
3. Text from outside reaches a sentence only escaped, by whoever wrote the sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.surfaces.gateway.errors import code_of
from taskbound.wire.mcp.era import DECISION_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.wire.action import Duplicate, Reason, Refused

__all__ = ["duplicate", "error_result", "refused", "told", "withheld"]

_WAIT: Final = "wait for the answer to the first call; do not repeat it"
_STATES: Final = {
    "held": "a person has to decide on it; tell them, and do not repeat it",
    "permitted": _WAIT,
    "sent": _WAIT,
    "unknown": "what it did is unknown: look whether it took effect before you do anything else about it",
    "not_sent": "it did not run; call again with another id",
    "lapsed": "it did not run; call again with another id",
    "succeeded": "it ran and succeeded, and its result is not kept; do not repeat it",
    "failed": "it ran and failed; look at what happened before you try something else",
}


def refused(answer: Refused) -> bytes:
    """The daemon said no."""
    why = answer.reasons[0].text if answer.reasons else "it is not permitted"
    return told(
        answer.code,
        f"Refused: {why}",
        answer.instead,
        action=answer.action,
        task=answer.task,
        reasons=answer.reasons,
    )


def error_result(error: TaskboundError, *, action: str = "", task: str = "") -> bytes:
    """A call that was understood and could not be made."""
    return told(code_of(error), f"Refused: {error.message}", error.advice, action=action, task=task)


def withheld(code: str, reason: str, *, action: str, task: str, advice: str = "") -> bytes:
    """The call was made, and its result does not reach the client."""
    instead = advice or "do not repeat it; ask the person who opened the task how to go on"
    return told(code, f"The result of this call is withheld: {reason}", instead, action=action, task=task)


def duplicate(answer: Duplicate) -> bytes:
    """The same call came before, and there is no answer to repeat."""
    instead = _STATES.get(answer.state, "do not repeat it; ask the person who opened the task")
    state = answer.state.replace("_", " ")
    return told(
        "duplicate",
        f"The same call came before and is {state}",
        instead,
        action=answer.action,
        task=answer.task,
        reasons=answer.reasons,
    )


def told(
    code: str,
    sentence: str,
    instead: str,
    *,
    action: str = "",
    task: str = "",
    reasons: Sequence[Reason] = (),
) -> bytes:
    """One refusal as the bytes of a tool result (rules 1 and 2)."""
    decision: dict[str, JsonValue] = {"code": code}
    if action:
        decision["action"] = action
    if task:
        decision["task"] = task
    if reasons:
        decision["reasons"] = [_reason(one) for one in reasons]
    words = f"{sentence}. {instead[:1].upper()}{instead[1:]}." if instead else f"{sentence}."
    return canonical(
        {
            "_meta": {DECISION_KEY: decision},
            "content": [{"text": words, "type": "text"}],
            "isError": True,
            "resultType": "complete",
        }
    )


def _reason(one: Reason) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"code": one.code, "text": one.text}
    if one.detail:
        found["detail"] = one.detail
    return found
