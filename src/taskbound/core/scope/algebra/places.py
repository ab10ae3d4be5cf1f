"""Decides whether all values that one grant permits at a place are permitted by another, and compares limits.

Of `place_within`:

1. *Yes* holds for every schema. Defaults are unknown, so a member that one grant leaves at its default must
   be left so by the other, or be unconstrained there.
2. Each requirement of the wider place is shown by itself; a gap names the path where it was not shown.
3. A few known values are tried out instead.

Of `shared_limits`: uses and totals are the smaller ones, and what one pair of grants gets is gone for the
next. Totals of an amount can be joined if both have no currency or use the same currency argument. Rates of
different windows are kept side by side; a rate goes to one pair only, because two could each use all of it.

Of `takes`: a limit of the wider grant must be bounded by the narrower one. An amount must be countable by the
wider grant, in its currency and decimal places. n uses per window w are at most n · (⌈W / w⌉ + 1) uses in a
window W that opens at another time; only n if the whole grant, and nothing else, is charged to it and W = w.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import CONTAINED, Contained, Kind, NotContained
from taskbound.core.scope.limits import write_rates, write_totals
from taskbound.core.scope.path import meets
from taskbound.core.scope.values import INT64_MAX, Match, Mismatch, power_of_ten
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.limits import Rate, Total
    from taskbound.core.scope.path import ArgumentPath, Node

    Form = dict[str, JsonValue]
    Left = tuple[dict[str, int], dict[str, int]]


_OBJECT: Final = frozenset({Kind.OBJECT})
_LIST: Final = frozenset({Kind.LIST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(NoTruth):
    """Why one grant is not shown to be within another."""

    path: str
    """The path at which it was found, as a scope writes it; empty for the arguments as a whole."""
    reason: str
    """Plain words that follow the path, such as "its largest number is above the other's"."""

    @property
    def sentence(self) -> str:
        return f"`{self.path}`: {self.reason}" if self.path else self.reason


Shown: TypeAlias = Contained | Gap


def place_within(child: Node, parent: Node) -> Shown:
    values = None if child.rule is None else child.rule.choices()
    if values is not None:
        return _values_within(child, values, parent)  # rule 3
    for answer in _asked(child, parent):
        if isinstance(answer, Gap):
            return answer
    return CONTAINED


def members_within(child: Node, parent: Node) -> Iterator[Gap]:
    for name in sorted(child.members.keys() | parent.members.keys()):
        answer = _member_within(name, child, parent)
        if isinstance(answer, Gap):
            yield answer
    if parent.closed and not child.closed:
        yield Gap(path=child.path.text, reason="it leaves other arguments open, and the other doesn't")


def _asked(child: Node, parent: Node) -> Iterator[Shown]:
    if parent.rule is not None:
        yield _rule_within(child, parent.rule)
    if parent.items is not None:
        yield _items_within(child, parent.items)
    if parent.members:
        if not child.members and not _is_always(child, _OBJECT):
            yield Gap(path=child.path.text, reason="it need not be an object")
        else:
            yield from members_within(child, parent)


def _rule_within(child: Node, rule: Constraint) -> Shown:
    if child.rule is None:
        if rule.permits_all:
            return CONTAINED
        return Gap(path=child.path.text, reason="the whole value is constrained only in the other")
    match child.rule.within(rule):
        case NotContained(reason=reason):
            return Gap(path=child.path.text, reason=reason)
        case Contained() as contained:
            return contained


def _items_within(child: Node, items: Node) -> Shown:
    if child.items is not None:
        return place_within(child.items, items)
    if not _is_always(child, _LIST):
        return Gap(path=child.path.text, reason="it need not be a list")
    if _takes_all(items):
        return CONTAINED
    return Gap(path=items.path.text, reason="each item is constrained only in the other")


def _member_within(name: str, child: Node, parent: Node) -> Shown:
    mine, theirs = child.members.get(name), parent.members.get(name)
    never = mine is not None and mine.rule is not None and not mine.rule.kinds
    if theirs is None:
        if mine is not None and parent.closed and not never:
            return Gap(path=mine.path.text, reason="the other doesn't mention it")
        return CONTAINED
    if theirs.required and (mine is None or not mine.required):
        return Gap(path=theirs.path.text, reason="it may be left out, and the other asks for it")
    if mine is not None:
        return place_within(mine, theirs)
    if _takes_all(theirs):
        return CONTAINED
    what = "it may be left at its default" if child.closed else "it may be anything"
    return Gap(path=theirs.path.text, reason=f"{what}, and the other constrains it")  # rule 1


def _values_within(child: Node, values: tuple[JsonValue, ...], parent: Node) -> Shown:
    # A place with a rule of its own is open below, so that no default is asked for; in the parent's, a
    # schema could only let more pass.
    for value in values:
        if isinstance(meets(child, value, None), Match) and not isinstance(meets(parent, value, None), Match):
            return Gap(path=child.path.text, reason="it permits a value that the other doesn't")
    return CONTAINED


def _is_always(node: Node, kinds: frozenset[Kind]) -> bool:
    if node.rule is not None and node.rule.kinds <= kinds:
        return True
    return kinds == (_LIST if node.items is not None else _OBJECT) and not node.is_leaf


def _takes_all(node: Node) -> bool:
    return node.is_leaf and node.rule is not None and node.rule.permits_all


class _NoShareError(Exception):
    pass


class SharedLimits:
    """The limits that one pair of grants gets."""

    def __init__(self, one: Grant, two: Grant, left: Left) -> None:
        """Computes the limits without taking them; raises _NoShareError if nothing is left."""
        self._grants = (one, two)
        self._left = left
        self._uses = self._smallest_uses()
        self._totals = self._smaller_totals()
        self._rates = self._all_rates()

    @property
    def form(self) -> Form:
        form: Form = {} if self._uses is None else {"uses": self._uses}
        if self._totals:
            form["total"] = write_totals(self._totals)
        if self._rates:
            form["rate"] = write_rates(self._rates)
        return form

    def take(self) -> None:
        given = {(one.path, one.currency): one for one in self._totals}
        for grant, left in zip(self._grants, self._left, strict=True):
            if grant.uses is not None and self._uses is not None:
                left[grant.uses_key] -= self._uses
            for total in grant.totals:
                share = given.get((total.path, total.currency))
                if share is not None:
                    left[total.key] -= share.limit * power_of_ten(total.exponent - share.exponent)
            for rate in grant.rates:
                left[rate.key] = 0

    def _smallest_uses(self) -> int | None:
        known = [
            left[grant.uses_key]
            for grant, left in zip(self._grants, self._left, strict=True)
            if grant.uses is not None
        ]
        if known and min(known) <= 0:
            raise _NoShareError("nothing is left of a limit")
        return min(known) if known else None

    def _smaller_totals(self) -> tuple[Total, ...]:
        one, two = (self._kept(grant, left) for grant, left in zip(self._grants, self._left, strict=True))
        found: dict[tuple[str, str], Total] = {}
        for path in sorted({total.path.text for total in (*one, *two)}):
            sides = [[total for total in some if total.path.text == path] for some in (one, two)]
            if not all(sides):
                found.update({(path, total.currency): total for some in sides for total in some})
                continue
            if len({total.selector for some in sides for total in some}) > 1:
                raise _NoShareError(f"the totals of `{path}` can't be joined")
            theirs = {total.currency: total for total in sides[1]}
            met = [_smaller(total, theirs[total.currency]) for total in sides[0] if total.currency in theirs]
            if not met:
                raise _NoShareError(f"no currency of `{path}` is in both")
            found.update({(path, total.currency): total for total in met})
        if any(total.limit <= 0 for total in found.values()):
            raise _NoShareError("nothing is left of a limit")
        return tuple(found.values())

    @staticmethod
    def _kept(grant: Grant, left: dict[str, int]) -> list[Total]:
        return [replace(total, limit=left[total.key]) for total in grant.totals]

    def _all_rates(self) -> tuple[Rate, ...]:
        found: dict[int, Rate] = {}
        for grant, left in zip(self._grants, self._left, strict=True):
            for rate in grant.rates:
                if left[rate.key] <= 0:
                    raise _NoShareError("nothing is left of a limit")
                known = found.get(rate.seconds, rate)
                found[rate.seconds] = min(known, rate, key=_rate_uses)
        return tuple(one for _, one in sorted(found.items()))


def shared_limits(one: Grant, two: Grant, left: Left) -> SharedLimits | str:
    """Returns what both grants have left, or why there is nothing."""
    try:
        return SharedLimits(one, two, left)
    except _NoShareError as error:
        return str(error)


def _smaller(one: Total, two: Total) -> Total:
    exponent = min(one.exponent, two.exponent)
    limit = min(total.limit // power_of_ten(total.exponent - exponent) for total in (one, two))
    return replace(one, exponent=exponent, limit=limit, text=one.text and two.text)


def _rate_uses(rate: Rate) -> int:
    return rate.uses


Takes: TypeAlias = "Mapping[str, int] | Gap"
"""By limit of the wider grant: how much; or what keeps it from being known."""


def takes(child: Grant, parent: Grant, *, whole: bool) -> Takes:
    """Returns the most that the child may take of each limit; `whole`: this parent pays for all."""
    most: dict[str, int] = {}
    if parent.uses is not None:
        if child.uses is None:
            return Gap(path="", reason="its uses are not limited, and the other's are")
        most[parent.uses_key] = child.uses
    for total in parent.totals:
        amount = _amount(child, total, _codes(parent, total))
        if isinstance(amount, Gap):
            return amount
        most[total.key] = amount
    for rate in parent.rates:
        uses = _uses(child, rate, whole=whole)
        if isinstance(uses, Gap):
            return uses
        most[rate.key] = uses
    return most


def _codes(parent: Grant, total: Total) -> frozenset[str]:
    return frozenset(one.currency for one in parent.totals if one.path == total.path)


def _amount(child: Grant, total: Total, codes: frozenset[str]) -> int | Gap:
    path = total.path.text
    own = [one for one in child.totals if one.path == total.path]
    said = _said(child, total, own)
    if said is not None and not said <= codes:
        return Gap(path=path, reason="it may be in a currency that the other doesn't name")
    if said is not None and total.currency not in said:
        return 0
    return _counted(total, own) if own else _uncounted(child, total)


def _counted(total: Total, own: list[Total]) -> int | Gap:
    some = [one for one in own if _concerns(one, total)]
    if any(one.exponent > total.exponent for one in some):
        return Gap(path=total.path.text, reason="it counts more decimal places than the other")
    if any(one.text for one in own) and not total.text:
        return Gap(path=total.path.text, reason="it may be a text, and the other counts numbers")
    return sum(one.limit * power_of_ten(total.exponent - one.exponent) for one in some)


def _uncounted(child: Grant, total: Total) -> int | Gap:
    amounts = _known(child, total)
    if amounts is None:
        return Gap(path=total.path.text, reason="its amounts add up without a total, and the other has one")
    if child.uses is None:
        return Gap(path=total.path.text, reason="its uses are not limited, and the other has a total")
    return min(max(amounts) * child.uses, INT64_MAX + 1)


def _said(child: Grant, total: Total, own: list[Total]) -> frozenset[str] | None:
    if total.selector is None:
        return None
    if own and all(one.selector == total.selector for one in own):
        return frozenset(one.currency for one in own)
    values = _values(child, total.selector)
    return frozenset("?" if not isinstance(one, str) else one for one in values or ("?",))


def _concerns(own: Total, total: Total) -> bool:
    return total.selector is None or own.selector != total.selector or own.currency == total.currency


def _known(child: Grant, total: Total) -> list[int] | None:
    values = _values(child, total.path)
    if not values:
        return None
    amounts: list[int] = []
    for value in values:
        amount = total.read(value)
        if isinstance(amount, Mismatch):
            return None
        amounts.append(amount)
    return amounts


def _values(child: Grant, path: ArgumentPath) -> tuple[JsonValue, ...] | None:
    rule = dict(child.arguments).get(path)
    return None if rule is None else rule.choices()


def _uses(child: Grant, rate: Rate, *, whole: bool) -> int | Gap:
    bounds = [own.uses * (-(-rate.seconds // own.seconds) + 1) for own in child.rates]
    if child.uses is not None:
        bounds.append(child.uses)
    if bounds and min(bounds) <= rate.uses:
        return min(bounds)
    together = any(own.seconds == rate.seconds and own.uses <= rate.uses for own in child.rates)
    if whole and together:
        return rate.uses
    if not bounds:
        return Gap(path="", reason=f"it has no rate, and the other has one of {rate.seconds} seconds")
    return Gap(path="", reason=f"it may be used more often within {rate.seconds} seconds than the other")
