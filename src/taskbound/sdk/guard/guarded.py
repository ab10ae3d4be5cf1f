"""Functions that are asked for before each run.

1. A guarded function without a client of its own belongs to the one whose block it is called in.
2. What a call's result waits for is over when it is returned: what is still to be awaited, or iterated, was
   not done when its outcome was told, and is refused.
3. What a program has written on its function stands on the guarded one too, but for what guards it: a name
   that both have is ours.
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
from taskbound.sdk.guard.signature import Effect, Signature
from taskbound.sdk.guard.tools import definition_digest, tool_file

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
    """A function that is asked for before each run; called like the function itself."""

    __wrapped__: Callable[P, R]
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        signature: Signature,
        options: _Options,
        client: Guards | None,
    ) -> None:
        """Guard it; `guard` is how one is made."""
        kept: Mapping[str, object] = getattr(function, "__dict__", {})
        vars(self).update({name: one for name, one in kept.items() if not hasattr(Guarded, name)})  # 3
        update_wrapper(self, function, updated=())
        self._function = function
        self._signature = signature
        self._options = options
        self._client = client
        self.is_awaited = inspect.iscoroutinefunction(function)
        if self.is_awaited:
            _mark_awaited(self)

    def __reduce__(self) -> str:
        """By its name, as functions are: another process has its own, and a copy is this one."""
        return self.__qualname__

    @property
    def tool(self) -> str:
        """`server__tool`."""
        return self._signature.tool

    @property
    def server(self) -> str:
        """What stands before `__`."""
        return self._signature.server

    @property
    def definition(self) -> Mapping[str, JsonValue]:
        """The tool object that is pinned."""
        return self._signature.definition

    @cached_property
    def _digest(self) -> str:
        return definition_digest(self._signature.definition)

    def using(
        self, *, wait: float | None = None, narrowed: bool | None = None, idempotency_key: str | None = None
    ) -> Guarded[P, R]:
        """The same with other words for its calls; what is not said stays as it was.

        Args:
            wait: Seconds that people may take; the client's where it is None.
            narrowed: Whether less may run, where a person answers with less.
            idempotency_key: The action's own, 1 to 128 visible characters of ASCII: a second call with it
                never runs, and says what became of the first (`RepeatedError`).

        Raises:
            BadRequestKeyError: The key can't be one; also an empty one, which would be none.
        """
        options = _Options(
            wait=self._options.wait if wait is None else wait,
            narrowed=self._options.narrowed if narrowed is None else narrowed,
            key=self._options.key if idempotency_key is None else parse_request_key(idempotency_key),
            failed=self._options.failed,
        )
        return Guarded(self._function, self._signature, options, self._client)

    def given(self, said: bytes | Mapping[str, JsonValue]) -> tuple[list[Any], dict[str, Any]]:
        """The positional and named arguments that a model's JSON stands for, for a call of this.

        Nothing is made fit and nothing dropped: what is decided is what the model said, and the defaults of
        what it left out.

        Args:
            said: The JSON object's bytes as they came; or what a framework has read of them.

        Raises:
            MalformedError: It is no JSON object, or not what the function takes.
        """
        return self._signature.given(said)

    def written(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The canonical arguments that a call with these is decided by.

        Raises:
            MalformedError: A value is not of its parameter's type.
            TypeError: They do not fit the function.
        """
        return self._signature.written(tuple(args), dict(kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask, and run where it is permitted.

        Raises:
            RefusedError: It is refused or held; nothing ran.
            TaskboundError: As `taskbound.sdk.guard.errors` says.
        """
        client = self._client or current.get()
        if client is None:
            elsewhere = threading.current_thread() is not threading.main_thread()
            raise NoClientError(
                f"`{self.tool}` was called where no client is", remedy=_IN_A_THREAD if elsewhere else ""
            )  # 1
        call = Call(tool=self.tool, arguments=self._signature.written(args, kwargs), definition=self._digest)
        return client.run(self, call)

    # What the clients need of it, and nobody else.

    def flow(self, transport: Transport, call: Call, holds: Holds, wait: float, debt: Debt) -> Flow[object]:
        """All steps of one call."""
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
        """The errors by which the function says that nothing was done."""
        return self._options.failed

    def made(self, decided: bytes) -> tuple[list[Any], dict[str, Any]]:
        """What the function is called with; raises where that is not exactly what was decided."""
        return self._signature.read(decided)

    def started(self, values: tuple[list[Any], dict[str, Any]]) -> Any:  # noqa: ANN401 -- whatever it gives
        """The function, called with what was made of what was decided."""
        args, kwargs = values
        return self._function(*args, **kwargs)

    def finished(self, result: Any) -> Any:  # noqa: ANN401 -- whatever the function gave
        """The result, where the function is done with it (rule 2)."""
        if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            if inspect.iscoroutine(result) or inspect.isgenerator(result):
                result.close()
            raise SignatureError(
                f"`{self.tool}` gave back something that is still to run",
                remedy="make it `async def`, or have it return what it found",
            )
        return result


class Guards(ABC):
    """`@client.guard`."""

    @abstractmethod
    def require_fit(self, function: Guarded[P, R]) -> None:
        """Go on only with a function that this client is for (rule 2)."""

    @abstractmethod
    def run(self, function: Guarded[P, R], call: Call) -> R:
        """What a call of a guarded function comes to."""

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
        """Have a function asked for before each run, by this client; as `taskbound.guard` otherwise."""
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
    """Have a function asked for before each run, by the client in whose block it is called.

    Args:
        function: What is guarded; its parameters are the tool's schema.
        server: What stands before `__` in the tool's name; the module's name where it is not said.
        tool: What stands behind it; the function's name where it is not said.
        effect: What a call may do to the world: `read`, `write` or `destructive`.
        wait: Seconds that people may take, should they have to be asked; the client's where it is None.
        narrowed: Whether less may run, where a person answers with less.
        failed: The errors by which the function says that nothing was done, such as `ValueError` of a check
            before it begins. Any other one leaves its outcome unknown, and a repeat is held until somebody
            has looked.

    Raises:
        SignatureError: The function's parameters can't be a schema, or `failed` names no errors.
    """
    options = _Options(wait=wait, narrowed=narrowed, failed=_failures(failed))
    return _guard(function, server, tool, effect, options, None)


def _mark_awaited(function: Guarded[..., Any]) -> None:
    """Have who asks whether it is awaited (`iscoroutinefunction`) hear so, as far as Python lets it."""
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
            )  # 2
        signature = Signature.of(function, server=server, tool=tool, effect=effect)
        found = Guarded(function, signature, options, client)
        if client is not None:
            client.require_fit(found)
        return found

    return made if function is None else made(function)


current: ContextVar[Guards | None] = ContextVar("taskbound_client", default=None)
"""The client in whose block a function is called (rule 1)."""
