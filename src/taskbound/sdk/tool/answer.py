"""The text that a model reads for a call without a result, in every framework.

1. An error about the call is a sentence for the model with advice, not an exception that ends the run or is
   retried by the framework.
2. An error about the program (no client, another event loop, a fork) is raised.
3. External text (of a rule, a person, the model) is escaped, bounded and on one line.
4. The first words say whether anything ran.
5. A function's own exception passes unchanged; the framework handles it.
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
    """Raises errors that are about the program (rule 2)."""
    if isinstance(error, _PROGRAMS) and not isinstance(error, UnwritableArgumentError):
        raise error


def is_open(error: TaskboundError) -> bool:
    """Whether an approval can still lift this."""
    return isinstance(error, HeldError) and not isinstance(error, HoldDeniedError | HoldOverError)


def told(error: TaskboundError) -> str:
    """Returns the sentence for the model (rules 3 and 4)."""
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
    """Returns plain JSON about the hold, for frameworks that pause; `arguments` are the model's."""
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
