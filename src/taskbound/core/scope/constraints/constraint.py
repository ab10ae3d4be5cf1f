"""The base class of constraints, reading by tag, and comparison.

A constraint is written ``{tag: body}``. To add one, write a frozen subclass of `Constraint` with its own tag
and list it in ``registry``.

1. A constraint is compiled when it is read; ``permits`` parses nothing and keeps no state.
2. ``permits`` answers for every JSON value, and unknown is unmet. Values with equal canonical JSON get equal
   answers.
3. ``value`` is canonical: constraints of equal meaning are written alike, as far as the class can tell.
4. ``within`` and ``excludes`` are proofs of a yes; a no only means not shown, and is a reason to refuse.
   General rules are here; a class adds what it knows in ``known_within``, ``known_around`` and
   ``known_excludes``.
5. A constraint consists of at most 64 constraints, so that comparisons are bounded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.show import quote
from taskbound.core.scope.values import Match
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import Place
    from taskbound.core.scope.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained(NoTruth):
    """Every value that the first permits, the second permits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotContained(NoTruth):
    """The first permits more, or containment is not shown."""

    reason: str
    """Plain words without values, such as "its largest number is above the other's"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded(NoTruth):
    """No value is permitted by both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExcluded(NoTruth):
    """Some value may be permitted by both."""


Containment: TypeAlias = Contained | NotContained
Exclusion: TypeAlias = Excluded | NotExcluded

CONTAINED: Final = Contained()
EXCLUDED: Final = Excluded()
NOT_EXCLUDED: Final = NotExcluded()


MAX_CONSTRAINT_DEPTH: Final = 8
MAX_PARTS: Final = 64

_NO_VALUE = NotContained(reason="it permits a value that the other doesn't")
_NOT_SHOWN = NotContained(reason="it can't be shown to permit no more than the other")


class Kind(Enum):
    """The type of a JSON value."""

    NULL = "null"
    TRUTH = "true or false"
    NUMBER = "a number"
    TEXT = "a text"
    LIST = "a list"
    OBJECT = "an object"


class Constraint(ABC):
    """A set of JSON values, defined by a rule."""

    __slots__ = ()

    tag: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    """The kinds of values that it may permit; a value of another kind is unmet."""
    permits_all: ClassVar[bool] = False
    """Whether every value is inside."""
    schema: ClassVar[Form]
    """Its body as JSON Schema, with a description, for editors; ``parse`` alone says what is right."""

    @classmethod
    @abstractmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Constraint:
        """Reads the body of the tag at this place, inner constraints with `read`; raises ScopeSyntaxError."""

    @abstractmethod
    def permits(self, value: JsonValue) -> Verdict:
        """Decides whether the value is permitted."""

    @abstractmethod
    def describe(self, name: str) -> str:
        """Completes "it must be …"; hides values if the argument `name` suggests a secret."""

    @abstractmethod
    def value(self) -> JsonValue:
        """Returns the canonical body."""

    def choices(self) -> tuple[JsonValue, ...] | None:
        """All permitted values if they are few and known, else None."""
        return None

    def alternatives(self) -> tuple[Constraint, ...]:
        """The constraints that it is the union of; empty if it is not a union."""
        return ()

    def conjuncts(self) -> tuple[Constraint, ...]:
        """The constraints that it is the intersection of; empty if it is not an intersection."""
        return ()

    def parts(self) -> tuple[Constraint, ...]:
        return (*self.alternatives(), *self.conjuncts())

    def form(self) -> bytes:
        """The canonical bytes; equal bytes are the same rule."""
        return canonical({self.tag: self.value()})

    def within(self, other: Constraint) -> Containment:
        """Decides whether the other permits everything that this permits (rule 4)."""
        if other.permits_all:
            return CONTAINED
        found = self._within_by_parts(other)
        if found is None:
            around = other.known_around(self)
            found = around if isinstance(around, Contained) else self.known_within(other)
        # The same rule is within itself, whatever its class knows. Writing both out is dear: it comes last.
        same = isinstance(found, NotContained) and self.tag == other.tag and self.form() == other.form()
        return CONTAINED if same else found

    def excludes(self, other: Constraint) -> Exclusion:
        """Decides whether no value is permitted by both (rule 4)."""
        if not self.kinds & other.kinds:
            return EXCLUDED
        for one, two in ((self, other), (other, self)):
            if isinstance(_excluded_by_parts(one, two), Excluded):
                return EXCLUDED
        if isinstance(self.known_excludes(other), Excluded):
            return EXCLUDED
        return other.known_excludes(self)

    def known_within(self, _other: Constraint) -> Containment:
        """Class-specific part of `within`, after the general rules."""
        return _NOT_SHOWN

    def known_around(self, _inner: Constraint) -> Containment:
        """Class-specific proof that another constraint is within this one."""
        return _NOT_SHOWN

    def known_excludes(self, _other: Constraint) -> Exclusion:
        """Class-specific part of `excludes`, called in both directions."""
        return NOT_EXCLUDED

    def _within_by_parts(self, other: Constraint) -> Containment | None:
        values = self.choices()
        if values is not None:
            return CONTAINED if all(isinstance(other.permits(one), Match) for one in values) else _NO_VALUE
        if self.alternatives():
            return _all(one.within(other) for one in self.alternatives())
        if other.conjuncts():
            return _all(map(self.within, other.conjuncts()))
        if any(isinstance(self.within(one), Contained) for one in other.alternatives()):
            return CONTAINED
        if any(isinstance(one.within(other), Contained) for one in self.conjuncts()):
            return CONTAINED
        return None


ReadConstraint: TypeAlias = "Callable[[JsonValue, Place], Constraint]"
Registry: TypeAlias = "Mapping[str, type[Constraint]]"


def read_constraint(value: JsonValue, place: Place, registry: Registry) -> Constraint:
    """Reads ``{tag: body}``; raises ScopeSyntaxError for an unknown tag or exceeded limits."""
    if place.depth >= MAX_CONSTRAINT_DEPTH:
        raise place.fault(f"is inside more than {MAX_CONSTRAINT_DEPTH - 1} other constraints")
    members = place.read_object(value)
    known = ", ".join(sorted(registry))
    if len(members) != 1:
        raise place.fault(f"must have exactly one member, one of {known}; it has {len(members)}")
    ((tag, body),) = members.items()
    if tag not in registry:
        raise place.fault(f"has no constraint `{quote(tag)}`; known are {known}")
    found = registry[tag].parse(
        body, place.inside().member(tag), lambda inner, where: read_constraint(inner, where, registry)
    )
    if place.depth == 0 and (count := _count(found)) > MAX_PARTS:  # rule 5
        raise place.fault(f"is built of {count} constraints; at most {MAX_PARTS} are allowed")
    return found


def _count(constraint: Constraint) -> int:
    return 1 + sum(map(_count, constraint.parts()))


def _all(answers: Iterable[Containment]) -> Containment:
    for answer in answers:
        if isinstance(answer, NotContained):
            return answer
    return CONTAINED


def _excluded_by_parts(one: Constraint, other: Constraint) -> Exclusion:
    values = one.choices()
    if values is not None:
        met = any(isinstance(other.permits(value), Match) for value in values)
        return NOT_EXCLUDED if met else EXCLUDED
    parts = one.alternatives()
    if parts and all(isinstance(part.excludes(other), Excluded) for part in parts):
        return EXCLUDED
    if any(isinstance(part.excludes(other), Excluded) for part in one.conjuncts()):
        return EXCLUDED
    return NOT_EXCLUDED


Form: TypeAlias = "Mapping[str, JsonValue]"

INNER: Final[dict[str, JsonValue]] = {"$ref": "#/$defs/constraint"}
"""A constraint inside of another."""
TEXT: Final[dict[str, JsonValue]] = {"type": "string", "minLength": 1}
TEXTS: Final[dict[str, JsonValue]] = {"type": "array", "items": TEXT, "uniqueItems": True}


def bounds(of: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": {"min": of, "max": of},
        "additionalProperties": False,
        "minProperties": 1,
    }
