"""Maps the JSON arguments of a call to Cedar values, by the shapes of the tool's schema.

Each value is mapped, absent, or *unmapped* with a reason. An unmapped value refuses only if a policy reads
it, and never counts as absent.

1. Only values that policies read are mapped; a marker stands for a value whose presence alone is read.
2. Null is absent where the schema allows null, else it does not fit.
3. A whole number is a long. A number with at most four decimals within ±922337203685477.5807 is a decimal;
   nothing is rounded.
4. A list is a set, without order and repetition; one unmapped item makes it unmapped. `counts` has its
   length.
5. A value that does not fit its shape, or has no property in the schema, is unmapped.
6. `keys` has the names in an object, `nulls` the RFC 6901 pointers of nulls below `arguments`.
7. At most 4,096 values are mapped; the rest is unmapped.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Final

from taskbound.adapters.policy.cedar.reads import Json, Reads, paths
from taskbound.adapters.policy.cedar.vocabulary import (
    RESERVED,
    Choice,
    Items,
    Record,
    Scalar,
    Shape,
    Unmappable,
)
from taskbound.core.action.canonical import canonical, number_text
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue


MOST: Final = 4_096
_PLACES: Final = 4
_LARGEST: Final = 9_223_372_036_854_775_807
_SMALLEST: Final = -_LARGEST - 1
_KINDS: Final = {
    bool: "boolean",
    dict: "record",
    float: "decimal",
    int: "decimal",
    list: "set",
    str: "string",
    NoneType: "null",
}
_HERE: Final = True
"""The marker for a value whose presence alone is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """An argument that a policy reads and that cannot be mapped."""

    pointer: str
    why: str


def tell(
    arguments: Mapping[str, JsonValue], shape: Record, reads: Reads
) -> tuple[dict[str, Json], tuple[Unmapped, ...]]:
    teller = _Teller()
    told = teller.record(arguments, shape, reads, "arguments")
    return told, tuple(teller.unmapped)


class _Teller:
    def __init__(self) -> None:
        self.unmapped: list[Unmapped] = []
        self._left = MOST

    def record(
        self, value: Mapping[str, JsonValue], shape: Record, reads: Reads, pointer: str
    ) -> dict[str, Json]:
        told: dict[str, Json] = {}
        for name in value if reads is None else reads:
            if name not in value:
                continue
            member = shape.members.get(name)
            beneath = None if reads is None else reads[name]
            one = value[name]
            if one is None and member is not None and member.null:
                continue  # 2
            if name in RESERVED:
                self._miss(_below(pointer, name), "its name means something to Cedar")
            elif beneath is not None and not beneath:
                told[name] = _HERE  # 1
            elif member is None:
                self._miss(_below(pointer, name), "the tool's schema has no such property")  # 5
            else:
                found = self._value(one, member.shape, beneath, _below(pointer, name))
                if found is not None:
                    told[name] = found
        return told

    def _value(self, value: JsonValue, shape: Shape, reads: Reads, pointer: str) -> Json:
        self._left -= 1
        if self._left < 0:
            return self._miss(pointer, f"more than {MOST} values are read")  # 7
        told: Json
        match shape:
            case Scalar():
                told = self._scalar(value, shape.kind, pointer)
            case Items() if isinstance(value, list):
                told = self._items(value, shape, pointer)
            case Record() if isinstance(value, dict):
                told = dict(self.record(value, shape, reads, pointer))
            case Choice():
                told = self._choice(value, shape, reads, pointer)
            case _:
                why = shape.why if isinstance(shape, Unmappable) else "it does not fit the tool's schema"  # 5
                told = self._miss(pointer, why)
        return told

    def _scalar(self, value: JsonValue, kind: str, pointer: str) -> Json:
        match value:
            case bool() if kind == "boolean":
                return value
            case str() if kind == "string":
                return value
            case int() if kind == "long" and not isinstance(value, bool):
                return value if _SMALLEST <= value <= _LARGEST else self._miss(pointer, "it is too large")
            case int() | float() if kind == "decimal" and not isinstance(value, bool):
                text = _decimal(value)
                if text:
                    return {"__extn": {"fn": "decimal", "arg": text}}
                return self._miss(pointer, "it is no decimal of four places")  # 3
            case _:
                return self._miss(pointer, "it does not fit the tool's schema")

    def _items(self, value: list[JsonValue], shape: Items, pointer: str) -> Json:
        before = len(self.unmapped)
        told: list[Json] = []
        for number, one in enumerate(value):
            told.append(self._value(one, shape.item, None, f"{pointer}/{number}"))
            if len(self.unmapped) > before:
                return None  # 4
        return told

    def _choice(self, value: JsonValue, shape: Choice, reads: Reads, pointer: str) -> Json:
        kind = _kind(value, shape)
        if kind not in shape.kinds:
            return self._miss(pointer, "it does not fit the tool's schema")
        if reads is not None and kind not in reads:
            return {}
        beneath = None if reads is None else reads[kind]
        if beneath is not None and not beneath:
            return {kind: _HERE}
        found = self._value(value, shape.kinds[kind], beneath, pointer)
        return None if found is None else {kind: found}

    def _miss(self, pointer: str, why: str) -> Json:
        self.unmapped.append(Unmapped(pointer=pointer, why=why))
        return None


def tell_beside(arguments: Mapping[str, JsonValue], name: str, reads: Reads) -> Json:
    """Returns `counts`, `keys` or `nulls` of the arguments, as far as they are read (rules 4 and 6)."""
    if name == "nulls":
        return [pointer for pointer, value in _walk(dict(arguments), "arguments") if value is None]
    found: dict[str, Json] = {}
    wanted = None if reads is None else {path[0] for path, _ in paths(reads)}
    for pointer, value in _walk(dict(arguments), "arguments"):
        if wanted is None or pointer in wanted:
            if name == "counts" and isinstance(value, list):
                found[pointer] = len(value)
            elif name == "keys" and isinstance(value, dict):
                found[pointer] = list(value)
    return found


def _walk(value: JsonValue, pointer: str) -> Iterator[tuple[str, JsonValue]]:
    yield pointer, value
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _walk(one, _below(pointer, name))


def _below(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _kind(value: JsonValue, shape: Choice) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and "long" in shape.kinds:
        return "long"
    return _KINDS[type(value)]


def _decimal(value: float) -> str:
    text = canonical(value).decode() if isinstance(value, int) else number_text(value)
    whole, _, places = text.partition(".")
    if "e" in text or len(places) > _PLACES:
        return ""
    if not _SMALLEST <= int(whole + places.ljust(_PLACES, "0")) <= _LARGEST:
        return ""
    return f"{whole}.{places or '0'}"
