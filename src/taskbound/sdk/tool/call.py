"""What all framework adapters share: a model's call, the text of one without a result, known callables.

* The key is derived from the framework's names for the call and its place: a retried node or a run resumed
  from a checkpoint, in any process, presents the same action, which never runs twice. After a refusal, a
  hold or *nothing was done* the next key is used.
* An error about the call is a sentence for the model, so that no framework retries it; an error about the
  program (no client, another event loop, a fork) is raised. A function's own exception passes unchanged.
* External text is escaped, bounded and on one line. The first words say whether anything ran.
* Names, attributes and `__wrapped__` can be forged, so adapters register each callable for coverage checks.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import count
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from taskbound.core.action.canonical import canonical
from taskbound.core.action.state import instead_of
from taskbound.core.action.text import escape_rest
from taskbound.sdk.guard import errors
from taskbound.sdk.guard.shape import UnwritableArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError
    from taskbound.sdk.guard.guarded import Guarded


_NOTHING_DONE: Final = frozenset({"failed", "lapsed", "not-sent", "reconciled-failed"})
"""States of an action that has done nothing: a function says so of an error by `failed=`, a person by
reconciling."""


def key_of(framework: str, *names: str | None) -> str:
    """Returns the idempotency key of a call with these names; "" if the last, its own, is empty."""
    if not names or not names[-1]:
        return ""
    return f"{framework}-{sha256(canonical([one or '' for one in names])).hexdigest()}"


def called(function: Guarded[..., Any], said: bytes | Mapping[str, JsonValue], key: str) -> Any:  # noqa: ANN401 -- the function's own
    """Runs a blocking function with a model's arguments under a key; "" has no key."""
    args, kwargs = function.given(said)
    for one in _keys(key):
        try:
            return function.using(idempotency_key=one or None)(*args, **kwargs)
        except errors.RepeatedError as error:
            if error.state not in _NOTHING_DONE:
                raise
    return None  # the keys have no end


async def awaited(function: Guarded[..., Any], said: bytes | Mapping[str, JsonValue], key: str) -> Any:  # noqa: ANN401 -- the function's own
    args, kwargs = function.given(said)
    for one in _keys(key):
        try:
            return await function.using(idempotency_key=one or None)(*args, **kwargs)
        except errors.RepeatedError as error:
            if error.state not in _NOTHING_DONE:
                raise
    return None  # the keys have no end


def _keys(key: str) -> Iterator[str]:
    yield key
    for number in count(2):
        yield f"{key}-{number}"


_PROGRAMS: Final = (
    errors.ForkedError,
    errors.NoClientError,
    errors.NoTaskHereError,
    errors.OtherLoopError,
    errors.SignatureError,
)
_MOST: Final = 2000
"""Characters of a sentence; what is longer is cut, and says so."""


def require_told(error: TaskboundError) -> None:
    """Raises errors that are about the program."""
    if isinstance(error, _PROGRAMS) and not isinstance(error, UnwritableArgumentError):
        raise error


def is_open(error: TaskboundError) -> bool:
    """Whether an approval can still lift this."""
    return isinstance(error, errors.HeldError) and not isinstance(
        error, errors.HoldDeniedError | errors.HoldOverError
    )


def told(error: TaskboundError) -> str:
    """Returns the sentence for the model."""
    if isinstance(error, errors.OutcomeUntoldError | errors.ResultWithheldError):
        first = "Run, and its result may not be used"
    else:
        first = "Not run"
    if isinstance(error, errors.RepeatedError):
        instead = instead_of(error.state)
    elif is_open(error):
        instead = (
            "people are asked; go on with something else, or say that you wait for them, and call it again"
            " with exactly the same arguments once they have answered"
        )
    elif isinstance(error, errors.NarrowedError):
        less = canonical(dict(error.arguments)).decode()
        instead = f"ask for what a person has answered with, which are these arguments: {less}"
    else:
        instead = error.advice
    code = f" [{error.code}]" if f"[{error.code}]" not in error.message else ""
    found = f"{_bounded(f'{first}: {error.message}{code}')}."
    return f"{found} Instead: {_bounded(instead)}." if instead else found


def asked_of_people(error: errors.HeldError, arguments: Mapping[str, Any]) -> dict[str, Any]:
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


_made: Final[WeakKeyDictionary[Callable[..., Any], Guarded[..., Any]]] = WeakKeyDictionary()


def note_made(made: Callable[..., Any], function: Guarded[..., Any]) -> None:
    """Registers that this callable runs only this guarded function."""
    _made[made] = function


def made_for(found: object) -> Guarded[..., Any] | None:
    """Returns the guarded function of this callable, or None."""
    return _made.get(found) if type(found) is FunctionType else None
