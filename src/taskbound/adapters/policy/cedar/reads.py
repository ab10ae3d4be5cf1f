"""Finds what a policy can read, and which policies can apply to a request.

Only what is found here is passed to Cedar, so the result may be too large and never too small.

1. A chain of accesses from `context`, `principal` or `resource` reads its end; `has` reads only its presence.
2. A value used in any other way is read whole. Comparing entities (`==`, `in`, `is`, `contains`) reads
   nothing.
3. An access into anything else (a literal entity, an `if`) may reach any entity and reads everything.

A head is compared as Cedar does: `==` with the entity, `in` with it and its parents, `is` with its type.
Cedar evaluates no condition behind a head that does not fit, so a policy left out can neither match nor err.
A head of an unknown form is an error of the bundle.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.policy import PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Reads: TypeAlias = "Mapping[str, Reads] | None"
"""A tree of names: none for all beneath, an empty one for only whether it is there."""

_ROOTS: Final = ("context", "principal", "resource")
_COMPARES: Final = frozenset({"==", "!=", "in", "contains", "containsAll", "containsAny"})
_ENTITIES: Final = frozenset(
    {
        ("context", "task"),
        ("principal",),
        ("principal", "owner"),
        ("resource",),
        ("context", "task", "requester"),
    }
)
_Path: TypeAlias = "tuple[str, ...]"


def merge(one: Reads, other: Reads) -> Reads:
    if one is None or other is None:
        return None
    together = dict(one)
    for name, beneath in other.items():
        together[name] = merge(together[name], beneath) if name in together else beneath
    return together


def reads_within(reads: Reads, *path: str) -> Reads:
    """Returns what is read below a path; an empty tree for nothing."""
    for name in path:
        if reads is None:
            return None
        if name not in reads:
            return {}
        reads = reads[name]
    return reads


def paths(reads: Reads, above: _Path = ()) -> Iterable[tuple[_Path, bool]]:
    if reads is None:
        yield above, True
    elif not reads:
        yield from [(above, False)] if above else []
    else:
        for name, beneath in reads.items():
            yield from paths(beneath, (*above, name))


def object_of(value: Json) -> dict[str, Json]:
    """Requires an object of Cedar's parsed form; PolicySyntaxError means an unsupported Cedar version."""
    if not isinstance(value, dict):
        raise PolicySyntaxError("the bundle's parsed form is not what this version of Cedar promises")
    return value


def reads_of(conditions: Json) -> Reads:
    found = _Finder()
    if not isinstance(conditions, list):
        raise PolicySyntaxError("a policy's conditions are not what this version of Cedar promises")
    for one in conditions:
        found.visit(object_of(one)["body"])
    return found.reads


class _Finder:
    def __init__(self) -> None:
        self.reads: Reads = {}

    def visit(self, node: Json) -> None:
        if isinstance(node, list):
            for one in node:
                self.visit(one)
        elif isinstance(node, dict):
            place = _place(node)
            if place is not None:
                self._add(place, whole=True)
                return
            for operator, operand in node.items():
                self._operator(operator, operand)

    def _operator(self, operator: str, operand: Json) -> None:
        if operator in {"Value", "Slot", "Unknown"}:
            return
        if operator in {".", "has"}:
            self._access(operator, object_of(operand))
        elif operator in _COMPARES and isinstance(operand, dict):
            for side in operand.values():
                self._compared(side)
        elif operator == "is":
            self._compared(object_of(operand).get("left"))
            self._compared(object_of(operand).get("in"))
        elif operator == "like":
            self.visit(object_of(operand).get("left"))
        else:
            self.visit(list(operand.values()) if isinstance(operand, dict) else operand)

    def _access(self, operator: str, operand: dict[str, Json]) -> None:
        inner, name = operand.get("left"), str(operand.get("attr"))
        place = _place(inner)
        if place is not None:  # a `has` on a chain; a chain itself never comes here
            self._add((*place, name), whole=operator == ".")
            return
        self.reads = None  # 3
        self.visit(inner)

    def _compared(self, node: Json) -> None:
        place = _place(node)
        if place is not None and place in _ENTITIES:
            self._add(place, whole=False)
        elif isinstance(node, dict) and isinstance(node.get("Set"), list) and len(node) == 1:
            members = node["Set"]
            for one in members if isinstance(members, list) else ():
                self._compared(one)
        else:
            self.visit(node)

    def _add(self, path: _Path, *, whole: bool) -> None:
        tree: Reads = None if whole else {}
        for name in reversed(path):
            tree = {name: tree}
        self.reads = merge(self.reads, tree)


def _place(node: Json) -> _Path | None:
    names: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        if isinstance(node.get("Var"), str):
            names.append(str(node["Var"]))
            return tuple(reversed(names))
        access = node.get(".")
        if not isinstance(access, dict):
            return None
        names.append(str(access.get("attr")))
        node = access.get("left")
    return None


Entity: TypeAlias = "tuple[str, str]"
"""Type and id."""
Fit: TypeAlias = "tuple[str, ...]"

_ANY: Final[Fit] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a policy's head requires of principal, action and resource; one of several actions."""

    principal: Fit
    actions: tuple[Fit, ...]
    resource: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityPath:
    """An entity of a request and all its parents."""

    entity: Entity
    above: frozenset[Entity] = frozenset()

    def fits(self) -> tuple[Fit, ...]:
        kind = self.entity[0]
        inside = [self.entity, *sorted(self.above - {self.entity})]
        return (
            _ANY,
            ("==", *self.entity),
            ("is", kind),
            *(("in", *one) for one in inside),
            *(("is", kind, *one) for one in inside),
        )


class HeadIndex:
    """Policies indexed by their heads; a policy's number is its place in the sequence."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self._kept: Mapping[tuple[Fit, Fit, Fit], list[int]] = defaultdict(list)
        for number, head in enumerate(heads):
            for action in dict.fromkeys(head.actions):
                self._kept[head.principal, action, head.resource].append(number)

    def candidates(self, principal: EntityPath, action: EntityPath, resource: EntityPath) -> tuple[int, ...]:
        """Returns the numbers of the policies whose heads fit, in order."""
        found: set[int] = set()
        for asked in product(principal.fits(), action.fits(), resource.fits()):
            found.update(self._kept.get(asked, ()))
        return tuple(sorted(found))


def head_of(policy: Mapping[str, Json]) -> Head:
    """Returns the head of a parsed policy; raises PolicySyntaxError for an unknown form."""
    return Head(
        principal=_one(policy.get("principal")),
        actions=_several(policy.get("action")),
        resource=_one(policy.get("resource")),
    )


def _several(part: Json) -> tuple[Fit, ...]:
    body = object_of(part)
    entities = body.get("entities")
    if body.get("op") == "in" and isinstance(entities, list):
        return tuple(("in", *_entity(one)) for one in entities)
    return (_one(part),)


def _one(part: Json) -> Fit:
    body = object_of(part)
    match body:
        case {"op": "All"} if len(body) == 1:
            return _ANY
        case {"op": "==" | "in" as operator, "entity": entity} if len(body) == 2:  # noqa: PLR2004 - those two
            return (operator, *_entity(entity))
        case {"op": "is", "entity_type": str(kind)} if len(body) == 2:  # noqa: PLR2004 - those two
            return ("is", kind)
        case {"op": "is", "entity_type": str(kind), "in": {"entity": entity}}:
            return ("is", kind, *_entity(entity))
        case _:
            raise PolicySyntaxError(
                "a policy has a head that can't be read",
                remedy="write `==`, `in` or `is` and no `?principal` or `?resource`",
            )


def _entity(value: Json) -> Entity:
    match value:
        case {"type": str(kind), "id": str(name)}:
            return kind, name
        case {"__entity": {"type": str(kind), "id": str(name)}}:
            return kind, name
        case _:
            raise PolicySyntaxError("a policy's head names an entity that can't be read")
