"""What every constraint on one value can do, and how one is read by its tag.

A constraint is written as an object of one member, ``{tag: body}``. To add one: write
a frozen class of `Constraint` with its own tag and name it in ``registry``.

1. A constraint is compiled when it is read; ``permits`` parses nothing and keeps no state.
2. ``permits`` answers for every JSON value, and what it can't know is unmet.
3. ``value`` is the canonical way to write it: what means the same is written the same,
   as far as the class can tell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from taskbound.core.scope.show import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place
    from taskbound.core.scope.verdict import Verdict

__all__ = ["MAX_CONSTRAINT_DEPTH", "Constraint", "ReadConstraint", "Registry", "read_constraint"]

MAX_CONSTRAINT_DEPTH: Final = 8


class Constraint(ABC):
    """A set of values, by rule."""

    __slots__ = ()

    tag: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Constraint:
        """The constraint that a body says.

        Args:
            body: What stands beside the tag.
            place: Where it stands.
            read: Reads a constraint inside of this one, for those that have some.

        Raises:
            ScopeSyntaxError: The body is not one of this tag.
        """

    @abstractmethod
    def permits(self, value: JsonValue) -> Verdict:
        """Whether the value is inside."""

    @abstractmethod
    def describe(self, name: str) -> str:
        """What a value must be, to complete "it must be …".

        Args:
            name: The argument, so that what stands for a secret is hidden.
        """

    @abstractmethod
    def value(self) -> JsonValue:
        """The body, as the canonical form has it."""


ReadConstraint: TypeAlias = "Callable[[JsonValue, Place], Constraint]"
Registry: TypeAlias = "Mapping[str, type[Constraint]]"


def read_constraint(value: JsonValue, place: Place, registry: Registry) -> Constraint:
    """The constraint that is written here.

    Raises:
        ScopeSyntaxError: It is not an object of one known tag, or it is too deep inside others.
    """
    if place.depth >= MAX_CONSTRAINT_DEPTH:
        raise place.fault(f"is inside more than {MAX_CONSTRAINT_DEPTH - 1} other constraints")
    members = place.read_object(value)
    known = ", ".join(sorted(registry))
    if len(members) != 1:
        raise place.fault(f"must have exactly one member, one of {known}; it has {len(members)}")
    ((tag, body),) = members.items()
    if tag not in registry:
        raise place.fault(f"has no constraint `{quote(tag)}`; known are {known}")
    return registry[tag].parse(
        body, place.inside().member(tag), lambda inner, where: read_constraint(inner, where, registry)
    )
