"""Functions whose every call is decided first.

A guarded function without a client belongs to the client in whose block it is called. Results that still
have to be awaited or iterated are refused: the work was not done when the outcome was reported. Attributes
of the function are copied to the guarded one, except where names collide.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, overload

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import parse_request_key
from taskbound.sdk.guard.errors import NoClientError, SignatureError, UnpinnedToolError
from taskbound.sdk.guard.flow import Call, guarded
from taskbound.sdk.guard.signature import Effect, Signature, definition_digest, tool_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Flow, Holds, Transport
    from taskbound.sdk.guard.owed import Debt


P = ParamSpec("P")
R = TypeVar("R")
_IN_A_THREAD: Final = (
    "have a `with client:` in this thread, or guard it with `@client.guard(…)`: a thread is within no block"
    " of the one that started it"
)
Failed: TypeAlias = "type[Exception] | tuple[type[Exception], ...]"
"""The errors by which a function says that nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    wait: float | None = None
    narrowed: bool = False
    key: str = ""
    failed: tuple[type[Exception], ...] = ()


class Guarded(Generic[P, R]):
    """A function whose calls are decided first; called like the function itself."""

    __wrapped__: Callable[P, R]
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        signature: Signature,
        options: _Options,
        client: Guards | None,
    ) -> None:
        kept: Mapping[str, object] = getattr(function, "__dict__", {})
        vars(self).update({name: one for name, one in kept.items() if not hasattr(Guarded, name)})
        update_wrapper(self, function, updated=())
        self._function = function
        self._signature = signature
        self._options = options
        self._client = client
        self.is_awaited = inspect.iscoroutinefunction(function)
        if self.is_awaited:
            _mark_awaited(self)

    def __reduce__(self) -> str:
        return self.__qualname__

    @property
    def tool(self) -> str:
        return self._signature.tool

    @property
    def server(self) -> str:
        """Returns the part before `__`."""
        return self._signature.server

    @property
    def definition(self) -> Mapping[str, JsonValue]:
        return self._signature.definition

    @cached_property
    def _digest(self) -> str:
        return definition_digest(self._signature.definition)

    def using(
        self, *, wait: float | None = None, narrowed: bool | None = None, idempotency_key: str | None = None
    ) -> Guarded[P, R]:
        """Returns a copy; `idempotency_key`: 1 to 128 visible ASCII; a second call with it never runs."""
        options = _Options(
            wait=self._options.wait if wait is None else wait,
            narrowed=self._options.narrowed if narrowed is None else narrowed,
            key=self._options.key if idempotency_key is None else parse_request_key(idempotency_key),
            failed=self._options.failed,
        )
        return Guarded(self._function, self._signature, options, self._client)

    def given(self, said: bytes | Mapping[str, JsonValue]) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments for a model's JSON; no value is coerced, no member dropped."""
        return self._signature.given(said)

    def written(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Returns the canonical arguments of a call; raises MalformedError or TypeError."""
        return self._signature.written(tuple(args), dict(kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Asks, and runs the function if permitted; after a RefusedError nothing ran."""
        client = self._client or current.get()
        if client is None:
            elsewhere = threading.current_thread() is not threading.main_thread()
            raise NoClientError(
                f"`{self.tool}` was called where no client is", remedy=_IN_A_THREAD if elsewhere else ""
            )
        call = Call(tool=self.tool, arguments=self._signature.written(args, kwargs), definition=self._digest)
        return client.run(self, call)

    # For the clients only.

    def flow(self, transport: Transport, call: Call, holds: Holds, wait: float, debt: Debt) -> Flow[object]:
        wanted = wait if self._options.wait is None else self._options.wait
        steps = guarded(
            transport,
            replace(call, key=self._options.key),
            debt=debt,
            holds=holds,
            wait=wanted,
            narrowed=self._options.narrowed,
            function=self,
        )
        try:
            return (yield from steps)
        except UnpinnedToolError as error:
            error.tool_file = tool_file([self])
            raise

    @property
    def failed(self) -> tuple[type[Exception], ...]:
        return self._options.failed

    def made(self, decided: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Returns the call's arguments; raises unless they are exactly the decided ones."""
        return self._signature.read(decided)

    def started(self, values: tuple[list[Any], dict[str, Any]]) -> Any:  # noqa: ANN401 -- whatever it gives
        args, kwargs = values
        return self._function(*args, **kwargs)

    def finished(self, result: Any) -> Any:  # noqa: ANN401 -- whatever the function gave
        """Returns the result if the function is done with it."""
        if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            if inspect.iscoroutine(result) or inspect.isgenerator(result):
                result.close()
            raise SignatureError(
                f"`{self.tool}` gave back something that is still to run",
                remedy="make it `async def`, or have it return what it found",
            )
        return result


class Guards(ABC):
    """Base of clients: provides `@client.guard`."""

    @abstractmethod
    def require_fit(self, function: Guarded[P, R]) -> None:
        """Raises SignatureError unless this client can run the function."""

    @abstractmethod
    def run(self, function: Guarded[P, R], call: Call) -> R:
        pass

    @overload
    def guard(self, function: Callable[P, R], /) -> Guarded[P, R]: ...

    @overload
    def guard(
        self,
        *,
        server: str = "",
        tool: str = "",
        effect: Effect = "destructive",
        wait: float | None = None,
        narrowed: bool = False,
        failed: Failed = (),
    ) -> Callable[[Callable[P, R]], Guarded[P, R]]: ...

    def guard(  # type: ignore[misc]  # noqa: PLR0913 -- each by its name; P and R are the result's
        self,
        function: Callable[P, R] | None = None,
        /,
        *,
        server: str = "",
        tool: str = "",
        effect: Effect = "destructive",
        wait: float | None = None,
        narrowed: bool = False,
        failed: Failed = (),
    ) -> Guarded[P, R] | Callable[[Callable[P, R]], Guarded[P, R]]:
        """Guards a function with this client; otherwise as `taskbound.guard`."""
        options = _Options(wait=wait, narrowed=narrowed, failed=_failures(failed))
        return _guard(function, server, tool, effect, options, self)


@overload
def guard(function: Callable[P, R], /) -> Guarded[P, R]: ...


@overload
def guard(
    *,
    server: str = "",
    tool: str = "",
    effect: Effect = "destructive",
    wait: float | None = None,
    narrowed: bool = False,
    failed: Failed = (),
) -> Callable[[Callable[P, R]], Guarded[P, R]]: ...


def guard(  # noqa: PLR0913 -- each by its name
    function: Callable[P, R] | None = None,
    /,
    *,
    server: str = "",
    tool: str = "",
    effect: Effect = "destructive",
    wait: float | None = None,
    narrowed: bool = False,
    failed: Failed = (),
) -> Guarded[P, R] | Callable[[Callable[P, R]], Guarded[P, R]]:
    """Guards a function with the client in whose block it is called.

    The tool's name defaults to the module's and the function's; `wait` is in seconds. An exception of a type
    in `failed` means that nothing was done: any other leaves the outcome unknown, and a repeat is held until
    a person has looked. Raises SignatureError.
    """
    options = _Options(wait=wait, narrowed=narrowed, failed=_failures(failed))
    return _guard(function, server, tool, effect, options, None)


def _mark_awaited(function: Guarded[..., Any]) -> None:
    """Makes `iscoroutinefunction` recognize it, as far as Python allows."""
    if mark := getattr(inspect, "markcoroutinefunction", None):  # from Python 3.12 on
        mark(function)
    else:
        import asyncio  # noqa: PLC0415 -- for what is awaited alone

        vars(function)["_is_coroutine"] = vars(asyncio.coroutines).get("_is_coroutine")


def _failures(failed: Failed) -> tuple[type[Exception], ...]:
    some = failed if isinstance(failed, tuple) else (failed,)
    told: tuple[object, ...] = some  # by a program that need not be typed
    for one in told:
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise SignatureError(
                f"`{getattr(one, '__name__', one)}` is no error that says that nothing was done",
                remedy="name kinds of `Exception`: what interrupts a function leaves its outcome unknown",
            )
    return some


def _guard(
    function: Callable[P, R] | None,
    server: str,
    tool: str,
    effect: Effect,
    options: _Options,
    client: Guards | None,
) -> Guarded[P, R] | Callable[[Callable[P, R]], Guarded[P, R]]:
    def made(function: Callable[P, R]) -> Guarded[P, R]:
        if not callable(function):
            raise SignatureError(
                f"`{type(function).__name__}` is no function that can be guarded",
                remedy="write `@guard` or `@guard(server=…)` right above the `def`: what else decorates it"
                " (`@staticmethod`) stands above that",
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SignatureError(
                "a generator runs when it is iterated, and not when it is called",
                remedy="guard what it calls, or return a list",
            )
        signature = Signature.of(function, server=server, tool=tool, effect=effect)
        found = Guarded(function, signature, options, client)
        if client is not None:
            client.require_fit(found)
        return found

    return made if function is None else made(function)


current: ContextVar[Guards | None] = ContextVar("taskbound_client", default=None)
"""The client in whose block a function is called."""
