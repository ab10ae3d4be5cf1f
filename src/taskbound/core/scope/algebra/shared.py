"""The limits that two grants both keep, out of what each has left.

1. Uses and totals are the smaller ones; what one pair of grants is given is gone for the next.
2. Totals of one amount can be joined when both are of no currency, or of currencies that one argument tells.
3. Rates are kept side by side, the smaller one of two with the same window. A rate is given to one pair
   alone: two that share it could each use all of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.scope.limits import write_rates, write_totals
from taskbound.core.scope.number import power_of_ten

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.limits import Rate, Total

    Form = dict[str, JsonValue]
    Left = tuple[dict[str, int], dict[str, int]]


class _NoShareError(Exception):
    """Nothing is left of a limit, or the limits of both can't be written as one; the text says which."""


class SharedLimits:
    """What one pair of grants is given."""

    def __init__(self, one: Grant, two: Grant, left: Left) -> None:
        """Work it out; nothing is taken yet.

        Raises:
            _NoShareError: There is nothing to give.
        """
        self._grants = (one, two)
        self._left = left
        self._uses = self._smallest_uses()
        self._totals = self._smaller_totals()
        self._rates = self._all_rates()

    @property
    def form(self) -> Form:
        """The limits as a grant writes them."""
        form: Form = {} if self._uses is None else {"uses": self._uses}
        if self._totals:
            form["total"] = write_totals(self._totals)
        if self._rates:
            form["rate"] = write_rates(self._rates)
        return form

    def take(self) -> None:
        """Take from both what the pair was given (rules 1 and 3)."""
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
            if len({total.selector for some in sides for total in some}) > 1:  # rule 2
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
    """What both grants have left, or why there is nothing."""
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
