"""Which policies can apply to a request, by their heads alone.

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

from taskbound.adapters.policy.cedar.reads import Json, object_of
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
