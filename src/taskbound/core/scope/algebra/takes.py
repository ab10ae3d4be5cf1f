"""The most that a grant may take of the limits of a grant that contains it.

1. What is limited in the wider grant must be limited in the narrower one, or be bounded by it: what
   the one takes without bound, the other can't give.
2. An amount that the wider grant counts must be one that it can read, in a currency that it names: the
   narrower one counts it too, with no more decimal places, or permits a few amounts that are known.
3. A rate bounds what is used in any window: n in windows of w seconds are at most n · (⌈W / w⌉ + 1)
   in a window of W that opens at another time. Where all of the narrower grant, and nothing else, is
   charged to the wider one and the windows are as long, both open together and n is enough; then the
   whole rate is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.scope.algebra.places import Gap
from taskbound.core.scope.number import INT64_MAX, power_of_ten
from taskbound.core.scope.verdict import Unmet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.limits import Rate, Total
    from taskbound.core.scope.path import ArgumentPath


Takes: TypeAlias = "Mapping[str, int] | Gap"
"""By limit of the wider grant: how much; or what keeps it from being known."""


def takes(child: Grant, parent: Grant, *, whole: bool) -> Takes:
    """How much of each limit of the parent the child may take in all.

    Args:
        child: The narrower grant.
        parent: One that contains it.
        whole: Whether all that the child permits is charged to this parent.
    """
    most: dict[str, int] = {}
    if parent.uses is not None:
        if child.uses is None:
            return Gap(path="", reason="its uses are not limited, and the other's are")  # rule 1
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
    """The currencies in which the parent counts this amount."""
    return frozenset(one.currency for one in parent.totals if one.path == total.path)


def _amount(child: Grant, total: Total, codes: frozenset[str]) -> int | Gap:
    """The most that may be charged to one total."""
    path = total.path.text
    own = [one for one in child.totals if one.path == total.path]
    said = _said(child, total, own)
    if said is not None and not said <= codes:
        return Gap(path=path, reason="it may be in a currency that the other doesn't name")
    if said is not None and total.currency not in said:
        return 0
    return _counted(total, own) if own else _uncounted(child, total)


def _counted(total: Total, own: list[Total]) -> int | Gap:
    """What the child's own totals let it take."""
    some = [one for one in own if _concerns(one, total)]
    if any(one.exponent > total.exponent for one in some):
        return Gap(path=total.path.text, reason="it counts more decimal places than the other")
    if any(one.text for one in own) and not total.text:
        return Gap(path=total.path.text, reason="it may be a text, and the other counts numbers")
    return sum(one.limit * power_of_ten(total.exponent - one.exponent) for one in some)


def _uncounted(child: Grant, total: Total) -> int | Gap:
    """What a child without a total may take: its few amounts, as often as it may be used."""
    amounts = _known(child, total)
    if amounts is None:
        return Gap(path=total.path.text, reason="its amounts add up without a total, and the other has one")
    if child.uses is None:
        return Gap(path=total.path.text, reason="its uses are not limited, and the other has a total")
    return min(max(amounts) * child.uses, INT64_MAX + 1)


def _said(child: Grant, total: Total, own: list[Total]) -> frozenset[str] | None:
    """The currencies that the child may name; ``None`` when the total is of none."""
    if total.selector is None:
        return None
    if own and all(one.selector == total.selector for one in own):
        return frozenset(one.currency for one in own)
    values = _values(child, total.selector)
    return frozenset("?" if not isinstance(one, str) else one for one in values or ("?",))


def _concerns(own: Total, total: Total) -> bool:
    """Whether what the child counts here may be charged to the parent's total."""
    return total.selector is None or own.selector != total.selector or own.currency == total.currency


def _known(child: Grant, total: Total) -> list[int] | None:
    """The few amounts that the child permits, when all of them can be counted (rule 2)."""
    values = _values(child, total.path)
    if not values:
        return None
    amounts: list[int] = []
    for value in values:
        amount = total.read(value)
        if isinstance(amount, Unmet):
            return None
        amounts.append(amount)
    return amounts


def _values(child: Grant, path: ArgumentPath) -> tuple[JsonValue, ...] | None:
    rule = dict(child.arguments).get(path)
    return None if rule is None else rule.choices()


def _uses(child: Grant, rate: Rate, *, whole: bool) -> int | Gap:
    """The most uses in one window of the parent's rate (rule 3)."""
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
