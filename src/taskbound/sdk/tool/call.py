"""One call that a framework's model makes of a guarded function: its arguments, and its idempotency key.

1. The key is made of the framework's own names for the call and of where it is called: who runs the same call
   again (a node that is retried, a run that goes on from a checkpoint, in this process or another) presents
   the same action, and what ran or may have run under it never runs again. What was refused or held is
   decided again, and so is what is known to have done nothing: under a next key, so that it counts as the
   attempt that it is.
2. A model that calls again makes another call, which is decided by itself.
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
    """The idempotency key of a call that its framework names so; empty where its own name, the last, is."""
    if not names or not names[-1]:
        return ""
    return f"{framework}-{sha256(canonical([one or '' for one in names])).hexdigest()}"


def called(function: Guarded[..., Any], said: bytes | Mapping[str, JsonValue], key: str) -> Any:  # noqa: ANN401 -- the function's own
    """What a call comes to, of a function that blocks, with what a model said and under a key (rule 1).

    Raises:
        TaskboundError: As `Guarded.given` and a call of it say.
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
    """The same of a function that is awaited."""
    args, kwargs = function.given(said)
    for one in _keys(key):
        try:
            return await function.using(idempotency_key=one or None)(*args, **kwargs)
        except RepeatedError as error:
            if error.state not in _NOTHING_DONE:
                raise
    return None  # the keys have no end


def _keys(key: str) -> Iterator[str]:
    """The keys of a call and of its next attempts."""
    yield key
    for number in count(2):
        yield f"{key}-{number}"
