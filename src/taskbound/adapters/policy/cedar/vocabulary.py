"""The words that policies can use, as a Cedar schema: entity types, and an action for each pinned tool.

1. The context of an action is typed by its tool's JSON Schema, as `shape` reads it.
2. What can't be told has the type of an empty record: whether it is there can be asked,
   and any other use of it is an error of type.
3. The group `call` applies to nothing itself; every tool's action is in it.
4. An operation of our own API is an action too, in the groups that its row names. Its context holds its
   facts, all of them; what it is about has no attribute that it could read (`bundle`, rule 5), and stands in
   a hierarchy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import cedarpy

from taskbound.adapters.policy.cedar.bundle import CALL
from taskbound.adapters.policy.cedar.shape import Choice, Items, Record, Scalar, Shape, Untold, shape_of
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.policy import FACTS, FactKind
from taskbound.core.policy.operation import ALL_OPERATIONS, Right
from taskbound.core.policy.operation_facts import ABOVE, OPERATION_FACTS, About
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.adapters.policy.cedar.reads import Json
    from taskbound.core.policy import PolicyTool
    from taskbound.core.policy.operation import Operation


_LONG: Final[Json] = {"type": "Long"}
_TEXT: Final[Json] = {"type": "String"}
_TEXTS: Final[Json] = {"type": "Set", "element": {"type": "String"}}
_KINDS: Final[dict[FactKind, Json]] = {
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
    """The schema for these tools, parsed."""
    return cedarpy.Schema.from_json_str(json.dumps(_document(tools)))


def schema_text(tools: Sequence[PolicyTool]) -> str:
    """The same in Cedar's own words, for editors."""
    document = _document(tools, tuple(OPERATIONS.values()))
    return str(cedarpy.Schema.from_json_str(json.dumps(document)))


def operations_schema(operations: Sequence[Operation]) -> cedarpy.Schema:
    """The schema for these operations, and for no call."""
    return cedarpy.Schema.from_json_str(json.dumps(_document((), operations)))


def operation_context_of(operation: Operation) -> str:
    """What the operation's type is made of, as a text: equal for those that differ by their names alone."""
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
    """The operations as actions, with the groups that they are in (rule 4)."""
    actions: dict[str, Json] = {ALL_OPERATIONS: {}}
    actions |= {one.value: {"memberOf": [{"id": ALL_OPERATIONS}]} for one in Right}
    for one in operations:
        actions[one.name] = {
            "memberOf": [{"id": group} for group in one.groups if group != ALL_OPERATIONS],
            "appliesTo": {
                "principalTypes": [kind.value for kind in PrincipalKind],
                "resourceTypes": [one.about.value],
                "context": _record({name: _KINDS[OPERATION_FACTS[name]] for name in one.facts}),
            },
        }
    return actions


def _entity_type(about: About) -> Json:
    above: list[Json] = [kind.value for kind in ABOVE[about]]
    return {"memberOfTypes": above} if above else {}


def context_of(tool: PolicyTool) -> str:
    """The type of the tool's context, as a text: equal for tools that differ by their names alone."""
    return json.dumps(_context(shape_of(tool.schema)), sort_keys=True)


def _facts(above: str) -> dict[str, Json]:
    return {
        name.removeprefix(above): _KINDS[kind]
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
        case Items() if isinstance(shape.item, Untold):
            return _record({})  # 2
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
        case Untold():
            return _record({})  # 2


def _record(attributes: dict[str, Json]) -> Json:
    return {"type": "Record", "attributes": attributes}


def _optional(one: Json) -> Json:
    return {**one, "required": False} if isinstance(one, dict) else one


def counted(shape: Shape, pointer: str = "arguments") -> Iterator[str]:
    """Pointers of where a list can stand."""
    if isinstance(shape, Items | Untold):
        yield pointer
    for name, beneath in _beneath(shape, pointer):
        yield from counted(beneath, name)


def keyed(shape: Shape, pointer: str = "arguments") -> Iterator[str]:
    """Pointers of where an object can stand."""
    if isinstance(shape, Record | Untold):
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
