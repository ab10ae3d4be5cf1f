"""What a task used of its grants since it began, including removed grants.

1. An entry covers the calls of one grant at one place of a scope and only grows.
2. It counts against the grant with the same calls, at its place if possible, else against each. The excess,
   and entries of removed grants, count against every grant not shown to be disjoint.
3. Money is converted to the new total's decimal places, rounded up; only currencies that one argument names
   are distinct.
4. A rate's window is kept until it ends.
5. Above 64 entries without a grant, or 64 KiB of them, they are merged per tool and count against all its
   grants.
6. A record names up to 8 KiB of entries, above that one digest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import LIMITS, Limits, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.scope import Grant, parse_scope
from taskbound.core.scope.algebra.witness import are_apart
from taskbound.core.scope.grant import counted_limits
from taskbound.core.scope.values import INT64_MAX, power_of_ten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.core.scope.limits import Total
    from taskbound.core.task.values import Task


MOST: Final = 64
"""Entries that are kept of grants that are gone (rule 5)."""
LARGEST: Final = 65_536
"""Bytes of them (rule 5)."""
_NAMED: Final = 8_192
"""Characters of entries that a record names (rule 6)."""
_READ: Final = Limits(size=4 * LIMITS.size)
"""A grant can be almost as large as any document, and an entry a little larger."""

Amount: TypeAlias = "tuple[str, str, str, int]"
"""A sum of money, as its total says it: path of the amount, path of the currency, its code, its places."""
Window: TypeAlias = "tuple[Instant, int]"
"""When the window of a rate opened, and how often it was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUsage:
    """What was used of the calls of one grant."""

    place: str
    """The id of the grant, such as `g0`; empty for an entry of a whole tool (rule 5)."""
    calls: Grant
    """Which calls, without limits."""
    uses: int = 0
    money: Mapping[Amount, int] = field(default_factory=dict)
    """In minor units."""
    windows: Mapping[int, Window] = field(default_factory=dict)
    """By seconds of a rate."""

    @property
    def key(self) -> tuple[str, bytes]:
        return self.place, canonical(self.calls.coverage())

    @property
    def is_nothing(self) -> bool:
        return not (self.uses or self.money or self.windows)


def account(task: Task, unspent: Mapping[str, int], now: Instant) -> dict[tuple[str, bytes], GrantUsage]:
    """All use of the task by entry, also of unused current grants; `unspent` is the remainder by limit."""
    entries = {one.key: replace(one, windows=_lasting(one.windows, now)) for one in task.spent}
    given = counted_limits(task.scope)
    for limit, more in task.over:
        given[limit] = given.get(limit, 0) + more
    for grant in task.scope.grants:
        one = spent_of(grant, given, unspent)
        before = entries.get(one.key)
        entries[one.key] = one if before is None else _together(before, one)  # 1
    return entries


def spent_of(grant: Grant, given: Mapping[str, int], unspent: Mapping[str, int]) -> GrantUsage:
    return GrantUsage(
        place=grant.id,
        calls=replace(grant, uses=None, totals=(), rates=()),
        uses=_since(given, unspent, grant.uses_key),
        money={_says(one): _since(given, unspent, one.key) for one in grant.totals},
        windows={
            rate.seconds: (Instant(unspent[rate.opened_key]), max(0, rate.uses - unspent.get(rate.key, 0)))
            for rate in grant.rates
            if rate.opened_key in unspent
        },
    )


def kept(entries: Iterable[GrantUsage], scope: Scope, now: Instant) -> tuple[GrantUsage, ...]:
    """The entries that must be stored with a task in this scope."""
    calls = {canonical(grant.coverage()) for grant in scope.grants}
    here: list[GrantUsage] = []
    gone: list[GrantUsage] = []
    for one in entries:
        money = {says: amount for says, amount in one.money.items() if amount}
        still = replace(one, money=money, windows=_lasting(one.windows, now))
        if not still.is_nothing:
            (here if still.key[1] in calls else gone).append(still)
    if len(gone) > MOST or sum(len(one.key[1]) for one in gone) > LARGEST:
        gone = _by_tool(gone)
    return tuple(sorted((*here, *gone), key=lambda one: one.key))


def heirs(entries: Iterable[GrantUsage], scope: Scope) -> dict[str, list[GrantUsage]]:
    calls = {grant.id: canonical(grant.coverage()) for grant in scope.grants}
    same: dict[str, list[GrantUsage]] = {name: [] for name in calls}
    stray: list[GrantUsage] = []
    for one in entries:
        place, mine = one.key
        found = [place] if calls.get(place) == mine else [name for name, its in calls.items() if its == mine]
        for name in found:
            same[name].append(one)
        if not found:
            stray.append(one)
    beyond = [_beyond(grant, used_of(grant, same[grant.id])) for grant in scope.grants]
    stray += [one for one in beyond if not one.is_nothing]
    return {
        grant.id: same[grant.id]
        + [one for one in stray if one.calls is not grant and not are_apart(one.calls, grant)]
        for grant in scope.grants
    }


def used_of(grant: Grant, entries: Iterable[GrantUsage]) -> dict[str, int]:
    """The use per limit of the grant, without rates: 0 to 2^63 - 1."""
    known = tuple(entries)
    used: dict[str, int] = {}
    if grant.uses is not None:
        used[grant.uses_key] = sum(one.uses for one in known)
    for total in grant.totals:
        used[total.key] = sum(
            _in_units_of(total.exponent, places, spent)
            for one in known
            for (path, selector, currency, places), spent in one.money.items()
            if path == total.path.text and not _is_other_money(total, selector, currency)
        )
    return {limit: min(amount, INT64_MAX) for limit, amount in used.items()}


def spent_text(one: GrantUsage) -> str:
    """The text form: canonical JSON with amounts as texts, because they may have 63 bits."""
    money: list[JsonValue] = [[*says, str(amount)] for says, amount in sorted(one.money.items())]
    rates: list[JsonValue] = [
        [length, str(opened), str(used)] for length, (opened, used) in sorted(one.windows.items())
    ]
    value: dict[str, JsonValue] = {"place": one.place, "calls": one.calls.coverage(), "uses": str(one.uses)}
    return canonical({**value, "money": money, "rates": rates}).decode()


def spent_words(entries: Iterable[GrantUsage]) -> tuple[str, ...]:
    """The entries for a record, or one digest of them."""
    every = tuple(map(spent_text, entries))
    if sum(map(len, every)) <= _NAMED:
        return every
    return (sha256(canonical(list(every))).hexdigest(),)


def read_spent(text: str) -> GrantUsage:
    value = parse_object(text.encode(), limits=_READ)
    money: dict[Amount, int] = {}
    for path, selector, currency, places, amount in _rows(value["money"]):
        money[str(path), str(selector), str(currency), int(str(places))] = int(str(amount))
    windows = {
        int(str(length)): (Instant(int(str(opened))), int(str(used)))
        for length, opened, used in _rows(value["rates"])
    }
    calls = replace(parse_scope({"grants": [value["calls"]]}).grants[0], id=str(value["place"]))
    uses = int(str(value["uses"]))
    return GrantUsage(place=calls.id, calls=calls, uses=uses, money=money, windows=windows)


def _rows(value: JsonValue) -> list[list[JsonValue]]:
    return [row for row in value if isinstance(row, list)] if isinstance(value, list) else []


def _since(given: Mapping[str, int], unspent: Mapping[str, int], limit: str) -> int:
    return max(0, given.get(limit, 0) - unspent.get(limit, 0))


def _together(before: GrantUsage, one: GrantUsage) -> GrantUsage:
    money: defaultdict[Amount, int] = defaultdict(int, before.money)
    for says, amount in one.money.items():
        money[says] = min(INT64_MAX, money[says] + amount)
    windows = dict(before.windows)
    for length, window in one.windows.items():
        windows[length] = max(window, windows.get(length, window))
    uses = min(INT64_MAX, before.uses + one.uses)
    return replace(one, uses=uses, money=dict(money), windows=windows)


def _lasting(windows: Mapping[int, Window], now: Instant) -> dict[int, Window]:
    return {
        length: (opened, used)
        for length, (opened, used) in windows.items()
        if used and now < opened + seconds(length)
    }


def _by_tool(entries: Iterable[GrantUsage]) -> list[GrantUsage]:
    whole: dict[str, GrantUsage] = {}
    for one in entries:
        name = one.calls.tool
        if name not in whole:
            calls = replace(parse_scope({"grants": [{"tool": name, "others": "any"}]}).grants[0], id="")
            whole[name] = GrantUsage(place="", calls=calls)
        before = whole[name]
        windows = dict(before.windows)
        for length, (opened, used) in one.windows.items():
            last, more = windows.get(length, (opened, 0))
            windows[length] = (max(last, opened), used + more)
        both = _together(replace(before, windows={}), replace(one, windows={}))
        whole[name] = replace(before, uses=both.uses, money=both.money, windows=windows)
    return list(whole.values())


def _beyond(grant: Grant, used: Mapping[str, int]) -> GrantUsage:
    return GrantUsage(
        place=grant.id,
        calls=grant,
        uses=max(0, used.get(grant.uses_key, 0) - (grant.uses or 0)),
        money={_says(one): used[one.key] - one.limit for one in grant.totals if used[one.key] > one.limit},
    )


def _says(total: Total) -> Amount:
    selector = total.selector.text if total.selector is not None else ""
    return total.path.text, selector, total.currency, total.exponent


def _in_units_of(exponent: int, places: int, spent: int) -> int:
    if exponent >= places:
        return spent * power_of_ten(exponent - places)
    return -(-spent // power_of_ten(places - exponent))


def _is_other_money(total: Total, selector: str, currency: str) -> bool:
    return (
        bool(selector)
        and total.selector is not None
        and selector == total.selector.text
        and currency != total.currency
    )
