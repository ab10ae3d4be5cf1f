"""The constraints range, length, each and contains."""

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
from taskbound.core.scope.values import MET, NOT_A_NUMBER, Match, Mismatch, Verdict, is_number, read_decimal

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Constraint):
    """``{"range": {"min": a, "max": b}}``: a number from a to b inclusive; one bound may be missing."""

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
    _below: Mismatch = field(init=False, repr=False, compare=False)
    _above: Mismatch = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", Decimal("-Infinity") if self.min is None else _bound(self.min))
        object.__setattr__(self, "high", Decimal("Infinity") if self.max is None else _bound(self.max))
        object.__setattr__(
            self, "_below", Mismatch(code="below-min", reason=f"is less than {show(self.min)}")
        )
        object.__setattr__(
            self, "_above", Mismatch(code="above-max", reason=f"is more than {show(self.max)}")
        )

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Range:
        members = place.read_object(body, allowed=("min", "max"))
        if not members:
            raise place.fault("must have min, max or both")
        low = _read_bound(members, "min", place)
        high = _read_bound(members, "max", place)
        if low is not None and high is not None and _bound(low) > _bound(high):
            raise place.fault(f"permits nothing: min {show(low)} is more than max {show(high)}")
        return cls(min=low, max=high)

    def permits(self, value: JsonValue) -> Verdict:
        """Compares decimals exactly."""
        number = read_decimal(value)
        if isinstance(number, Mismatch):
            return number
        if number < self.low:
            return self._below
        return self._above if number > self.high else MET

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        if self.max is None:
            return f"a number of at least {show(self.min)}"
        if self.min is None:
            return f"a number of at most {show(self.max)}"
        return f"a number from {show(self.min)} to {show(self.max)}"

    def value(self) -> JsonValue:
        bounds: dict[str, JsonValue] = {}
        if self.min is not None:
            bounds["min"] = self.min
        if self.max is not None:
            bounds["max"] = self.max
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        if not isinstance(other, Range):
            return NotContained(reason="a range of numbers is only within a range")
        if self.low < other.low:
            return NotContained(reason="its smallest number is below the other's")
        if self.high > other.high:
            return NotContained(reason="its largest number is above the other's")
        return CONTAINED

    def known_excludes(self, other: Constraint) -> Exclusion:
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
    if isinstance(exact, Mismatch):
        raise TypeError(NOT_A_NUMBER.reason)
    return exact


_NO_LENGTH = Mismatch(code="no-length", reason="is neither a text nor a list")
_TOO_SHORT = Mismatch(code="too-short", reason="is shorter than it must be")
_TOO_LONG = Mismatch(code="too-long", reason="is longer than it may be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Length(Constraint):
    """``{"length": {"min": a, "max": b}}``: code points of a text or items of a list, inclusive."""

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
        if not isinstance(value, str | list):
            return _NO_LENGTH
        if len(value) < self.min:
            return _TOO_SHORT
        return _TOO_LONG if self.max is not None and len(value) > self.max else MET

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        what = "a text or list of"
        if self.max is None:
            return f"{what} at least {self.min} characters or items"
        if self.min == self.max:
            return f"{what} exactly {self.max} characters or items"
        return f"{what} {self.min} to {self.max} characters or items"

    def value(self) -> JsonValue:
        bounds: dict[str, JsonValue] = {}
        if self.min:
            bounds["min"] = self.min
        if self.max is not None:
            bounds["max"] = self.max
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        if not isinstance(other, Length):
            return NotContained(reason="a length is only within a length")
        if self.min < other.min:
            return NotContained(reason="it permits what is shorter")
        if other.max is not None and (self.max is None or self.max > other.max):
            return NotContained(reason="it permits what is longer")
        return CONTAINED

    def known_around(self, inner: Constraint) -> Containment:
        if isinstance(inner, Prefix) and self.max is None and len(inner.prefix) >= self.min:
            return CONTAINED
        return NotContained(reason="its lengths aren't known")

    def known_excludes(self, other: Constraint) -> Exclusion:
        if isinstance(other, Length):
            apart = _ends_before(self, other.min) or _ends_before(other, self.min)
            return EXCLUDED if apart else NOT_EXCLUDED
        if isinstance(other, Prefix) and _ends_before(self, len(other.prefix)):
            return EXCLUDED
        return NOT_EXCLUDED


def _ends_before(length: Length, least: int) -> bool:
    return length.max is not None and length.max < least


_NOT_A_LIST = Mismatch(code="not-a-list", reason="is not a list")
_NO_ITEM = Mismatch(code="no-such-item", reason="has no item as there must be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Each(Constraint):
    """``{"each": …}``: a list whose items all meet the constraint; it may be empty."""

    tag: ClassVar[str] = "each"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A list whose items all meet this constraint; it may be empty.",
        **INNER,
    }
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Each:
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        if not isinstance(value, list):
            return _NOT_A_LIST
        for index, one in enumerate(value):
            verdict = self.item.permits(one)
            if isinstance(verdict, Mismatch):
                return Mismatch(
                    code=verdict.code, reason=f"has an item, number {index + 1}, which {verdict.reason}"
                )
        return MET

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a list (it may be empty) whose items are each {self.item.describe(name)}"

    def value(self) -> JsonValue:
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Each):
            return self.item.within(other.item)
        return NotContained(reason="it permits an empty list")

    def known_excludes(self, other: Constraint) -> Exclusion:
        return self.item.excludes(other.item) if isinstance(other, Contains) else NOT_EXCLUDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains(Constraint):
    """``{"contains": …}``: a list with at least one item that meets the constraint."""

    tag: ClassVar[str] = "contains"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LIST})
    schema: ClassVar[Form] = {
        "description": "A list with at least one item that meets this constraint.",
        **INNER,
    }
    item: Constraint

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> Contains:
        return cls(item=read(body, place))

    def permits(self, value: JsonValue) -> Verdict:
        if not isinstance(value, list):
            return _NOT_A_LIST
        return MET if any(isinstance(self.item.permits(one), Match) for one in value) else _NO_ITEM

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a list with at least one item that is {self.item.describe(name)}"

    def value(self) -> JsonValue:
        return {self.item.tag: self.item.value()}

    def parts(self) -> tuple[Constraint, ...]:
        return (self.item,)

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Contains) and isinstance(self.item.within(other.item), Contained):
            return CONTAINED
        return NotContained(reason="its other items may be anything")
