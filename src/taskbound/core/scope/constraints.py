"""The constraints on values: any, equals, one_of, range and prefix.

``below`` has its own file, since what a path says is a matter of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.scope.constraint import Constraint
from taskbound.core.scope.number import NOT_A_NUMBER, is_number, read_decimal
from taskbound.core.scope.same import is_certain, same
from taskbound.core.scope.show import kind_of, show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraint import ReadConstraint
    from taskbound.core.scope.place import Place

__all__ = ["AnyValue", "Equals", "OneOf", "Prefix", "Range"]

MAX_CHOICES: Final = 1000
_SHOWN_CHOICES = 5

_NOT_EQUAL = Unmet(code="not-equal", reason="is not the one value that is granted")
_NOT_ONE_OF = Unmet(code="not-one-of", reason="is none of the values that are granted")
_NOT_TEXT = Unmet(code="not-text", reason="is not a text")
_WRONG_PREFIX = Unmet(code="wrong-prefix", reason="doesn't begin as it must")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyValue(Constraint):
    """``{"any": true}``: whatever the value is, as long as it is there."""

    tag: ClassVar[str] = "any"

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> AnyValue:
        """The constraint; its body is always ``true``."""
        if body is not True:
            raise place.fault("must be true")
        return cls()

    def permits(self, _value: JsonValue) -> Verdict:
        """Met."""
        return MET

    def describe(self, _name: str) -> str:
        """The words."""
        return "any value"

    def value(self) -> JsonValue:
        """The body."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals(Constraint):
    """``{"equals": v}``: exactly this value, by canonical JSON equality."""

    tag: ClassVar[str] = "equals"
    expected: JsonValue
    _certain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find out whether the quick comparison is enough."""
        object.__setattr__(self, "_certain", is_certain(self.expected))

    @classmethod
    def parse(cls, body: JsonValue, _place: Place, _read: ReadConstraint) -> Equals:
        """The constraint; any value can be its body."""
        return cls(expected=body)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by the same value."""
        if self.expected == value and (self._certain or same(self.expected, value)):
            return MET
        return _NOT_EQUAL

    def describe(self, name: str) -> str:
        """The words."""
        return f"exactly `{show(self.expected, name)}`"

    def value(self) -> JsonValue:
        """The body."""
        return self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf(Constraint):
    """``{"one_of": […]}``: one of these values; their order says nothing."""

    tag: ClassVar[str] = "one_of"
    choices: tuple[JsonValue, ...]
    """In the order of their canonical bytes, each once."""
    _plain: frozenset[str | int | float] = field(init=False, repr=False, compare=False)
    _others: tuple[JsonValue, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the choices: texts and numbers are looked up, the few others compared."""
        plain = [one for one in self.choices if _is_plain(one)]
        object.__setattr__(self, "_plain", frozenset(plain))
        object.__setattr__(self, "_others", tuple(one for one in self.choices if not _is_plain(one)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> OneOf:
        """The constraint; the list is not empty and says nothing twice."""
        items = place.read_list(body, most=MAX_CHOICES)
        if not items:
            raise place.fault("must not be empty: it would permit nothing")
        seen: dict[bytes, int] = {}
        for index, item in enumerate(items):
            first = seen.setdefault(canonical(item), index)
            if first != index:
                raise place.item(index).fault(f"says the same as item {first}")
        return cls(choices=tuple(items[index] for _, index in sorted(seen.items())))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by any of the values."""
        if _is_plain(value):
            return MET if value in self._plain else _NOT_ONE_OF
        return MET if any(same(one, value) for one in self._others) else _NOT_ONE_OF

    def describe(self, name: str) -> str:
        """The words, with the first few values."""
        shown = ", ".join(f"`{show(one, name)}`" for one in self.choices[:_SHOWN_CHOICES])
        rest = len(self.choices) - _SHOWN_CHOICES
        return f"one of {shown} and {rest} more" if rest > 0 else f"one of {shown}"

    def value(self) -> JsonValue:
        """The body."""
        return list(self.choices)


def _is_plain(value: JsonValue) -> bool:
    """Whether the value can be looked up by hash: a text or a number, and never true, which hashes as 1."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Constraint):
    """``{"range": {"min": a, "max": b}}``: a number from a to b, both in; either bound may be left out."""

    tag: ClassVar[str] = "range"
    min: int | float | None
    max: int | float | None
    _low: int | Decimal = field(init=False, repr=False, compare=False)
    _high: int | Decimal = field(init=False, repr=False, compare=False)
    _below: Unmet = field(init=False, repr=False, compare=False)
    _above: Unmet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the bounds as decimals and word the two misses."""
        object.__setattr__(self, "_low", Decimal("-Infinity") if self.min is None else _bound(self.min))
        object.__setattr__(self, "_high", Decimal("Infinity") if self.max is None else _bound(self.max))
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
        if number < self._low:
            return self._below
        return self._above if number > self._high else MET

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix(Constraint):
    """``{"prefix": "s"}``: a text that begins with these code points. Never for paths: see ``below``."""

    tag: ClassVar[str] = "prefix"
    prefix: str

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Prefix:
        """The constraint; an empty prefix is refused, since it would permit every text."""
        return cls(prefix=place.read_text(body))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a text that begins so, compared by code point."""
        if not isinstance(value, str):
            return _NOT_TEXT
        return MET if value.startswith(self.prefix) else _WRONG_PREFIX

    def describe(self, name: str) -> str:
        """The words."""
        return f"a text that begins with `{show(self.prefix, name)}`"

    def value(self) -> JsonValue:
        """The body."""
        return self.prefix
