"""The constraints that name values: any, equals and one_of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.scope.constraints.constraint import Constraint
from taskbound.core.scope.same import is_certain, same
from taskbound.core.scope.show import show
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import ReadConstraint
    from taskbound.core.scope.place import Place

__all__ = ["AnyValue", "Equals", "OneOf"]

MAX_CHOICES: Final = 1000
_SHOWN_CHOICES = 5

_NOT_EQUAL = Unmet(code="not-equal", reason="is not the one value that is granted")
_NOT_ONE_OF = Unmet(code="not-one-of", reason="is none of the values that are granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyValue(Constraint):
    """``{"any": true}``: whatever the value is, as long as it is there."""

    tag: ClassVar[str] = "any"
    permits_all: ClassVar[bool] = True

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

    def choices(self) -> tuple[JsonValue, ...]:
        """The one value."""
        return (self.expected,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf(Constraint):
    """``{"one_of": […]}``: one of these values; their order says nothing."""

    tag: ClassVar[str] = "one_of"
    items: tuple[JsonValue, ...]
    """In the order of their canonical bytes, each once."""
    _plain: frozenset[str | int | float] = field(init=False, repr=False, compare=False)
    _others: tuple[JsonValue, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the choices: texts and numbers are looked up, the few others compared."""
        plain = [one for one in self.items if _is_plain(one)]
        object.__setattr__(self, "_plain", frozenset(plain))
        object.__setattr__(self, "_others", tuple(one for one in self.items if not _is_plain(one)))

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
        return cls(items=tuple(items[index] for _, index in sorted(seen.items())))

    def permits(self, value: JsonValue) -> Verdict:
        """Met by any of the values."""
        if _is_plain(value):
            return MET if value in self._plain else _NOT_ONE_OF
        return MET if any(same(one, value) for one in self._others) else _NOT_ONE_OF

    def describe(self, name: str) -> str:
        """The words, with the first few values."""
        shown = ", ".join(f"`{show(one, name)}`" for one in self.items[:_SHOWN_CHOICES])
        rest = len(self.items) - _SHOWN_CHOICES
        return f"one of {shown} and {rest} more" if rest > 0 else f"one of {shown}"

    def value(self) -> JsonValue:
        """The body."""
        return list(self.items)

    def choices(self) -> tuple[JsonValue, ...]:
        """The values."""
        return self.items


def _is_plain(value: JsonValue) -> bool:
    """Whether the value can be looked up by hash: a text or a number, and never true, which hashes as 1."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)
