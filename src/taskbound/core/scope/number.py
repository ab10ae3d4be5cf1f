"""Numbers read exactly: a value as a decimal, and an amount as an integer of minor units.

The decimal of a number is that of its canonical text (RFC 8785 §3.2.2.3): the shortest
that reads back as the same number. So 0.1 is one tenth, and 1, 1.0 and 1e0 are one.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.verdict import Unmet

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

__all__ = ["INT64_MAX", "MAX_EXPONENT", "NOT_A_NUMBER", "read_amount", "read_decimal", "write_amount"]

INT64_MAX: Final = 2**63 - 1
MAX_EXPONENT: Final = 9

NOT_A_NUMBER = Unmet(code="not-a-number", reason="is not a number")
_NEGATIVE = Unmet(code="negative-amount", reason="is negative, and an amount never is")
_OVERFLOW = Unmet(code="amount-overflow", reason="is more than an amount can be")


def read_decimal(value: JsonValue) -> int | Decimal | Unmet:
    """The number exactly; true, false, a text and what is not finite are no numbers."""
    if type(value) is int:
        return value
    if type(value) is float and math.isfinite(value):
        # `repr` gives the shortest digits that read back, as RFC 8785 does; making a Decimal never rounds.
        return Decimal(repr(value))
    return NOT_A_NUMBER


def read_amount(value: JsonValue, exponent: int) -> int | Unmet:
    """The amount in minor units, such as 1250 for 12.5 with exponent 2.

    Args:
        value: The value of the argument.
        exponent: Decimal places of a minor unit, 0 to 9.
    """
    number = read_decimal(value)
    if isinstance(number, Unmet):
        return number
    if number < 0:
        return _NEGATIVE
    units = number * _power(exponent) if isinstance(number, int) else _scale(number, exponent)
    if isinstance(units, Unmet):
        return units
    return units if units <= INT64_MAX else _OVERFLOW


def _scale(number: Decimal, exponent: int) -> int | Unmet:
    # In integers: decimal arithmetic would round to the precision of a context.
    _, digits, power = number.as_tuple()
    if not isinstance(power, int):
        return NOT_A_NUMBER
    units = int("".join(map(str, digits)))
    shift = power + exponent
    if shift >= 0:
        return units * _power(shift)
    units, rest = divmod(units, _power(-shift))
    if rest:
        return Unmet(code="excess-precision", reason=f"has more than {exponent} decimal places")
    return units


def write_amount(units: int, exponent: int) -> str:
    """The amount as people write it, such as ``12.50`` for 1250 with exponent 2."""
    if exponent == 0:
        return str(units)
    whole, rest = divmod(units, _power(exponent))
    return f"{whole}.{rest:0{exponent}}"


def _power(exponent: int) -> int:
    power: int = 10**exponent
    return power
