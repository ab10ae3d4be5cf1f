"""Verdicts and values of the scope language: numbers, amounts, and equality of JSON values.

A reason never repeats the value, which ``show`` renders without secrets. Values are equal by canonical bytes
(RFC 8785): 1 and 1.0 are equal, 1 and ``true`` or ``"1"`` are not; texts are not normalized.
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
class Match(NoTruth):
    """The constraint permits the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch(NoTruth):
    """The constraint does not permit the value, or cannot judge it."""

    code: str
    """A stable word in kebab-case, such as ``above-max``."""
    reason: str
    """Plain words, such as "is above 50"."""


Verdict: TypeAlias = Match | Mismatch

MET = Match()


INT64_MAX: Final = 2**63 - 1
MAX_EXPONENT: Final = 9

NOT_A_NUMBER = Mismatch(code="not-a-number", reason="is not a number")
_LONGEST: Final = 32
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_NOT_DECIMAL = Mismatch(code="not-a-decimal", reason="is not a decimal such as 12.50")
_NEGATIVE = Mismatch(code="negative-amount", reason="is negative, and an amount never is")
_OVERFLOW = Mismatch(code="amount-overflow", reason="is more than an amount can be")


def is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Returns whether it is a finite number; a bool is not."""
    return type(value) is int or (type(value) is float and isfinite(value))


def read_decimal(value: JsonValue) -> int | Decimal | Mismatch:
    """Returns the exact number; a bool, a text or an infinity is not a number."""
    if not is_number(value):
        return NOT_A_NUMBER
    # `repr` gives the shortest digits that read back, as RFC 8785 does; making a Decimal never rounds.
    return value if isinstance(value, int) else Decimal(repr(value))


def read_amount(value: JsonValue, exponent: int) -> int | Mismatch:
    """Returns the amount in minor units, 1250 for 12.5 with exponent 2 (0 to 9 decimals)."""
    if not is_number(value):
        return NOT_A_NUMBER
    if value < 0:
        return _NEGATIVE
    # A float's `repr` has the digits of its canonical text, with or without an exponent.
    units = value * power_of_ten(exponent) if isinstance(value, int) else _scale(repr(value), exponent)
    if isinstance(units, Mismatch):
        return units
    return units if units <= INT64_MAX else _OVERFLOW


def read_amount_text(text: str, exponent: int) -> int | Mismatch:
    """Returns the amount of a decimal text in minor units, 1250 for ``12.50`` with exponent 2."""
    if len(text) > _LONGEST or _DECIMAL.fullmatch(text) is None:
        return _NOT_DECIMAL
    units = _scale(text, exponent)
    if isinstance(units, Mismatch):
        return units
    return units if units <= INT64_MAX else _OVERFLOW


def _scale(text: str, exponent: int) -> int | Mismatch:
    # In integers: decimal arithmetic would round to the precision of a context.
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    shift = exponent - len(fraction) + int(power or "0")
    if shift < 0:  # the shortest digits have no zero at their end to give away
        return Mismatch(code="excess-precision", reason=f"has more than {exponent} decimal places")
    return int(whole + fraction) * power_of_ten(shift)


def write_amount(units: int, exponent: int) -> str:
    """Returns the amount as a decimal text, ``12.50`` for 1250 with exponent 2."""
    if exponent == 0:
        return str(units)
    whole, rest = divmod(units, power_of_ten(exponent))
    return f"{whole}.{rest:0{exponent}}"


def power_of_ten(exponent: int) -> int:
    """Returns the number of minor units in a unit, by its number of decimals."""
    power: int = 10**exponent
    return power


def same(left: JsonValue, right: JsonValue) -> bool:
    """Returns whether both have equal canonical bytes; NaN equals nothing."""
    # Python compares numbers exactly and members without order; it only takes true for 1 and false for 0.
    return left == right and _same_truths(left, right)


def is_certain(value: JsonValue) -> bool:
    """Returns whether ``==`` with this value is canonical equality: it holds no bool, 0 or 1."""
    if isinstance(value, dict):
        return all(map(is_certain, value.values()))
    if isinstance(value, list):
        return all(map(is_certain, value))
    return value not in (0, 1)


def _same_truths(left: JsonValue, right: JsonValue) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return all(_same_truths(one, right[name]) for name, one in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return all(map(_same_truths, left, right))
    return isinstance(left, bool) == isinstance(right, bool)
