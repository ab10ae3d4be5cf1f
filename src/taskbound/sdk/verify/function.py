"""A plain function that runs only for the action that a token permits: tool and arguments, and nothing else.

1. The function's parameters are the tool's arguments, each by its name. The action's digest is made of
   them, and the function is called with what that digest is of: the canonical text, read again.
2. What it gives is kept where JSON has a word for it. A repeat is given the same, and else told that it was
   done.
3. A function that raises leaves a call of which nobody knows what came: it is not made again.
4. What is refused is raised, as the error that says why.
"""

from __future__ import annotations

import asyncio
import inspect
from functools import wraps
from hashlib import sha256
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast

from taskbound.core.action import canonical, parse_document, parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.token.served import MAX_KEPT, Repeated, ServedAnswer
from taskbound.sdk.verify.endpoint import BadEndpointError, Body, Endpoint
from taskbound.sdk.verify.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.sdk.verify.verifier import Accepted, Head, Verifier

__all__ = ["verified"]

P = ParamSpec("P")
R = TypeVar("R")
_DONE: Final = 200
_NAMED: Final = frozenset({Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY})


def verified(
    verifier: Verifier, tool: str, *, definition: str = ""
) -> Callable[[Callable[P, R]], Callable[Concatenate[Head, P], R]]:
    """A decorator: the function runs for what tokens permit, and takes the head that came with a call first.

        @verified(verifier, "bank__pay")
        def pay(account: str, cents: int) -> dict: ...

        pay(Head(tokens=[token]), account="7", cents=300)

    Args:
        verifier: Verifies.
        tool: The tool that the function is, `server__tool`.
        definition: The digest of the tool's pinned definition; empty where tokens say it.

    Raises:
        BadEndpointError: The function has a parameter without a name of its own.
    """
    endpoint = Endpoint(tool=tool, body=Body.ARGUMENTS, definition=definition)

    def decorate(function: Callable[P, R]) -> Callable[Concatenate[Head, P], R]:
        signature = inspect.signature(function)
        if any(one.kind not in _NAMED for one in signature.parameters.values()):
            raise BadEndpointError("each argument of a tool is a parameter with a name")
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
                result = run(**parse_object(text))  # 1
            except BaseException:
                verifier.lose(accepted)  # 3
                raise
            verifier.answer(accepted, _kept(result))
            return result

        return call

    return decorate


def _asynchronous(verifier: Verifier, endpoint: Endpoint, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @wraps(function)
    async def call(head: Head, /, *args: object, **kwargs: object) -> object:
        text = canonical(signature.bind(*args, **kwargs).arguments)
        accepted = await asyncio.to_thread(_begun, verifier, endpoint, head, text)
        if isinstance(accepted, Repeated):
            return _again(accepted)
        try:
            result = await function(**parse_object(text))
        except BaseException:
            verifier.lose(accepted)  # 3
            raise
        await asyncio.to_thread(verifier.answer, accepted, _kept(result))
        return result

    return call


def _begun(verifier: Verifier, endpoint: Endpoint, head: Head, text: bytes) -> Accepted | Repeated:
    opened = verifier.open(head, endpoint)
    outcome = opened if isinstance(opened, Refused) else verifier.take(opened, text)
    if isinstance(outcome, Refused):
        outcome.error.add_note(f"missing: {outcome.missing}")
        raise outcome.error  # 4
    return outcome


def _kept(result: object) -> ServedAnswer:
    """What is kept of a result (rule 2)."""
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
