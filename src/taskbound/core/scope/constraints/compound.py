"""The constraints all_of and any_of."""

from __future__ import annotations

from dataclasses import field
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import INNER, MAX_PARTS, Constraint, Excluded, Form, Kind
from taskbound.core.scope.constraints.range import Range
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict

if TYPE_CHECKING:
    from decimal import Decimal

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, ReadConstraint
    from taskbound.core.scope.path import Place


_NONE_MET = Mismatch(code="none-met", reason="meets none of what is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf(Constraint):
    """``{"all_of": […]}``: the values that every part permits."""

    tag: ClassVar[str] = "all_of"
    schema: ClassVar[Form] = {
        "description": "What every one of two or more constraints permits.",
        "type": "array",
        "items": INNER,
        "minItems": 2,
        "maxItems": MAX_PARTS,
    }
    inner: tuple[Constraint, ...]
    """In the order of their canonical bytes, each once."""
    kinds: frozenset[Kind] = field(init=False, repr=False, compare=False)  # type: ignore[misc]  # known by parts

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", reduce(frozenset.__and__, (one.kinds for one in self.inner)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> AllOf:
        """Refuses two parts that exclude each other, as they permit nothing."""
        inner = _read_parts(body, place, read)
        for one, other in combinations(inner, 2):
            if isinstance(one.excludes(other), Excluded):
                raise place.fault(f"permits nothing: `{one.tag}` and `{other.tag}` exclude each other")
        return cls(inner=inner)

    def permits(self, value: JsonValue) -> Verdict:
        for one in self.inner:
            verdict = one.permits(value)
            if isinstance(verdict, Mismatch):
                return verdict
        return MET

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return "all of these: " + ", and ".join(one.describe(name) for one in self.inner)

    def value(self) -> JsonValue:
        return [{one.tag: one.value()} for one in self.inner]

    def conjuncts(self) -> tuple[Constraint, ...]:
        return self.inner

    def choices(self) -> tuple[JsonValue, ...] | None:
        few = next((values for one in self.inner if (values := one.choices()) is not None), None)
        return few and tuple(value for value in few if isinstance(self.permits(value), Match))

    def known_within(self, other: Constraint) -> Containment:
        ranges = [one for one in self.inner if isinstance(one, Range)]
        if len(ranges) < 2:  # noqa: PLR2004 - one alone has been tried
            return super(AllOf, self).known_within(other)  # noqa: UP008 -- `super()` means the class before it had slots
        low, high = max(ranges, key=_low), min(ranges, key=_high)
        return Range(min=low.min, max=high.max).within(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(Constraint):
    """``{"any_of": […]}``: the values that at least one part permits."""

    tag: ClassVar[str] = "any_of"
    schema: ClassVar[Form] = {
        "description": "What at least one of two or more constraints permits.",
        "type": "array",
        "items": INNER,
        "minItems": 2,
        "maxItems": MAX_PARTS,
    }
    inner: tuple[Constraint, ...]
    """In the order of their canonical bytes, each once."""
    kinds: frozenset[Kind] = field(init=False, repr=False, compare=False)  # type: ignore[misc]  # known by parts

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", reduce(frozenset.__or__, (one.kinds for one in self.inner)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, read: ReadConstraint) -> AnyOf:
        return cls(inner=_read_parts(body, place, read))

    def permits(self, value: JsonValue) -> Verdict:
        return MET if any(isinstance(one.permits(value), Match) for one in self.inner) else _NONE_MET

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return "one of these: " + ", or ".join(one.describe(name) for one in self.inner)

    def value(self) -> JsonValue:
        return [{one.tag: one.value()} for one in self.inner]

    def alternatives(self) -> tuple[Constraint, ...]:
        return self.inner


def _low(one: Range) -> Decimal | int:
    return one.low


def _high(one: Range) -> Decimal | int:
    return one.high


def _read_parts(body: JsonValue, place: Place, read: ReadConstraint) -> tuple[Constraint, ...]:
    items = place.read_list(body, most=MAX_PARTS)
    if len(items) < 2:  # noqa: PLR2004 - one constraint is written as itself
        raise place.fault("must have two constraints or more; one is written as itself")
    seen: dict[bytes, tuple[int, Constraint]] = {}
    for index, item in enumerate(items):
        part = read(item, place.item(index))
        first, _ = seen.setdefault(part.form(), (index, part))
        if first != index:
            raise place.item(index).fault(f"says the same as item {first}")
    return tuple(part for _, (_, part) in sorted(seen.items()))
