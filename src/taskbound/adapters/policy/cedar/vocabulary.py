"""The Cedar schema of a namespace, and the shapes of tools' arguments in it.

The context of a call is typed by the tool's JSON Schema; see docs/reference/policy-mapping.md. What cannot be
mapped has the type of an empty record: only its presence can be used. The group `call` applies to nothing
itself. An operation is an action in its groups, with its facts in the context. Rules for shapes:

1. `integer` is a long, `number` a decimal, `string` a string, `boolean` a bool, an array with one item schema
   a set, an object a record of its `properties`. `enum` and `const` have the types of their values.
2. A property that is not `required`, or can be null, is optional.
3. A value of several kinds is a record with an optional attribute for each kind.
4. Two objects at one place become one record: a property of only one is optional, one with two shapes is not
   mapped.
5. A keyword that only narrows (`pattern`, `minimum`, `not`, `if`) changes nothing; each value is checked
   against its shape when it comes.
6. Not mapped (`Unmappable`): recursion, more than 16 levels or 2,000 places, arrays of unknown or several
   items, and names with a meaning in Cedar's JSON.
"""

from __future__ import annotations

import json
from types import NoneType
from typing import TYPE_CHECKING, Final, TypeAlias

import cedarpy

from taskbound.adapters.policy.cedar.bundle import CALL
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.policy import FACTS, FactKind
from taskbound.core.policy.operation import ABOVE, ALL_OPERATIONS, OPERATION_FACTS, About, Right
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskbound.adapters.policy.cedar.reads import Json
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy import PolicyTool
    from taskbound.core.policy.operation import Operation


RESERVED: Final = frozenset({"__entity", "__expr", "__extn"})
"""Names that mean something in Cedar's JSON."""
_TYPED: Final = frozenset({"const", "enum", "items", "properties", "type"})
_LEVELS: Final = 16
_PLACES: Final = 2_000
_KINDS: Final = {
    "array": "set",
    "boolean": "boolean",
    "integer": "long",
    "number": "decimal",
    "object": "record",
    "string": "string",
}
_TYPES: Final = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    NoneType: "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A single value."""

    kind: str
    """`boolean`, `decimal`, `long` or `string`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list, mapped to a set."""

    item: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An attribute of a record."""

    shape: Shape
    required: bool
    null: bool
    """Whether null is permitted; it is mapped to absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object; other members cannot be mapped."""

    members: Mapping[str, Member]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A value of one of several kinds, mapped to a record."""

    kinds: Mapping[str, Shape]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmappable:
    """A value that cannot be mapped."""

    why: str


Shape: TypeAlias = Scalar | Items | Record | Choice | Unmappable
_Kinds: TypeAlias = "tuple[dict[str, Shape], bool]"
"""Shapes by kind, and whether null is possible."""


def shape_of(schema: Mapping[str, JsonValue]) -> Record:
    kinds, _ = _Reader(schema).kinds(dict(schema), ())
    found = kinds.get("record")
    return found if isinstance(found, Record) else Record(members={})


class _Reader:
    def __init__(self, document: Mapping[str, JsonValue]) -> None:
        self._document = document
        self._places = 0

    def kinds(self, node: JsonValue, within: tuple[str, ...], level: int = 0) -> _Kinds:
        self._places += 1
        if level > _LEVELS or self._places > _PLACES:
            return _untold("its schema is too large")  # 6
        if not isinstance(node, dict):
            return ({}, False) if node is False else (_anything(), True)
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                return _untold("its schema holds itself")  # 6
            return self.kinds(self._resolve(reference), (*within, reference), level + 1)
        if _TYPED & node.keys():
            return self._typed(node, within, level)
        return self._combined(node, within, level)

    def _combined(self, node: dict[str, JsonValue], within: tuple[str, ...], level: int) -> _Kinds:
        for key in ("anyOf", "oneOf", "allOf"):
            parts = node.get(key)
            if isinstance(parts, list) and (key != "allOf" or len(parts) == 1):
                return _union([self.kinds(one, within, level + 1) for one in parts])
        if "allOf" in node:
            return _untold("it must be of several schemas at once")
        return _anything(), True

    def _typed(self, node: dict[str, JsonValue], within: tuple[str, ...], level: int) -> _Kinds:
        names = _types(node)
        kinds: dict[str, Shape] = {}
        for name in names:
            kind = _KINDS.get(name)
            if kind == "set":
                kinds[kind] = self._items(node, within, level)
            elif kind == "record":
                kinds[kind] = self._record(node, within, level)
            elif kind is not None:
                kinds[kind] = Scalar(kind=kind)
        if "decimal" in kinds:
            kinds.pop("long", None)  # 1
        return kinds, "null" in names

    def _items(self, node: dict[str, JsonValue], within: tuple[str, ...], level: int) -> Shape:
        if "prefixItems" in node or not isinstance(node.get("items"), dict):
            return Unmappable(why="its items are of no one schema")
        return Items(item=_shape(self.kinds(node["items"], within, level + 1)))

    def _record(self, node: dict[str, JsonValue], within: tuple[str, ...], level: int) -> Shape:
        properties, required = node.get("properties"), node.get("required")
        needed = set(map(str, required)) if isinstance(required, list) else set()
        members: dict[str, Member] = {}
        for name, one in properties.items() if isinstance(properties, dict) else ():
            if name not in RESERVED:
                kinds, null = self.kinds(one, within, level + 1)
                members[name] = Member(shape=_shape((kinds, null)), required=name in needed, null=null)
        return Record(members=members)

    def _resolve(self, reference: str) -> JsonValue:
        node: JsonValue = dict(self._document)
        if not reference.startswith("#"):
            return None
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) else None
        return node


def _types(node: Mapping[str, JsonValue]) -> list[str]:
    stated = node.get("type")
    if isinstance(stated, str):
        return [stated]
    if isinstance(stated, list):
        return [str(one) for one in stated]
    if "const" in node or isinstance(node.get("enum"), list):
        listed = node.get("enum")
        values = listed if isinstance(listed, list) and "const" not in node else [node.get("const")]
        return sorted({_type_of(one) for one in values})
    return ["object"] if "properties" in node else ["array"]


def _type_of(value: JsonValue) -> str:
    return _TYPES[type(value)]


def _shape(found: _Kinds) -> Shape:
    kinds, _ = found
    if not kinds:
        return Unmappable(why="it can only be null")
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    return Choice(kinds=dict(sorted(kinds.items())))  # 3


def _anything() -> dict[str, Shape]:
    return {
        "boolean": Scalar(kind="boolean"),
        "decimal": Scalar(kind="decimal"),
        "string": Scalar(kind="string"),
        "set": Unmappable(why="its schema says nothing of the items"),
        "record": Record(members={}),
    }


def _untold(why: str) -> _Kinds:
    return {"untold": Unmappable(why=why)}, True


def _union(parts: Iterable[_Kinds]) -> _Kinds:
    together: dict[str, Shape] = {}
    null = False
    for kinds, one_null in parts:
        null |= one_null
        for kind, shape in kinds.items():
            together[kind] = _both(together[kind], shape) if kind in together else shape
    if "untold" in together:
        return {"untold": together["untold"]}, null
    if "decimal" in together:
        together.pop("long", None)
    return together, null


def _both(one: Shape, other: Shape) -> Shape:
    if one == other:
        return one
    if not isinstance(one, Record) or not isinstance(other, Record):
        return Unmappable(why="it can be of several schemas")
    members: dict[str, Member] = {}
    for name in dict.fromkeys([*one.members, *other.members]):  # 4
        sides: Sequence[Member] = [part.members[name] for part in (one, other) if name in part.members]
        shape = sides[0].shape if len(sides) == 1 else _both(sides[0].shape, sides[1].shape)
        members[name] = Member(
            shape=shape,
            required=len(sides) > 1 and all(side.required for side in sides),
            null=any(side.null for side in sides),
        )
    return Record(members=members)


_LONG: Final[Json] = {"type": "Long"}
_TEXT: Final[Json] = {"type": "String"}
_TEXTS: Final[Json] = {"type": "Set", "element": {"type": "String"}}
_VOCABULARY_KINDS: Final[dict[FactKind, Json]] = {
    FactKind.TRUTH: {"type": "Boolean"},
    FactKind.NUMBER: _LONG,
    FactKind.TEXT: _TEXT,
    FactKind.TEXTS: _TEXTS,
    FactKind.PERSON: {"type": "Entity", "name": "Person"},
    FactKind.PERSONS: {"type": "Set", "element": {"type": "Entity", "name": "Person"}},
}
_SCALARS: Final[dict[str, Json]] = {
    "boolean": {"type": "Boolean"},
    "decimal": {"type": "Extension", "name": "decimal"},
    "long": _LONG,
    "string": _TEXT,
}


def schema_of(tools: Sequence[PolicyTool]) -> cedarpy.Schema:
    return cedarpy.Schema.from_json_str(json.dumps(_document(tools)))


def schema_text(tools: Sequence[PolicyTool]) -> str:
    document = _document(tools, tuple(OPERATIONS.values()))
    return str(cedarpy.Schema.from_json_str(json.dumps(document)))


def operations_schema(operations: Sequence[Operation]) -> cedarpy.Schema:
    return cedarpy.Schema.from_json_str(json.dumps(_document((), operations)))


def operation_context_of(operation: Operation) -> str:
    """Returns the operation's type as a text, equal for operations that differ only by name."""
    return json.dumps([operation.facts, operation.about.value, operation.groups])


def _document(tools: Sequence[PolicyTool], operations: Sequence[Operation] = ()) -> Json:
    types: dict[str, Json] = {one.value: _entity_type(one) for one in About}
    types |= {
        "Agent": {"memberOfTypes": ["Group"], "shape": _record(_facts("agent."))},
        "Target": {},
        "Task": {"memberOfTypes": ["Agent"], "shape": _record(_facts("task."))},
        "Tool": {"memberOfTypes": ["Server"], "shape": _record(_facts("tool."))},
    }
    actions: dict[str, Json] = {CALL: {}}
    if operations:
        actions |= _operations(operations)
    for tool in tools:
        actions[tool.name] = {
            "memberOf": [{"id": CALL}],
            "appliesTo": {
                "principalTypes": ["Agent"],
                "resourceTypes": ["Tool"],
                "context": _context(shape_of(tool.schema)),
            },
        }
    return {"Taskbound": {"entityTypes": types, "actions": actions}}


def _operations(operations: Sequence[Operation]) -> dict[str, Json]:
    actions: dict[str, Json] = {ALL_OPERATIONS: {}}
    actions |= {one.value: {"memberOf": [{"id": ALL_OPERATIONS}]} for one in Right}
    for one in operations:
        actions[one.name] = {
            "memberOf": [{"id": group} for group in one.groups if group != ALL_OPERATIONS],
            "appliesTo": {
                "principalTypes": [kind.value for kind in PrincipalKind],
                "resourceTypes": [one.about.value],
                "context": _record({name: _VOCABULARY_KINDS[OPERATION_FACTS[name]] for name in one.facts}),
            },
        }
    return actions


def _entity_type(about: About) -> Json:
    above: list[Json] = [kind.value for kind in ABOVE[about]]
    return {"memberOfTypes": above} if above else {}


def context_of(tool: PolicyTool) -> str:
    """Returns the tool's context type as a text, equal for tools that differ only by name."""
    return json.dumps(_context(shape_of(tool.schema)), sort_keys=True)


def _facts(above: str) -> dict[str, Json]:
    return {
        name.removeprefix(above): _VOCABULARY_KINDS[kind]
        for name, kind in FACTS.items()
        if name.startswith(above) and ("." in name) is bool(above)
    }


def _context(shape: Record) -> Json:
    keys: dict[str, Json] = {one: _optional(_TEXTS) for one in keyed(shape)}
    return _record(
        _facts("")
        | {
            "task": {"type": "Entity", "name": "Task"},
            "arguments": _type(shape),
            "counts": _record({one: _optional(_LONG) for one in counted(shape)}),
            "keys": _record(keys | {"arguments": _TEXTS}),
            "nulls": _TEXTS,
        }
    )


def _type(shape: Shape) -> Json:
    match shape:
        case Scalar():
            return _SCALARS[shape.kind]
        case Items() if isinstance(shape.item, Unmappable):
            return _record({})
        case Items():
            return {"type": "Set", "element": _type(shape.item)}
        case Record():
            return _record(
                {
                    name: _type(one.shape) if one.required and not one.null else _optional(_type(one.shape))
                    for name, one in shape.members.items()
                }
            )
        case Choice():
            return _record({kind: _optional(_type(one)) for kind, one in shape.kinds.items()})
        case Unmappable():
            return _record({})


def _record(attributes: dict[str, Json]) -> Json:
    return {"type": "Record", "attributes": attributes}


def _optional(one: Json) -> Json:
    return {**one, "required": False} if isinstance(one, dict) else one


def counted(shape: Shape, pointer: str = "arguments") -> Iterator[str]:
    if isinstance(shape, Items | Unmappable):
        yield pointer
    for name, beneath in _beneath(shape, pointer):
        yield from counted(beneath, name)


def keyed(shape: Shape, pointer: str = "arguments") -> Iterator[str]:
    if isinstance(shape, Record | Unmappable):
        yield pointer
    for name, beneath in _beneath(shape, pointer):
        yield from keyed(beneath, name)


def _beneath(shape: Shape, pointer: str) -> Iterator[tuple[str, Shape]]:
    if isinstance(shape, Record):
        for name, member in shape.members.items():
            yield f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", member.shape
    elif isinstance(shape, Choice):
        for one in shape.kinds.values():
            yield pointer, one
