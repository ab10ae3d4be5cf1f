"""Verdicts and values of the scope language: numbers, and equality of JSON values.

Of `verdict`:

A reason completes the sentence "argument `x` is …, which …", and never repeats
the value itself: what the value was is shown by ``show``, which hides secrets.

Of `number`:

The decimal of a number is that of its canonical text (RFC 8785 §3.2.2.3): the shortest
that reads back as the same number. So 0.1 is one tenth, and 1, 1.0 and 1e0 are one.

Of `same`:

1, 1.0 and 1e0 are one value; -0 and 0 are one; ``true`` is not 1; ``"1"`` is not 1;
texts are compared by code point, without normalization; the order of members says nothing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard

from taskbound.core.dataclass import dataclass
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Met(NoTruth):
    """The value is inside the constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet(NoTruth):
    """The value is outside, or what it is can't be known."""

    code: str
    """A stable word in kebab-case, such as ``above-max``."""
    reason: str
    """Plain words, such as "is above 50"."""


Verdict: TypeAlias = Met | Unmet

MET = Met()


INT64_MAX: Final = 2**63 - 1
MAX_EXPONENT: Final = 9

NOT_A_NUMBER = Unmet(code="not-a-number", reason="is not a number")
_LONGEST: Final = 32
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_NOT_DECIMAL = Unmet(code="not-a-decimal", reason="is not a decimal such as 12.50")
_NEGATIVE = Unmet(code="negative-amount", reason="is negative, and an amount never is")
_OVERFLOW = Unmet(code="amount-overflow", reason="is more than an amount can be")


def is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Whether it is a finite number; true and false are none, though Python counts with them."""
    return type(value) is int or (type(value) is float and isfinite(value))


def read_decimal(value: JsonValue) -> int | Decimal | Unmet:
    """The number exactly; true, false, a text and what is not finite are no numbers."""
    if not is_number(value):
        return NOT_A_NUMBER
    # `repr` gives the shortest digits that read back, as RFC 8785 does; making a Decimal never rounds.
    return value if isinstance(value, int) else Decimal(repr(value))


def read_amount(value: JsonValue, exponent: int) -> int | Unmet:
    """The amount in minor units, such as 1250 for 12.5 with exponent 2.

    Args:
        value: The value of the argument.
        exponent: Decimal places of a minor unit, 0 to 9.
    """
    if not is_number(value):
        return NOT_A_NUMBER
    if value < 0:
        return _NEGATIVE
    # A float's `repr` has the digits of its canonical text, with or without an exponent.
    units = value * power_of_ten(exponent) if isinstance(value, int) else _scale(repr(value), exponent)
    if isinstance(units, Unmet):
        return units
    return units if units <= INT64_MAX else _OVERFLOW


def read_amount_text(text: str, exponent: int) -> int | Unmet:
    """The amount that a decimal text says in minor units, such as 1250 for ``12.50`` with exponent 2."""
    if len(text) > _LONGEST or _DECIMAL.fullmatch(text) is None:
        return _NOT_DECIMAL
    units = _scale(text, exponent)
    if isinstance(units, Unmet):
        return units
    return units if units <= INT64_MAX else _OVERFLOW


def _scale(text: str, exponent: int) -> int | Unmet:
    # In integers: decimal arithmetic would round to the precision of a context.
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    shift = exponent - len(fraction) + int(power or "0")
    if shift < 0:  # the shortest digits have no zero at their end to give away
        return Unmet(code="excess-precision", reason=f"has more than {exponent} decimal places")
    return int(whole + fraction) * power_of_ten(shift)


def write_amount(units: int, exponent: int) -> str:
    """The amount as people write it, such as ``12.50`` for 1250 with exponent 2."""
    if exponent == 0:
        return str(units)
    whole, rest = divmod(units, power_of_ten(exponent))
    return f"{whole}.{rest:0{exponent}}"


def power_of_ten(exponent: int) -> int:
    """How many minor units of this exponent are one, 0 or more decimal places."""
    power: int = 10**exponent
    return power


def same(left: JsonValue, right: JsonValue) -> bool:
    """Whether both have the same canonical bytes; what has none (NaN) is never the same as anything."""
    # Python compares numbers exactly and members without order; it only takes true for 1 and false for 0.
    return left == right and _same_truths(left, right)


def is_certain(value: JsonValue) -> bool:
    """Whether Python's own ``==`` with this value is canonical equality: it holds no truth value, 0 or 1."""
    if isinstance(value, dict):
        return all(map(is_certain, value.values()))
    if isinstance(value, list):
        return all(map(is_certain, value))
    return value not in (0, 1)


def _same_truths(left: JsonValue, right: JsonValue) -> bool:
    """Whether two values that are equal to Python have true and false in the same places."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(_same_truths(one, right[name]) for name, one in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return all(map(_same_truths, left, right))
    return isinstance(left, bool) == isinstance(right, bool)
