"""What an agent's model reads of a call that gave no result, whatever framework it runs in.

1. What is about the call is told to the model, as a sentence and what it may do instead: it is no crash of
   the run, and no error after which a framework tries the same again by itself.
2. What is about the program (no client, another event loop, a fork) is raised: no model can mend it.
3. Text from outside (a rule's, a person's, the model's own) reaches the model only escaped, and only so much
   of it: no line of its own, nothing that is invisible.
4. Whether anything ran stands in the first words.
5. A function's own error is none of these: it comes as it is, and what is done with it is the framework's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.state import instead_of
from taskbound.core.action.text import escape_rest
from taskbound.sdk.guard.errors import (
    ForkedError,
    HeldError,
    HoldDeniedError,
    HoldOverError,
    NarrowedError,
    NoClientError,
    NoTaskHereError,
    OtherLoopError,
    OutcomeUntoldError,
    RepeatedError,
    ResultWithheldError,
    SignatureError,
)
from taskbound.sdk.guard.shape import UnwritableArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError


_PROGRAMS: Final = (ForkedError, NoClientError, NoTaskHereError, OtherLoopError, SignatureError)
_MOST: Final = 2000
"""Characters of a sentence; what is longer is cut, and says so."""


def require_told(error: TaskboundError) -> None:
    """Go on only with what a model can do something about; raise what is the program's (rule 2)."""
    if isinstance(error, _PROGRAMS) and not isinstance(error, UnwritableArgumentError):
        raise error


def is_open(error: TaskboundError) -> bool:
    """Whether people can still lift this: a framework that can wait for them may."""
    return isinstance(error, HeldError) and not isinstance(error, HoldDeniedError | HoldOverError)


def told(error: TaskboundError) -> str:
    """The sentence that a model reads of a call that ended in this (rules 3 and 4)."""
    if isinstance(error, OutcomeUntoldError | ResultWithheldError):
        first = "Run, and its result may not be used"
    else:
        first = "Not run"
    if isinstance(error, RepeatedError):
        instead = instead_of(error.state)
    elif is_open(error):
        instead = (
            "people are asked; go on with something else, or say that you wait for them, and call it again"
            " with exactly the same arguments once they have answered"
        )
    elif isinstance(error, NarrowedError):
        less = canonical(dict(error.arguments)).decode()
        instead = f"ask for what a person has answered with, which are these arguments: {less}"
    else:
        instead = error.advice
    code = f" [{error.code}]" if f"[{error.code}]" not in error.message else ""
    found = f"{_bounded(f'{first}: {error.message}{code}')}."
    return f"{found} Instead: {_bounded(instead)}." if instead else found


def asked_of_people(error: HeldError, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a framework that waits shows to whoever answers it: plain JSON.

    Args:
        error: The hold.
        arguments: As the model said them.
    """
    return {
        "tool": error.tool,
        "arguments": dict(arguments),
        "action": error.action,
        "approval": error.approval,
        "look": error.look,
        "reasons": [{"code": code, "text": _bounded(text)} for code, text in error.reasons],
    }


def _bounded(text: str) -> str:
    shown = escape_rest(text).rstrip(".")
    return shown if len(shown) <= _MOST else f"{shown[:_MOST]} (and more)"
