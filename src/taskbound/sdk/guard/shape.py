"""A Python type as JSON: its schema, and conversion in both directions.

1. A type without a lossless schema is refused where the function is defined.
2. Writing is strict: `True` is no number, `1.0` no integer, a subclass of `str` no text.
3. Reading makes new values from the decided bytes; none is shared with the caller.
4. Members outside the schema are refused: each object says `additionalProperties: false`, except a plain
   `dict`.
5. Union members must be of different JSON kinds, so that a value is never read as another member.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NoReturn,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.dataclass import dataclass
from taskbound.sdk.guard.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue


_LITERALS: Final = (str, bool, int)
_MOST: Final = 64
"""How deep an action may be."""
_DEPTH: Final = 16
"""Types within types; JSON of an action may be 64 deep."""


class UnwritableArgumentError(SignatureError):
    """A value is not of its parameter's type."""

    code = "bad-argument"
    remedy = "give a value of the parameter's type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One type, as JSON."""

    schema: dict[str, JsonValue]
    """JSON Schema 2020-12."""
    kinds: frozenset[str]
    """The kinds of JSON that it is written as (rule 5)."""
    fits: Callable[[object], bool]
    """Whether a value looks like one of it; `write` says whether it is."""
    write: Callable[[Any, str], JsonValue]
    """The value as JSON; the second argument is its place, for an error."""
    read: Callable[[Any], Any]
    """Returns the value from decided JSON; raises `ValueError`, `KeyError` or `TypeError`."""


def shape_of(hint: object, where: str, depth: int = 0) -> Shape:  # noqa: PLR0911 -- a return for each kind
    """Returns an annotation's shape; raises SignatureError if JSON can't express it (rule 1)."""
    if depth > _DEPTH:
        _refuse(where, "is nested too deeply, or in itself")
    if isinstance(hint, type) and hint in _PLAIN:
        return _PLAIN[hint]
    if hint is None:
        return _PLAIN[type(None)]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _literal(inner, where)
    if origin in {Union, types.UnionType}:
        return _union(tuple(shape_of(one, where, depth + 1) for one in inner), where)
    if hint is list or origin is list:
        return _list(shape_of(inner[0], where, depth + 1) if inner else _ANYTHING)
    if hint is dict or origin is dict:
        if inner and inner[0] is not str:
            _refuse(where, "has keys that are no texts")
        return _dict(shape_of(inner[1], where, depth + 1) if inner else _ANYTHING)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint, where)
    if _is_typed_dict(hint):
        return _typed_dict(hint, where, depth)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _record(hint, where, depth)
    return _refuse(where, f"is of the type `{getattr(hint, '__name__', hint)}`, which JSON can't say")


def object_schema(
    members: Mapping[str, dict[str, JsonValue]], required: Iterable[str]
) -> dict[str, JsonValue]:
    """Returns the schema of an object with exactly these members (rule 4)."""
    said: dict[str, JsonValue] = {
        "type": "object",
        "properties": dict(members),
        "additionalProperties": False,
    }
    needed: list[JsonValue] = [*sorted(required)]
    return {**said, "required": needed} if needed else said


def _refuse(where: str, why: str) -> NoReturn:
    raise SignatureError(f"`{where}` {why}", where=where)


def _wrong(where: str, wanted: str, value: object) -> NoReturn:
    raise UnwritableArgumentError(
        f"`{where}` takes {wanted}, and got a value of the type `{type(value).__name__}`", where=where
    )


def _plain(name: str, kind: type, wanted: str) -> Shape:
    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if type(value) is not kind:
            _wrong(where, wanted, value)
        return cast("JsonValue", value)

    def read(value: Any) -> Any:  # noqa: ANN401 -- it is whatever was decided
        if type(value) is not kind:
            raise TypeError(name)
        return value

    return Shape(
        schema={"type": name},
        kinds=frozenset({name}),
        fits=lambda value: type(value) is kind,
        write=write,
        read=read,
    )


def _write_number(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
    if type(value) is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
        _wrong(where, "a number that JSON can tell from its neighbor", value)
    if type(value) not in {int, float}:
        _wrong(where, "a number", value)
    return float(value)


def _read_number(value: Any) -> float:  # noqa: ANN401 -- it is whatever was decided
    if type(value) not in {int, float}:
        raise TypeError("number")
    return float(value)


def _copy(value: Any, where: str, depth: int = 0) -> JsonValue:  # noqa: ANN401 -- it is looked at here
    if depth > _MOST:
        _wrong(where, f"JSON that is at most {_MOST} deep", value)
    if value is None or type(value) in {str, bool, int, float}:
        found: JsonValue = value
        return found
    if type(value) is list:
        return [_copy(one, where, depth + 1) for one in value]
    if type(value) is dict and all(type(name) is str for name in value):
        return {name: _copy(one, where, depth + 1) for name, one in value.items()}
    _wrong(where, "JSON", value)


_PLAIN: Final[dict[object, Shape]] = {
    str: _plain("string", str, "a text"),
    int: _plain("integer", int, "a whole number"),
    bool: _plain("boolean", bool, "True or False"),
    type(None): _plain("null", type(None), "None"),
    float: Shape(
        schema={"type": "number"},
        kinds=frozenset({"integer", "number"}),
        fits=lambda value: type(value) in {int, float},
        write=_write_number,
        read=_read_number,
    ),
}
_ANYTHING: Final = Shape(
    schema={},
    kinds=frozenset({"array", "boolean", "integer", "null", "number", "object", "string"}),
    fits=lambda _: True,
    write=_copy,
    read=lambda value: _copy(value, ""),
)
_KINDS: Final = {str: "string", bool: "boolean", int: "integer", type(None): "null"}


def _literal(values: tuple[object, ...], where: str) -> Shape:
    allowed = [one for one in values if one is None or type(one) in _LITERALS]
    if not values or len(allowed) != len(values):
        _refuse(where, "has a literal that is neither a text nor a whole number, True, False or None")
    known = {(type(one), one) for one in allowed}

    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if (type(value), value) not in known:
            _wrong(where, f"one of {', '.join(map(repr, values))}", value)
        found: JsonValue = value
        return found

    def read(value: Any) -> Any:  # noqa: ANN401 -- it is whatever was decided
        if (type(value), value) not in known:
            raise ValueError(where)
        return value

    said: list[JsonValue] = [one for one in allowed if isinstance(one, str | int | None)]
    return Shape(
        schema={"enum": said},
        kinds=frozenset(_KINDS[type(one)] for one in allowed),
        fits=lambda value: type(value) in _KINDS and (type(value), value) in known,
        write=write,
        read=read,
    )


def _enum(kind: type[enum.Enum], where: str) -> Shape:
    inner = _literal(tuple(one.value for one in kind), where)

    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if not isinstance(value, kind):
            _wrong(where, f"a `{kind.__name__}`", value)
        return inner.write(value.value, where)

    return dataclasses.replace(
        inner,
        fits=lambda value: isinstance(value, kind),
        write=write,
        read=lambda value: kind(inner.read(value)),
    )


def _union(shapes: tuple[Shape, ...], where: str) -> Shape:
    seen: set[str] = set()
    for one in shapes:
        if seen & one.kinds:
            _refuse(
                where, f"has alternatives that are both a JSON {' or '.join(sorted(seen & one.kinds))}"
            )  # 5
        seen |= one.kinds

    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        for one in shapes:
            if one.fits(value):
                return one.write(value, where)
        _wrong(where, "one of several types", value)

    def read(value: Any) -> Any:  # noqa: ANN401 -- it is whatever was decided
        kind = _kind_of(value)
        return next(one for one in shapes if kind in one.kinds).read(value)

    return Shape(
        schema={"anyOf": [one.schema for one in shapes]},
        kinds=frozenset(seen),
        fits=lambda value: any(one.fits(value) for one in shapes),
        write=write,
        read=read,
    )


def _kind_of(value: object) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return _KINDS.get(type(value), "number")


def _list(item: Shape) -> Shape:
    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if type(value) is not list:
            _wrong(where, "a list", value)
        return [item.write(one, f"{where}[{number}]") for number, one in enumerate(value)]

    return Shape(
        schema={"type": "array", **({"items": item.schema} if item.schema else {})},
        kinds=frozenset({"array"}),
        fits=lambda value: type(value) is list,
        write=write,
        read=lambda value: [item.read(one) for one in value],
    )


def _dict(item: Shape) -> Shape:
    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if type(value) is not dict or not all(type(name) is str for name in value):
            _wrong(where, "a dict with texts for keys", value)
        return {name: item.write(one, f"{where}.{name}") for name, one in value.items()}

    return Shape(
        schema={"type": "object", **({"additionalProperties": item.schema} if item.schema else {})},
        kinds=frozenset({"object"}),
        fits=lambda value: type(value) is dict,
        write=write,
        read=lambda value: {name: item.read(one) for name, one in value.items()},
    )


def _typed_dict(kind: Any, where: str, depth: int) -> Shape:  # noqa: ANN401 -- no type says "a TypedDict"
    hints = get_type_hints(kind)
    members = {name: shape_of(one, f"{where}.{name}", depth + 1) for name, one in hints.items()}
    marked = get_type_hints(kind, include_extras=True)
    required = frozenset(name for name, one in marked.items() if _is_required(one, kind, name))
    return _members(members, required, dict, lambda value: value)


def _is_typed_dict(hint: object) -> bool:
    """`typing_extensions` makes its own kind, which `typing` does not know."""
    return is_typeddict(hint) or (isinstance(hint, type) and hasattr(hint, "__required_keys__"))


def _is_required(hint: object, kind: Any, name: str) -> bool:  # noqa: ANN401 -- as above
    """`__required_keys__` is wrong for unresolved `NotRequired` (`from __future__ import annotations`)."""
    while (origin := get_origin(hint)) is Annotated:
        hint = get_args(hint)[0]
    if origin in {Required, NotRequired}:
        return origin is Required
    return name in kind.__required_keys__


def _record(kind: type, where: str, depth: int) -> Shape:
    fields = dataclasses.fields(kind)
    if not all(one.init for one in fields):
        _refuse(where, f"is a `{kind.__name__}`, which has a field that its constructor does not take")
    names = {one.name for one in fields}
    for more in inspect.signature(kind).parameters.values():
        if more.name not in names and more.kind not in {more.VAR_POSITIONAL, more.VAR_KEYWORD}:
            _refuse(where, f"is a `{kind.__name__}`, which is made of more than its fields (`{more.name}`)")
    hints = get_type_hints(kind)
    members = {one.name: shape_of(hints[one.name], f"{where}.{one.name}", depth + 1) for one in fields}

    def take(value: Any) -> dict[str, Any]:  # noqa: ANN401 -- it is one of the kind
        return {name: getattr(value, name) for name in members}

    inner = _members(members, frozenset(members), kind, take)
    return dataclasses.replace(inner, read=lambda value: kind(**inner.read(value)))


def _members(
    members: dict[str, Shape], required: frozenset[str], kind: type, take: Callable[[Any], dict[str, Any]]
) -> Shape:
    def write(value: Any, where: str) -> JsonValue:  # noqa: ANN401 -- it is looked at here
        if type(value) is not kind:
            _wrong(where, f"a `{kind.__name__}` with the members {', '.join(sorted(members))}", value)
        found = take(value)
        if not required <= found.keys() <= members.keys():
            _wrong(where, f"the members {', '.join(sorted(members))}", value)
        return {name: members[name].write(one, f"{where}.{name}") for name, one in found.items()}

    def read(value: Any) -> Any:  # noqa: ANN401 -- it is whatever was decided
        if not required <= value.keys():
            raise KeyError(*sorted(required - value.keys()))
        return {name: members[name].read(one) for name, one in value.items()}

    return Shape(
        schema=object_schema({name: one.schema for name, one in members.items()}, required),
        kinds=frozenset({"object"}),
        fits=lambda value: type(value) is kind,
        write=write,
        read=read,
    )
