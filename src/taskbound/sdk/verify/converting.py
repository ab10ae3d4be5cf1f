"""Checks that pydantic's conversion of a tool's arguments leaves them as decided.

1. The arguments are the properties of the tool's schema. Further parameters (context, dependencies) are the
   server's.
2. Each converted argument is written as JSON by its parameter's type, without unset members, so any
   conversion shows as a difference.
3. Arguments are named like their parameters; aliases are not supported.
4. A function must finish: generators and unawaited coroutines are refused.
5. Missing arguments and model members have the schema's default. Computed defaults are refused.
6. Parameters that can be read only once (iterables) or are not written completely can't be bound.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from taskbound.core.action import canonical
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.sdk.verify.calls import Call
from taskbound.sdk.verify.errors import ArgumentChangedError, ArgumentUndecidedError, ToolUnboundError
from taskbound.sdk.verify.function import done

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue
    from taskbound.sdk.verify.calls import Converting


_NO_SCHEMA: Final = frozenset({"default", "metadata"})
"""Members of pydantic's schemas that have something of the author's own."""
_LEFT_OUT: Final = frozenset({"serialization_exclude", "serialization_exclude_if"})
"""Members by which one is left out when it is written; of models it is known what was set."""


class PydanticConverting:
    """The conversion for one function and its listed schema."""

    def __init__(self, function: Callable[..., Any], schema: Mapping[str, Any]) -> None:
        """Raises ToolUnboundError if an argument has no parameter or can't be written."""
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
        self._defaults: dict[str, JsonValue] = {
            name: one["default"] for name, one in properties.items() if "default" in one
        }
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._own_defaults: dict[str, Any] = {}
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ToolUnboundError("a generator is not done when it is called")  # 4
        try:
            parameters = inspect.signature(function, eval_str=True).parameters
        except (AttributeError, NameError, SyntaxError, TypeError, ValueError) as error:
            raise ToolUnboundError("the types of the tool's parameters can't be read") from error
        for name in properties:
            if name not in parameters:
                raise ToolUnboundError("an argument of the tool's schema is no parameter of its function")
            kind = parameters[name].annotation
            try:
                adapter: TypeAdapter[Any] = TypeAdapter(Any if kind is inspect.Parameter.empty else kind)
                untold = _is_untold(adapter.core_schema)
            except PydanticUserError as error:
                raise ToolUnboundError("the type of a parameter can't be written as JSON") from error
            if untold:
                raise ToolUnboundError("what a parameter takes is not all there when it is written as JSON")
            self._adapters[name] = adapter
            self._own_defaults[name] = parameters[name].default

    def require_kept(self, arguments: Mapping[str, JsonValue]) -> None:
        for name, value in arguments.items():
            adapter = self._adapter(name)
            try:
                made = adapter.validate_python(value)
            except (ValueError, TypeError) as error:  # pydantic raises ValueError
                raise ArgumentChangedError("the tool does not take the argument", where=name) from error
            self._require_same(name, self._written(name, made), value)
        for name in self._adapters:
            if name not in arguments and name not in self._defaults:
                raise ArgumentUndecidedError(
                    "an argument is not there, and the tool's schema has no default for it",
                    where=name,
                )

    def written(self, given: Mapping[str, Any], names: Collection[str]) -> dict[str, JsonValue]:
        """As `Converting.written`; `given` is by parameter, `names` are the decided arguments."""
        found: dict[str, JsonValue] = {}
        for name in names:
            self._adapter(name)
            if name not in given:
                raise ArgumentChangedError("an argument does not reach the tool", where=name)
            found[name] = self._written(name, given[name])
        for name in self._adapters:
            if name in found:
                continue
            value = given.get(name, self._own_defaults[name])
            if name not in self._defaults or not _same(self._written(name, value), self._defaults[name]):
                raise ArgumentUndecidedError(
                    "the tool would run with a default that its schema does not have", where=name
                )
        return found

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        found = self._adapters.get(name)
        if found is None:
            raise ArgumentChangedError("the tool has no such argument, and would run without it")
        return found

    def _written(self, name: str, value: object) -> JsonValue:
        if _has_made(value):
            raise ArgumentUndecidedError(
                "a member is not there, and the tool's schema has no default for it", where=name
            )
        try:
            made: JsonValue = self._adapters[name].dump_python(
                value, mode="json", by_alias=True, exclude_unset=True, warnings="error"
            )
        except (ValueError, TypeError) as error:
            raise ArgumentChangedError("an argument can't be written as JSON again", where=name) from error
        return made

    def _require_same(self, name: str, made: JsonValue, value: JsonValue) -> None:
        if not _same(made, value):
            raise ArgumentChangedError(
                "the tool would run with another value than was decided on", where=name
            )


def bound(
    function: Callable[..., Any], converting: Converting, *, waits: bool, stop: Callable[[str], Exception]
) -> Callable[..., Any]:
    """Returns a function that runs once, for the call being served here, with the decided arguments."""
    signature = inspect.signature(function)

    def begun(given: Mapping[str, Any]) -> Call:
        try:
            call = Call.current()
            call.begin(converting, given)
        except TaskboundError as error:
            raise stop(error.message) from error
        return call

    if waits:

        @wraps(function)
        async def later(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - whatever the function has
            call = begun(signature.bind(*args, **given).arguments)
            return _finished(call, await function(*args, **given), stop)

        return later

    @wraps(function)
    def now(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - whatever the function has
        call = begun(signature.bind(*args, **given).arguments)
        return _finished(call, function(*args, **given), stop)

    return now


def never(
    function: Callable[..., Any], message: str, *, stop: Callable[[str], Exception]
) -> Callable[..., Any]:
    """Returns a function that always fails with this message, for one that can't be bound."""

    @wraps(function)
    def now(*_: object, **__: object) -> Any:  # noqa: ANN401 - it is in the place of any function
        raise stop(message)

    return now


def _finished(call: Call, result: Any, stop: Callable[[str], Exception]) -> Any:  # noqa: ANN401 - whatever a function gave
    try:
        return done(result)
    except TaskboundError as error:
        call.refused = error
        raise stop(error.message) from error


def _is_untold(schema: object) -> bool:
    """Whether the type can't be compared (rule 6); the schema is pydantic's own."""
    match schema:
        case {"type": "generator"}:
            return True
        case {"type": "dataclass-field" | "typed-dict-field", **members} if not _LEFT_OUT.isdisjoint(members):
            return True
        case Mapping():
            return any(_is_untold(one) for name, one in schema.items() if name not in _NO_SCHEMA)
        case list() | tuple():
            return any(map(_is_untold, schema))
        case _:
            return False


def _has_made(value: object) -> bool:
    """Whether a model in it has a computed default (rule 5); dataclasses are written completely."""
    match value:
        case BaseModel():
            members = type(value).model_fields
            unset = members.keys() - value.model_fields_set
            held = (*(getattr(value, name) for name in members), *(value.model_extra or {}).values())
            return any(getattr(value, name) != members[name].default for name in unset) or any(
                map(_has_made, held)
            )
        case str() | bytes():
            return False
        case Mapping():
            return any(map(_has_made, value.values()))
        case Collection():
            return any(map(_has_made, value))
        case _ if is_dataclass(value):
            return any(_has_made(getattr(value, one.name)) for one in fields(value))
        case _:
            return False


def _same(one: JsonValue, other: JsonValue) -> bool:
    try:
        return canonical(one) == canonical(other)
    except MalformedError:
        return False
