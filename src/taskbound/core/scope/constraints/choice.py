"""The constraints any, absent, equals, one_of and not_one_of."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar, Final
from unicodedata import category, normalize

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import CONTAINED, Constraint, Kind, NotContained
from taskbound.core.scope.show import show
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict, is_certain, same

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Form, ReadConstraint
    from taskbound.core.scope.path import Place


MAX_CHOICES: Final = 1000
_SHOWN_CHOICES = 5

_NOT_EQUAL = Mismatch(code="not-equal", reason="is not the one value that is granted")
_NOT_ONE_OF = Mismatch(code="not-one-of", reason="is not a granted value")
_EXCLUDED_VALUE = Mismatch(code="excluded-value", reason="is, or reads as, a value that is excluded")
_CAN_HOLD = NotContained(reason="it may hold a value that the other excludes")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SELECTORS: Final = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x34F)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyValue(Constraint):
    """``{"any": true}``: every value, but not absence."""

    tag: ClassVar[str] = "any"
    permits_all: ClassVar[bool] = True
    schema: ClassVar[Form] = {"description": "Any value at all: breadth.", "const": True}

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> AnyValue:
        if body is not True:
            raise place.fault("must be true")
        return cls()

    def permits(self, _value: JsonValue) -> Verdict:
        return MET

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        return "any value"

    def value(self) -> JsonValue:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals(Constraint):
    """``{"equals": v}``: exactly this value, by canonical JSON equality."""

    tag: ClassVar[str] = "equals"
    schema: ClassVar[Form] = {"description": "Exactly this value."}
    expected: JsonValue
    _certain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_certain", is_certain(self.expected))

    @classmethod
    def parse(cls, body: JsonValue, _place: Place, _read: ReadConstraint) -> Equals:
        return cls(expected=body)

    def permits(self, value: JsonValue) -> Verdict:
        if self.expected == value and (self._certain or same(self.expected, value)):
            return MET
        return _NOT_EQUAL

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"exactly `{show(self.expected, name)}`"

    def value(self) -> JsonValue:
        return self.expected

    def choices(self) -> tuple[JsonValue, ...]:
        return (self.expected,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf(Constraint):
    """``{"one_of": […]}``: one of these values, in any order."""

    tag: ClassVar[str] = "one_of"
    schema: ClassVar[Form] = {
        "description": "One of these values.",
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_CHOICES,
        "uniqueItems": True,
    }
    items: tuple[JsonValue, ...]
    """In the order of their canonical bytes, each once."""
    _plain: frozenset[str | int | float] = field(init=False, repr=False, compare=False)
    _others: tuple[JsonValue, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = [one for one in self.items if _is_plain(one)]
        object.__setattr__(self, "_plain", frozenset(plain))
        object.__setattr__(self, "_others", tuple(one for one in self.items if not _is_plain(one)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> OneOf:
        return cls(items=_read_choices(body, place, "it would permit nothing"))

    def permits(self, value: JsonValue) -> Verdict:
        if _is_plain(value):
            return MET if value in self._plain else _NOT_ONE_OF
        return MET if any(same(one, value) for one in self._others) else _NOT_ONE_OF

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"one of {_shown(self.items, name)}"

    def value(self) -> JsonValue:
        return list(self.items)

    def choices(self) -> tuple[JsonValue, ...]:
        return self.items


def _is_plain(value: JsonValue) -> bool:
    """Returns whether the value can be looked up by hash; True cannot, as it hashes like 1."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOneOf(Constraint):
    """``{"not_one_of": […]}``: any value except these and texts that read like them.

    Texts read alike if they are equal after NFKC, case folding, and removal of invisible characters and outer
    spaces. Look-alike letters of other scripts are not folded.
    """

    tag: ClassVar[str] = "not_one_of"
    schema: ClassVar[Form] = {
        "description": "Any value but these, and no text that reads as one of them.",
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_CHOICES,
        "uniqueItems": True,
    }
    items: tuple[JsonValue, ...]
    """In the order of their canonical bytes, each once."""
    _texts: frozenset[str] = field(init=False, repr=False, compare=False)
    _numbers: frozenset[int | float] = field(init=False, repr=False, compare=False)
    _others: tuple[JsonValue, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_texts", frozenset(_fold(one) for one in self.items if isinstance(one, str))
        )
        numbers = frozenset(one for one in self.items if _is_plain(one) and not isinstance(one, str))
        object.__setattr__(self, "_numbers", numbers)
        object.__setattr__(self, "_others", tuple(one for one in self.items if not _is_plain(one)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> NotOneOf:
        return cls(items=_read_choices(body, place, 'write {"any": true}'))

    def permits(self, value: JsonValue) -> Verdict:
        if isinstance(value, str):
            return _EXCLUDED_VALUE if _fold(value) in self._texts else MET
        if _is_plain(value):
            return _EXCLUDED_VALUE if value in self._numbers else MET
        return _EXCLUDED_VALUE if any(same(one, value) for one in self._others) else MET

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"anything but {_shown(self.items, name)}"

    def value(self) -> JsonValue:
        return list(self.items)

    def known_around(self, inner: Constraint) -> Containment:
        """Contains a constraint that permits none of its values, and no text if it excludes texts."""
        if isinstance(inner, NotOneOf):  # what folds to an excluded text is excluded by both
            texts = self._texts <= inner._texts  # noqa: SLF001 - another of this very class
            kept = any(isinstance(inner.permits(one), Match) for one in self.items)
            return _CAN_HOLD if kept or not texts else CONTAINED
        if self._texts and Kind.TEXT in inner.kinds:
            return _CAN_HOLD
        kept = any(isinstance(inner.permits(one), Match) for one in self.items)
        return _CAN_HOLD if kept else CONTAINED


def _fold(text: str) -> str:
    if text.isascii():
        return "".join(filter(str.isprintable, text)).strip().lower()
    plain = normalize("NFKC", normalize("NFKC", text).casefold())
    return "".join(one for one in plain if category(one) not in _INVISIBLE and one not in _SELECTORS).strip()


def _read_choices(body: JsonValue, place: Place, empty: str) -> tuple[JsonValue, ...]:
    items = place.read_list(body, most=MAX_CHOICES)
    if not items:
        raise place.fault(f"must not be empty: {empty}")
    seen: dict[bytes, int] = {}
    for index, item in enumerate(items):
        first = seen.setdefault(canonical(item), index)
        if first != index:
            raise place.item(index).fault(f"says the same as item {first}")
    return tuple(items[index] for _, index in sorted(seen.items()))


def _shown(items: tuple[JsonValue, ...], name: str) -> str:
    shown = ", ".join(f"`{show(one, name)}`" for one in items[:_SHOWN_CHOICES])
    rest = len(items) - _SHOWN_CHOICES
    return f"{shown} and {rest} more" if rest > 0 else shown


_NOT_ABSENT: Final = Mismatch(code="not-absent", reason="is there, even if it is the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent(Constraint):
    """``{"absent": true}``: the argument must be left out, even where its default would pass."""

    tag: ClassVar[str] = "absent"
    kinds: ClassVar[frozenset[Kind]] = frozenset()
    schema: ClassVar[Form] = {
        "description": "The argument must be left out; it is named in `optional` too.",
        "const": True,
    }

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Absent:
        """Requires the body ``true``; refused inside another constraint."""
        if body is not True:
            raise place.fault("must be true")
        if place.depth > 1:
            raise place.fault("says that an argument is left out, and can't be a part of another constraint")
        return cls()

    def permits(self, _value: JsonValue) -> Verdict:
        return _NOT_ABSENT

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        return "left out"

    def value(self) -> JsonValue:
        return True

    def choices(self) -> tuple[JsonValue, ...]:
        return ()
