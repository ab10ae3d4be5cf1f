"""The limits of a grant: totals of amounts and rates, read, written and charged.

1. A total sums one amount in minor units: one limit, ``{"limit": 100000, "exponent": 2}``, or one for each
   currency, ``{"currency": "payment.currency", "limits": {"EUR": "1000.00"}}``. The argument at that path
   must be exactly one of the codes; decimals follow ISO 4217, for currencies in use.
2. An amount is a number; with ``"text": true`` also a decimal text: digits with at most one point, no sign,
   exponent, spaces or leading zeros.
3. A rate is uses in a window of seconds that opens at the first use; the first use after it opens the next.
   So a span of that length has at most twice the number.
4. A total's argument and its currency are in ``arguments``, not optional and not in a list.

Of charging:

1. A grant pays all charges or none; the first covering grant with everything left pays (design §4.4).
2. An unknown limit has nothing left.
3. A charge is never negative, so that no payment refills a limit.
4. A rate whose window has passed opens anew at this use. Rates are not given back, even if the call was not
   sent.
5. A child task's grant also pays the rates of the grants that it was carved from, as rates are not carved
   (`algebra.carve`). Each way up is a payer of its own.
6. Nothing is taken here: the commit takes what `Paid` names, in its transaction.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.core.scope.path import Items, parse_argument_path, value_at
from taskbound.core.scope.show import bare, quote
from taskbound.core.scope.values import (
    INT64_MAX,
    MAX_EXPONENT,
    MET,
    Mismatch,
    Verdict,
    read_amount,
    read_amount_text,
    write_amount,
)
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.scope.path import ArgumentPath, Place


_NONE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_TWO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
    "SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR "
    "ZMW ZWG"
)
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"

PLACES: Final[Mapping[str, int]] = MappingProxyType(
    {code: places for codes, places in ((_NONE, 0), (_TWO, 2), (_THREE, 3)) for code in codes.split()}
)
"""Decimal places of the smallest unit, by code."""


OPENED: Final = "/opened"
"""The end of the key of the row that holds when a rate's window opened."""
MAX_RATES: Final = 4
MAX_SECONDS: Final = 366 * 86_400

_NO_CURRENCY: Final = Mismatch(code="currency-not-granted", reason="is not a currency that is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A limit on the sum of an amount over all actions that the grant pays for."""

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

    def read(self, value: JsonValue) -> int | Mismatch:
        """Returns the amount in minor units, or why it cannot be counted."""
        if self.text and isinstance(value, str):
            return read_amount_text(value, self.exponent)
        return read_amount(value, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit on uses in a window of time (rule 3)."""

    uses: int
    seconds: int
    key: str
    """The key of the limit, such as ``g0/rate/3600``; beside it stands when the window opened."""

    @property
    def opened_key(self) -> str:
        return self.key + OPENED


def amounts_of(
    totals: tuple[Total, ...], arguments: Mapping[str, JsonValue]
) -> tuple[tuple[Total, int], ...] | Mismatch:
    """Returns the charge of each total that the call concerns, or why it cannot be counted."""
    found: list[tuple[Total, int]] = []
    counted: set[str] = set()
    for total in totals:
        if total.selector is None or value_at(arguments, total.selector.steps) == total.currency:
            amount = total.read(value_at(arguments, total.path.steps))
            if isinstance(amount, Mismatch):
                return amount
            counted.add(total.path.text)
            found.append((total, amount))
    if any(total.path.text not in counted for total in totals):
        return _NO_CURRENCY
    return tuple(found)


def judge_amount(
    totals: tuple[Total, ...], path: ArgumentPath, value: JsonValue, arguments: Mapping[str, JsonValue]
) -> Verdict:
    """Judges the totals at one place, to explain a miss; equivalent to `amounts_of`."""
    codes = [total.currency for total in totals if total.selector == path]
    if codes and value not in codes:
        return _NO_CURRENCY
    for total in totals:
        if total.path == path and (total.selector is None or _names(total, total.selector, arguments)):
            amount = total.read(value)
            if isinstance(amount, Mismatch):
                return amount
    return MET


def _names(total: Total, selector: ArgumentPath, arguments: Mapping[str, JsonValue]) -> bool:
    try:
        return value_at(arguments, selector.steps) == total.currency
    except (KeyError, TypeError):
        return False  # it is missing, and told as such


def write_totals(totals: tuple[Total, ...]) -> dict[str, JsonValue]:
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
    """Returns the canonical form of the rates; a single rate is not in a list."""
    forms: list[JsonValue] = [{"uses": one.uses, "seconds": one.seconds} for one in rates]
    return forms[0] if len(forms) == 1 else forms


def parse_totals(
    value: JsonValue,
    place: Place,
    grant: str,
    arguments: Collection[ArgumentPath],
    optional: Collection[ArgumentPath],
) -> tuple[Total, ...]:
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
        if isinstance(amount, Mismatch):
            raise here.fault(f"`{quote(here.read_text(body))}` {amount.reason}; write it as 1000.00")
        if not 1 <= amount <= MAX_INTEGER:
            raise here.fault(f"must be from 1 to {MAX_INTEGER} of the smallest unit")
        found.append((code, amount))
    if not found:
        raise place.fault("must name a currency")
    return found


def parse_rates(value: JsonValue, place: Place, grant: str) -> tuple[Rate, ...]:
    """Reads a rate, or at most four of different windows."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """An amount that one limit must have left."""

    limit: str
    """The key of a limit, such as ``g0/uses`` or ``g0/total/amount``."""
    amount: int
    """Uses, or minor units of the total's exponent; 0 to 2^63 - 1."""
    exponent: int = 0
    """Decimal places of a minor unit, to write the amount as people do."""

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= INT64_MAX:  # rule 3
            raise ValueError("a charge is from 0 to 2^63 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A grant that covers the action, and its charges."""

    grant: str
    """The id of the grant, such as ``g0``."""
    charges: tuple[Charge, ...]
    """One for each limit of the grant but its rates."""
    rates: tuple[Rate, ...] = ()
    above: tuple[tuple[str, Rate], ...] = ()
    """Rates of grants of tasks above, by their task (rule 5)."""

    def __post_init__(self) -> None:
        """Refuses two charges of one limit, because each is compared alone with what is left."""
        if len({charge.limit for charge in self.charges}) < len(self.charges):
            raise ValueError("a limit is charged once for an action")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Covered(NoTruth):
    """Grants that cover the action; the commit settles which can pay."""

    tool: str
    payers: tuple[Payer, ...]
    """Every grant that covers, in the order of the scope; never empty."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Paid(NoTruth):
    """This grant pays these charges, all at once."""

    grant: str
    charges: tuple[Charge, ...]
    windows: tuple[tuple[str, int], ...] = ()
    """Rows of rates by key, and what each holds from now on (rule 4)."""
    above: tuple[tuple[str, str, int], ...] = ()
    """The same of tasks above: task, key, and what it holds from now on (rule 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A limit with less left than was charged."""

    grant: str
    limit: str
    left: int
    asked: int
    exponent: int = 0

    @property
    def sentence(self) -> str:
        kind, _, argument = self.limit.partition("/")[2].partition("/")
        if kind == "uses":
            return f"grant {self.grant} has no use left"
        if kind == "rate":
            return f"grant {self.grant} has no use left in this window of {argument} seconds"
        left, asked = write_amount(self.left, self.exponent), write_amount(self.asked, self.exponent)
        return f"grant {self.grant} has {left} left for `{bare(argument)}`, and this asks for {asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted(NoTruth):
    """No covering grant has everything left."""

    code: ClassVar[str] = "exhausted"
    shortfalls: tuple[Shortfall, ...]
    """Each limit that falls short, in the order of the grants."""


_NOTHING: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType({})


def pay(
    covered: Covered,
    left: Mapping[str, int],
    now: Instant,
    above: Mapping[str, Mapping[str, int]] = _NOTHING,
) -> Paid | Exhausted:
    """Returns who pays from the locked limits; `left` is by key, `above` by ancestor task and key."""
    shortfalls: list[Shortfall] = []
    for payer in covered.payers:
        missing = _shortfalls(payer, left)
        windows: list[tuple[str, int]] = []
        for rate in payer.rates:
            found = _window(payer, rate, left, now)
            if isinstance(found, Shortfall):
                missing.append(found)
            else:
                windows += found
        higher: list[tuple[str, str, int]] = []
        for task, rate in payer.above:  # rule 5
            found = _window(payer, rate, above.get(task, {}), now)
            if isinstance(found, Shortfall):
                missing.append(found)
            else:
                higher += [(task, key, value) for key, value in found]
        if not missing:
            return Paid(
                grant=payer.grant, charges=payer.charges, windows=tuple(windows), above=tuple(higher)
            )  # rule 1
        shortfalls += missing
    return Exhausted(shortfalls=tuple(shortfalls))


def _window(
    payer: Payer, rate: Rate, left: Mapping[str, int], now: Instant
) -> tuple[tuple[str, int], ...] | Shortfall:
    opened = left.get(rate.opened_key)
    uses = left.get(rate.key, 0) if opened is not None else 0  # rule 2
    if opened is not None and rate.key in left and now >= opened + seconds(rate.seconds):
        opened, uses = now, rate.uses  # rule 4
    if opened is None or uses < 1:
        return Shortfall(grant=payer.grant, limit=rate.key, left=0, asked=1)
    return (rate.key, uses - 1), (rate.opened_key, opened)


def _shortfalls(payer: Payer, left: Mapping[str, int]) -> list[Shortfall]:
    return [
        Shortfall(
            grant=payer.grant,
            limit=charge.limit,
            left=left.get(charge.limit, 0),  # rule 2
            asked=charge.amount,
            exponent=charge.exponent,
        )
        for charge in payer.charges
        if charge.limit not in left or left[charge.limit] < charge.amount
    ]
