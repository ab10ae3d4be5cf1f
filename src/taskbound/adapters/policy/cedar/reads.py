"""What a policy can read, and which policies can apply to a request.

Of `reads`:

What is handed to Cedar is only what is found here, so this errs on one side: it may name
too much and never too little.

1. A chain of accesses from `context`, `principal` or `resource` reads what it ends in;
   `has` reads only whether it is there.
2. A value that goes anywhere else but into another access is read whole, with all
   beneath it. Only comparing entities (`==`, `in`, `is`, `contains`) reads no attribute.
3. An access into what is no such chain (a literal entity, the outcome of an `if`) may
   reach any entity: it reads everything.

Of `head`:

1. A head is compared exactly as Cedar does: `==` with the entity, `in` with it and all
   above it, `is` with its type. So a policy that is left out could not have matched,
   and could not have erred either: Cedar looks at no condition behind a head that
   doesn't fit.
2. A head of another form than these is an error of the bundle, never left out.
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
    """What two policies read together."""
    if one is None or other is None:
        return None
    together = dict(one)
    for name, beneath in other.items():
        together[name] = merge(together[name], beneath) if name in together else beneath
    return together


def reads_within(reads: Reads, *path: str) -> Reads:
    """What is read beneath a path; an empty tree when nothing is."""
    for name in path:
        if reads is None:
            return None
        if name not in reads:
            return {}
        reads = reads[name]
    return reads


def paths(reads: Reads, above: _Path = ()) -> Iterable[tuple[_Path, bool]]:
    """Each path of a tree that nothing is read beneath, with whether it is read whole."""
    if reads is None:
        yield above, True
    elif not reads:
        yield from [(above, False)] if above else []
    else:
        for name, beneath in reads.items():
            yield from paths(beneath, (*above, name))


def object_of(value: Json) -> dict[str, Json]:
    """A value of Cedar's parsed form that must be an object.

    Raises:
        PolicySyntaxError: It is none: this is another version of Cedar than this was made for.
    """
    if not isinstance(value, dict):
        raise PolicySyntaxError("the bundle's parsed form is not what this version of Cedar promises")
    return value


def reads_of(conditions: Json) -> Reads:
    """What the conditions of one policy read, with `context`, `principal` and `resource` on top."""
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
        """Collect what is read in this part, whose own value goes somewhere unknown (rule 2)."""
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
        """One side of a comparison: of an entity only its name counts."""
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
    """The path that a chain of accesses names (rule 1); none when the node is no such chain."""
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
    """What a policy's head asks of each of the three; one of several for the action."""

    principal: Fit
    actions: tuple[Fit, ...]
    resource: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An entity of a request and all entities above it."""

    entity: Entity
    above: frozenset[Entity] = frozenset()

    def fits(self) -> tuple[Fit, ...]:
        """Everything that a head can ask and that this entity is (rule 1)."""
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
    """Policies by their heads."""

    def __init__(self, heads: Sequence[Head]) -> None:
        """Put each under what it asks; its number is its place in the sequence."""
        self._kept: Mapping[tuple[Fit, Fit, Fit], list[int]] = defaultdict(list)
        for number, head in enumerate(heads):
            for action in dict.fromkeys(head.actions):
                self._kept[head.principal, action, head.resource].append(number)

    def candidates(self, principal: Place, action: Place, resource: Place) -> tuple[int, ...]:
        """Numbers of the policies whose heads fit, in order."""
        found: set[int] = set()
        for asked in product(principal.fits(), action.fits(), resource.fits()):
            found.update(self._kept.get(asked, ()))
        return tuple(sorted(found))


def head_of(policy: Mapping[str, Json]) -> Head:
    """The head of a policy in Cedar's parsed form.

    Raises:
        PolicySyntaxError: It is of a form that this doesn't know (rule 2).
    """
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
