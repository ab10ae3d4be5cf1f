"""The constraints range, length and items."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.below import Prefix
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    INNER,
    NOT_EXCLUDED,
    Constraint,
    Contained,
    Form,
    Kind,
    NotContained,
    bounds,
)
from taskbound.core.scope.show import kind_of, show
from taskbound.core.scope.values import MET, NOT_A_NUMBER, Met, Unmet, Verdict, is_number, read_decimal

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Constraint):
    """``{"range": {"min": a, "max": b}}``: a number from a to b, both in; either bound may be left out."""

    tag: ClassVar[str] = "range"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.NUMBER})
    schema: ClassVar[Form] = {
        "description": "A number from min to max, both in; one may be left out.",
        **bounds({"type": "number"}),
    }
    min: int | float | None
    max: int | float | None
    low: int | Decimal = field(init=False, repr=False, compare=False)
    high: int | Decimal = field(init=False, repr=False, compare=False)
    _below: Unmet = field(init=False, repr=False, compare=False)
    _above: Unmet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the bounds as decimals and word the two misses."""
        object.__setattr__(self, "low", Decimal("-Infinity") if self.min is None else _bound(self.min))
        object.__setattr__(self, "high", Decimal("Infinity") if self.max is None else _bound(self.max))
        object.__setattr__(self, "_below", Unmet(code="below-min", reason=f"is less than {show(self.min)}"))
        object.__setattr__(self, "_above", Unmet(code="above-max", reason=f"is more than {show(self.max)}"))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Range:
        """The constraint; at least one bound, and min is not above max."""
        members = place.read_object(body, allowed=("min", "max"))
        if not members:
            raise place.fault("must have min, max or both")
        low = _read_bound(members, "min", place)
        high = _read_bound(members, "max", place)
        if low is not None and high is not None and _bound(low) > _bound(high):
            raise place.fault(f"permits nothing: min {show(low)} is more than max {show(high)}")
        return cls(min=low, max=high)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a number between the bounds, compared exactly."""
        number = read_decimal(value)
        if isinstance(number, Unmet):
            return number
        if number < self.low:
            return self._below
        return self._above if number > self.high else MET

    def describe(self, _name: str) -> str:
        """The words."""
        if self.max is None:
            return f"a number of at least {show(self.min)}"
        if self.min is None:
            return f"a number of at most {show(self.max)}"
        return f"a number from {show(self.min)} to {show(self.max)}"

    def value(self) -> JsonValue:
        """The body."""
        bounds: dict[str, JsonValue] = {}
        if self.min is not None:
            bounds["min"] = self.min
        if self.max is not None:
            bounds["max"] = self.max
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        """A range is within one that begins no later and ends no earlier."""
        if not isinstance(other, Range):
            return NotContained(reason="a range of numbers is only within a range")
        if self.low < other.low:
            return NotContained(reason="its smallest number is below the other's")
        if self.high > other.high:
            return NotContained(reason="its largest number is above the other's")
        return CONTAINED

    def known_excludes(self, other: Constraint) -> Exclusion:
        """Two ranges have nothing in common when one ends before the other begins."""
        if isinstance(other, Range) and (self.high < other.low or other.high < self.low):
            return EXCLUDED
        return NOT_EXCLUDED


def _read_bound(members: dict[str, JsonValue], name: str, place: Place) -> int | float | None:
    if name not in members:
        return None
    bound = members[name]
    if not is_number(bound):
        raise place.member(name).fault(f"must be a number, not {kind_of(bound)}")
    return bound


def _bound(number: float) -> int | Decimal:
    exact = read_decimal(number)
    if isinstance(exact, Unmet):
        raise TypeError(NOT_A_NUMBER.reason)
    return exact


_NO_LENGTH = Unmet(code="no-length", reason="is neither a text nor a list")
_TOO_SHORT = Unmet(code="too-short", reason="is shorter than it must be")
_TOO_LONG = Unmet(code="too-long", reason="is longer than it may be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Length(Constraint):
    """``{"length": {"min": a, "max": b}}``: code points of a text, items of a list; both bounds are in."""

    tag: ClassVar[str] = "length"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT, Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A text of so many characters, or a list of so many items; both bounds are in.",
        **bounds({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}),
    }
    min: int
    max: int | None

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Length:
        """The constraint; at least one bound says something."""
        members = place.read_object(body, allowed=("min", "max"))
        low, high = 0, None
        if "min" in members:
            low = place.member("min").read_integer(members["min"], least=1, most=MAX_INTEGER)
        if "max" in members:
            high = place.member("max").read_integer(members["max"], least=0, most=MAX_INTEGER)
        if not members:
            raise place.fault("must have min, max or both")
        if high is not None and low > high:
            raise place.fault(f"permits nothing: min {low} is more than max {high}")
        return cls(min=low, max=high)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a text or a list of such a length."""
        if not isinstance(value, str | list):
            return _NO_LENGTH
        if len(value) < self.min:
            return _TOO_SHORT
        return _TOO_LONG if self.max is not None and len(value) > self.max else MET

    def describe(self, _name: str) -> str:
        """The words."""
        what = "a text or list of"
        if self.max is None:
            return f"{what} at least {self.min} characters or items"
        if self.min == self.max:
            return f"{what} exactly {self.max} characters or items"
        return f"{what} {self.min} to {self.max} characters or items"

    def value(self) -> JsonValue:
        """The body."""
        bounds: dict[str, JsonValue] = {}
        if self.min:
            bounds["min"] = self.min
        if self.max is not None:
            bounds["max"] = self.max
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        """A length is within one that begins no later and ends no earlier."""
        if not isinstance(other, Length):
            return NotContained(reason="a length is only within a length")
        if self.min < other.min:
            return NotContained(reason="it permits what is shorter")
        if other.max is not None and (self.max is None or self.max > other.max):
            return NotContained(reason="it permits what is longer")
        return CONTAINED

    def known_around(self, inner: Constraint) -> Containment:
        """A text that begins so is at least as long."""
        if isinstance(inner, Prefix) and self.max is None and len(inner.prefix) >= self.min:
            return CONTAINED
        return NotContained(reason="its lengths aren't known")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """Lengths that don't meet, and a beginning that is too long."""
        if isinstance(other, Length):
            apart = _ends_before(self, other.min) or _ends_before(other, self.min)
            return EXCLUDED if apart else NOT_EXCLUDED
        if isinstance(other, Prefix) and _ends_before(self, len(other.prefix)):
            return EXCLUDED
        return NOT_EXCLUDED


def _ends_before(length: Length, least: int) -> bool:
    return length.max is not None and length.max < least


_NOT_A_LIST = Unmet(code="not-a-list", reason="is not a list")
_NO_ITEM = Unmet(code="no-such-item", reason="has no item as there must be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Each(Constraint):
    """``{"each": …}``: a list of which every item meets the constraint; an empty list does."""

    tag: ClassVar[str] = "each"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A list of which every item is as this says; it may be empty.",
        **INNER,
    }
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Each:
        """The constraint; its body is that of the items."""
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a list without an item that misses; the first miss is told by its place."""
        if not isinstance(value, list):
            return _NOT_A_LIST
        for index, one in enumerate(value):
            verdict = self.item.permits(one)
            if isinstance(verdict, Unmet):
                return Unmet(
                    code=verdict.code, reason=f"has an item, number {index + 1}, which {verdict.reason}"
                )
        return MET

    def describe(self, name: str) -> str:
        """The words."""
        return f"a list (it may be empty) of which each item is {self.item.describe(name)}"

    def value(self) -> JsonValue:
        """The body."""
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        """The one of the items."""
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        """Lists of items are within lists of items that are around them."""
        if isinstance(other, Each):
            return self.item.within(other.item)
        return NotContained(reason="it permits an empty list")

    def known_excludes(self, other: Constraint) -> Exclusion:
        """No list has only such items and one that none of them can be."""
        return self.item.excludes(other.item) if isinstance(other, Contains) else NOT_EXCLUDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains(Constraint):
    """``{"contains": …}``: a list of which at least one item meets the constraint."""

    tag: ClassVar[str] = "contains"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {"description": "A list of which at least one item is as this says.", **INNER}
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Contains:
        """The constraint; its body is that of the item."""
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a list with such an item."""
        if not isinstance(value, list):
            return _NOT_A_LIST
        return MET if any(isinstance(self.item.permits(one), Met) for one in value) else _NO_ITEM

    def describe(self, name: str) -> str:
        """The words."""
        return f"a list of which at least one item is {self.item.describe(name)}"

    def value(self) -> JsonValue:
        """The body."""
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        """The one of the item."""
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        """A list with such an item has an item of whatever is around it."""
        if isinstance(other, Contains) and isinstance(self.item.within(other.item), Contained):
            return CONTAINED
        return NotContained(reason="its other items may be anything")
