"""The constraint ``range``: numbers from one to another, compared exactly."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Constraint, Kind
from taskbound.core.scope.constraints.containment import CONTAINED, EXCLUDED, NOT_EXCLUDED, NotContained
from taskbound.core.scope.constraints.form import Form, bounds
from taskbound.core.scope.number import NOT_A_NUMBER, is_number, read_decimal
from taskbound.core.scope.show import kind_of, show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.constraints.containment import Containment, Exclusion
    from taskbound.core.scope.place import Place


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
