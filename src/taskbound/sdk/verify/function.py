"""A plain function that runs only for the permitted action: tool and arguments.

The function gets its arguments read from the canonical text that the action digest is made of. A result
with a JSON form is kept and given to a repeat; other repeats only learn that it was done. A function that
raises or is cancelled leaves the outcome unknown and is not repeated. A result that can't be kept is in the
error (`AnswerUnkeptError.result`). A result that still has to run (coroutine, generator, future) leaves the
outcome unknown and is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from functools import wraps
from hashlib import sha256
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast

from taskbound.core.action import canonical, parse_document, parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.token.shared import MAX_KEPT, Repeated, ServedAnswer
from taskbound.sdk.verify.endpoint import BadEndpointError, Body, Endpoint
from taskbound.sdk.verify.errors import AnswerUnkeptError, YetToRunError
from taskbound.sdk.verify.refused import Refused
from taskbound.sdk.verify.waiting import lost, taken, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.sdk.verify.verifier import Accepted, Head, Verifier


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_DONE: Final = 200
_NAMED: Final = frozenset({Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY})


def verified(
    verifier: Verifier, tool: str, *, definition: str = ""
) -> Callable[[Callable[P, R]], Callable[Concatenate[Head, P], R]]:
    """Decorates a function to run only for permitted actions; it then takes the call's head first.

        pay(Head(tokens=[token]), account="7", cents=300)

    `definition` is the digest of the pinned definition; empty if tokens state it.
    """
    endpoint = Endpoint(tool=tool, body=Body.ARGUMENTS, definition=definition)

    def decorate(function: Callable[P, R]) -> Callable[Concatenate[Head, P], R]:
        signature = inspect.signature(function)
        if any(one.kind not in _NAMED for one in signature.parameters.values()):
            raise BadEndpointError("each argument of a tool is a parameter with a name")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise BadEndpointError("a generator is not done when it is called")
        if inspect.iscoroutinefunction(function):
            return cast("Callable[Concatenate[Head, P], R]", _asynchronous(verifier, endpoint, function))

        run = cast("Callable[..., R]", function)

        @wraps(function)
        def call(head: Head, /, *args: P.args, **kwargs: P.kwargs) -> R:
            text = canonical(signature.bind(*args, **kwargs).arguments)
            accepted = _begun(verifier, endpoint, head, text)
            if isinstance(accepted, Repeated):
                return cast("R", _again(accepted))
            try:
                result = done(run(**parse_object(text)))
            except BaseException:
                lost(verifier, accepted)
                raise
            _keep(verifier, accepted, result)
            return result

        return call

    return decorate


def _asynchronous(verifier: Verifier, endpoint: Endpoint, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @wraps(function)
    async def call(head: Head, /, *args: object, **kwargs: object) -> object:
        text = canonical(signature.bind(*args, **kwargs).arguments)
        accepted = await taken(verifier, lambda: _begun(verifier, endpoint, head, text))
        if isinstance(accepted, Repeated):
            return _again(accepted)
        try:
            result = done(await function(**parse_object(text)))
        except BaseException:
            await whole(lambda: lost(verifier, accepted))
            raise
        await whole(lambda: _keep(verifier, accepted, result))
        return result

    return call


def _begun(verifier: Verifier, endpoint: Endpoint, head: Head, text: bytes) -> Accepted | Repeated:
    opened = verifier.open(head, endpoint)
    outcome = opened if isinstance(opened, Refused) else verifier.take(opened, text)
    if isinstance(outcome, Refused):
        outcome.error.add_note(f"missing: {outcome.missing}")
        raise outcome.error
    return outcome


def done(result: T) -> T:
    """Returns the result; raises YetToRunError if it still has to run."""
    if not (inspect.isawaitable(result) or isinstance(result, Future | Iterator | AsyncIterator)):
        return result
    if inspect.iscoroutine(result):
        result.close()  # avoids the warning that it was never awaited
    raise YetToRunError(f"the function gave a `{type(result).__name__}`, which has yet to run")


def _keep(verifier: Verifier, accepted: Accepted, result: object) -> None:
    try:
        verifier.answer(accepted, _kept(result))
    except Exception as error:
        raise AnswerUnkeptError(result) from error


def _kept(result: object) -> ServedAnswer:
    try:
        text = canonical(cast("Any", result))
    except MalformedError:
        text = None
    if text is None or len(text) > MAX_KEPT:
        whole = b"" if text is None else text
        return ServedAnswer(
            status=_DONE, headers=(), digest=sha256(whole).hexdigest(), length=len(whole), body=None
        )
    return ServedAnswer(
        status=_DONE, headers=(), digest=sha256(text).hexdigest(), length=len(text), body=text
    )


def _again(repeated: Repeated) -> object:
    return parse_document(repeated.answer.body or b"")
