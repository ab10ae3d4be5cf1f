"""The limits of a grant: totals of amounts, and rates; how they are read, written and charged.

1. A total adds up one amount in minor units. It is one limit, ``{"limit": 100000, "exponent": 2}``, or one
   for each currency, ``{"currency": "payment.currency", "limits": {"EUR": "1000.00"}}``: the argument at
   that path must be one of the codes, exactly, and the places are those of ISO 4217.
2. An amount is a number. With ``"text": true`` it may also be an exact decimal text, ``12.50``: digits with
   at most one point, no sign, exponent, spaces or leading zeros.
3. A rate is a number of uses in a window of seconds. The window opens at the first use and is as long
   whatever is used in it; the first use after it opens the next. So at most twice the number is
   used in any span of that length.
4. What the total and its currency speak of stands in ``arguments``, is not optional and not in a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.currency import PLACES
from taskbound.core.scope.number import MAX_EXPONENT, read_amount, read_amount_text, write_amount
from taskbound.core.scope.path import Items, parse_argument_path
from taskbound.core.scope.show import quote
from taskbound.core.scope.tree import value_at
from taskbound.core.scope.verdict import MET, Unmet, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.place import Place


OPENED: Final = "/opened"
"""The end of the key of the row that holds when a rate's window opened."""
MAX_RATES: Final = 4
MAX_SECONDS: Final = 366 * 86_400

_NO_CURRENCY: Final = Unmet(code="currency-not-granted", reason="is not a currency that is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A cumulative limit on an amount: the sum over all actions that the grant pays for."""

    path: ArgumentPath
    limit: int
    """In minor units, 1 or more."""
    exponent: int
    """Decimal places of a minor unit, 0 to 9."""
    key: str
    """The key of the limit, such as ``g0/total/amount`` or ``g0/total/amount/EUR``."""
    text: bool = False
    """Whether the amount may be a decimal text."""
    selector: ArgumentPath | None = None
    """Where the currency stands, if the total is of one."""
    currency: str = ""
    """Its code; the total is charged when the call names it."""

    def read(self, value: JsonValue) -> int | Unmet:
        """The amount in minor units, or why it can't be counted."""
        if self.text and isinstance(value, str):
            return read_amount_text(value, self.exponent)
        return read_amount(value, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most so many uses in a window of time (rule 3)."""

    uses: int
    seconds: int
    key: str
    """The key of the limit, such as ``g0/rate/3600``; beside it stands when the window opened."""

    @property
    def opened_key(self) -> str:
        """The key of the row that holds when the window opened."""
        return self.key + OPENED


def amounts_of(
    totals: tuple[Total, ...], arguments: Mapping[str, JsonValue]
) -> tuple[tuple[Total, int], ...] | Unmet:
    """What each total that the call concerns is charged, or what keeps it from being counted."""
    found: list[tuple[Total, int]] = []
    counted: set[str] = set()
    for total in totals:
        if total.selector is None or value_at(arguments, total.selector.steps) == total.currency:
            amount = total.read(value_at(arguments, total.path.steps))
            if isinstance(amount, Unmet):
                return amount
            counted.add(total.path.text)
            found.append((total, amount))
    if any(total.path.text not in counted for total in totals):
        return _NO_CURRENCY
    return tuple(found)


def judge_amount(
    totals: tuple[Total, ...], path: ArgumentPath, value: JsonValue, arguments: Mapping[str, JsonValue]
) -> Verdict:
    """The verdict of the totals on one place, for the words of a miss; the twin of `amounts_of`."""
    codes = [total.currency for total in totals if total.selector == path]
    if codes and value not in codes:
        return _NO_CURRENCY
    for total in totals:
        if total.path == path and (total.selector is None or _names(total, total.selector, arguments)):
            amount = total.read(value)
            if isinstance(amount, Unmet):
                return amount
    return MET


def _names(total: Total, selector: ArgumentPath, arguments: Mapping[str, JsonValue]) -> bool:
    try:
        return value_at(arguments, selector.steps) == total.currency
    except (KeyError, TypeError):
        return False  # it is missing, and told as such


def write_totals(totals: tuple[Total, ...]) -> dict[str, JsonValue]:
    """The totals as the canonical form has them."""
    form: dict[str, JsonValue] = {}
    for total in totals:
        text = total.path.text
        body: dict[str, JsonValue] = {"text": True} if total.text else {}
        if total.selector is None:
            form[text] = {"limit": total.limit, "exponent": total.exponent, **body}
        else:
            limits: dict[str, JsonValue] = {
                one.currency: write_amount(one.limit, one.exponent)
                for one in totals
                if one.path == total.path
            }
            form[text] = {"currency": total.selector.text, "limits": limits, **body}
    return form


def write_rates(rates: tuple[Rate, ...]) -> JsonValue:
    """The rates as the canonical form has them; one stands by itself."""
    forms: list[JsonValue] = [{"uses": one.uses, "seconds": one.seconds} for one in rates]
    return forms[0] if len(forms) == 1 else forms


def parse_totals(
    value: JsonValue,
    place: Place,
    grant: str,
    arguments: Collection[ArgumentPath],
    optional: Collection[ArgumentPath],
) -> tuple[Total, ...]:
    """The totals of a grant, by path and currency."""
    totals: dict[str, Total] = {}
    for name, body in sorted(place.read_object(value).items()):
        here = place.member(name)
        path = _read_path(name, here, arguments, optional)
        key = f"{grant}/total/{path}"
        members = here.read_object(body)
        aware = "currency" in members or "limits" in members
        known = ("currency", "limits") if aware else ("limit", "exponent")
        here.read_object(body, required=known, allowed=("text",))
        text = _read_text(members, here)
        if aware:
            where = here.member("currency")
            selector = _read_path(where.read_text(members["currency"]), where, arguments, optional)
            found = _read_limits(members["limits"], here.member("limits"))
            made = [
                Total(path=path, limit=limit, exponent=PLACES[code], key=f"{key}/{code}", text=text,
                      selector=selector, currency=code)
                for code, limit in found
            ]  # fmt: skip  # one total
        else:
            limit = here.member("limit").read_integer(members["limit"], least=1, most=MAX_INTEGER)
            exponent = here.member("exponent").read_integer(members["exponent"], least=0, most=MAX_EXPONENT)
            made = [Total(path=path, limit=limit, exponent=exponent, key=key, text=text)]
        for total in made:
            if total.key in totals:
                raise here.fault("shares its limit with another one")
            totals[total.key] = total
    return tuple(sorted(totals.values(), key=lambda one: (one.path, one.currency)))


def _read_path(
    text: str, place: Place, arguments: Collection[ArgumentPath], optional: Collection[ArgumentPath]
) -> ArgumentPath:
    path = parse_argument_path(text, place)
    if path not in arguments:  # rule 4
        raise place.fault('limits an argument that has no constraint in `arguments`; {"any": true} is one')
    if Items.EACH in path.steps:
        raise place.fault("limits each item of a list; a total is of one value, by a path without `[*]`")
    if path in optional or any(path.is_below(one) for one in optional):
        raise place.fault("limits an argument that is optional; what is absent can't be counted")
    return path


def _read_text(members: Mapping[str, JsonValue], place: Place) -> bool:
    if "text" not in members:
        return False
    if members["text"] is not True:
        raise place.member("text").fault("must be true, or left out")
    return True


def _read_limits(value: JsonValue, place: Place) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for code, body in sorted(place.read_object(value).items()):
        here = place.member(code)
        if code not in PLACES:
            raise here.fault("is not the code of a currency in use, such as EUR (ISO 4217)")
        amount = read_amount_text(here.read_text(body), PLACES[code])
        if isinstance(amount, Unmet):
            raise here.fault(f"`{quote(here.read_text(body))}` {amount.reason}; write it as 1000.00")
        if not 1 <= amount <= MAX_INTEGER:
            raise here.fault(f"must be from 1 to {MAX_INTEGER} of the smallest unit")
        found.append((code, amount))
    if not found:
        raise place.fault("must name a currency")
    return found


def parse_rates(value: JsonValue, place: Place, grant: str) -> tuple[Rate, ...]:
    """The rates of a grant: one, or a list of at most four of different windows."""
    items = place.read_list(value, most=MAX_RATES) if isinstance(value, list) else [value]
    if not items:
        raise place.fault("must not be empty; leave it out")
    rates: dict[int, Rate] = {}
    for index, item in enumerate(items):
        here = place.item(index) if isinstance(value, list) else place
        members = here.read_object(item, required=("uses", "seconds"), allowed=())
        uses = here.member("uses").read_integer(members["uses"], least=1, most=MAX_INTEGER)
        seconds = here.member("seconds").read_integer(members["seconds"], least=1, most=MAX_SECONDS)
        if seconds in rates:
            raise here.fault("has the window of another one")
        rates[seconds] = Rate(uses=uses, seconds=seconds, key=f"{grant}/rate/{seconds}")
    return tuple(one for _, one in sorted(rates.items()))
