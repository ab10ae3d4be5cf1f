"""What every constraint can do, how one is read by its tag, and how two are compared.

Of `constraint`:

A constraint is written as an object of one member, ``{tag: body}``. To add one: write
a frozen class of `Constraint` with its own tag and name it in ``registry``.

1. A constraint is compiled when it is read; ``permits`` parses nothing and keeps no state.
2. ``permits`` answers for every JSON value, and what it can't know is unmet. Two values that
   are one as canonical JSON get one answer.
3. ``value`` is the canonical way to write it: what means the same is written the same,
   as far as the class can tell.
4. ``within`` and ``excludes`` are proofs: what a class doesn't know, it doesn't claim. The rules that
   hold for every kind (the same rule, any value, a few values, parts) stand here once; a class
   adds what it knows of its own kind in ``known_within``, ``known_around`` and ``known_excludes``.
5. A constraint is built of at most 64 constraints, so that comparing two is bounded.

Of `containment`:

1. "Yes" is a proof; "no" only says that none was found. So `Contained` and `Excluded` may be
   relied on, and their opposites are reasons to refuse.
2. Nobody gets a bool: an answer is matched on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.show import quote
from taskbound.core.scope.values import Met
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import Place
    from taskbound.core.scope.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained(NoTruth):
    """Every value that the one permits, the other permits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotContained(NoTruth):
    """The one permits more, or it can't be shown that it doesn't."""

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
    """What a JSON value is."""

    NULL = "null"
    TRUTH = "true or false"
    NUMBER = "a number"
    TEXT = "a text"
    LIST = "a list"
    OBJECT = "an object"


class Constraint(ABC):
    """A set of values, by rule."""

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

    def choices(self) -> tuple[JsonValue, ...] | None:
        """Every value that it permits, when they are few and known; ``None`` otherwise."""
        return None

    def alternatives(self) -> tuple[Constraint, ...]:
        """The constraints of which it permits what any permits; none when it isn't made so."""
        return ()

    def conjuncts(self) -> tuple[Constraint, ...]:
        """The constraints of which it permits what all permit; none when it isn't made so."""
        return ()

    def parts(self) -> tuple[Constraint, ...]:
        """The constraints that it is written with, to count them."""
        return (*self.alternatives(), *self.conjuncts())

    def form(self) -> bytes:
        """The canonical bytes of the constraint; two with the same bytes are one rule."""
        return canonical({self.tag: self.value()})

    def within(self, other: Constraint) -> Containment:
        """Whether every value that this permits, the other permits too; "no" may be "not shown" (rule 4)."""
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
        """Whether no value is permitted by both; "no" may be "not shown" (rule 4)."""
        if not self.kinds & other.kinds:
            return EXCLUDED
        for one, two in ((self, other), (other, self)):
            if isinstance(_excluded_by_parts(one, two), Excluded):
                return EXCLUDED
        if isinstance(self.known_excludes(other), Excluded):
            return EXCLUDED
        return other.known_excludes(self)

    def known_within(self, _other: Constraint) -> Containment:
        """What this kind knows of being within another; the general rules have been tried."""
        return _NOT_SHOWN

    def known_around(self, _inner: Constraint) -> Containment:
        """What this kind knows of another being within it, whatever that one is."""
        return _NOT_SHOWN

    def known_excludes(self, _other: Constraint) -> Exclusion:
        """What this kind knows of having nothing in common with another; it is asked both ways round."""
        return NOT_EXCLUDED

    def _within_by_parts(self, other: Constraint) -> Containment | None:
        """The answer that values and parts give; ``None`` when they give none."""
        values = self.choices()
        if values is not None:
            return CONTAINED if all(isinstance(other.permits(one), Met) for one in values) else _NO_VALUE
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
    """The constraint that is written here.

    Raises:
        ScopeSyntaxError: It is not an object of one known tag, it is too deep inside others, or too many
            are inside of it.
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
        met = any(isinstance(other.permits(value), Met) for value in values)
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
    """An object of ``min``, ``max`` or both."""
    return {
        "type": "object",
        "properties": {"min": of, "max": of},
        "additionalProperties": False,
        "minProperties": 1,
    }
