"""One call of a guarded function by a model: its arguments and its idempotency key.

1. The key is derived from the framework's names for the call and its place: a retried node or a run resumed
   from a checkpoint, in any process, presents the same action, which never runs twice. After a refusal, a
   hold or *nothing was done* the next key is used, so that it counts as a new attempt.
2. A new call of the model is decided by itself.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.action.canonical import canonical
from taskbound.sdk.guard.errors import RepeatedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
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
    """Runs a blocking function with a model's arguments under a key (rule 1).

    Raises as `Guarded.given` and `Guarded.__call__`.
    """
    args, kwargs = function.given(said)
    for one in _keys(key):
        try:
            return function.using(idempotency_key=one or None)(*args, **kwargs)
        except RepeatedError as error:
            if error.state not in _NOTHING_DONE:
                raise
    return None  # the keys have no end


async def awaited(function: Guarded[..., Any], said: bytes | Mapping[str, JsonValue], key: str) -> Any:  # noqa: ANN401 -- the function's own
    """The same for an awaited function."""
    args, kwargs = function.given(said)
    for one in _keys(key):
        try:
            return await function.using(idempotency_key=one or None)(*args, **kwargs)
        except RepeatedError as error:
            if error.state not in _NOTHING_DONE:
                raise
    return None  # the keys have no end


def _keys(key: str) -> Iterator[str]:
    yield key
    for number in count(2):
        yield f"{key}-{number}"
