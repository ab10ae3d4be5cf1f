"""What a covering grant asks for one action, and which grant pays.

1. A grant pays all of its charges or none; the first covering grant, in the order of
   the scope, that has everything left pays (design §4.4).
2. A limit that isn't known has nothing left.
3. A charge is never negative, so that no payment fills a limit up.
4. A rate has its uses left within its window; a window that has passed opens anew, at this use. What a rate
   took is not given back: a call that was not sent was still made.
5. A grant of a child task also pays, of each task above it, the rates of the grant that it was carved from:
   those can't be carved (`algebra.carve`). Each is a payer of its own when there are several ways up.
6. Nothing is taken here: the commit takes what `Paid` names, in its own transaction.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick
from taskbound.core.scope.number import INT64_MAX, write_amount
from taskbound.core.scope.show import bare
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.scope.limits import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one limit must have left."""

    limit: str
    """The key of a limit, such as ``g0/uses`` or ``g0/total/amount``."""
    amount: int
    """Uses, or minor units of the total's exponent; 0 to 2^63 - 1."""
    exponent: int = 0
    """Decimal places of a minor unit, to write the amount as people do."""

    def __post_init__(self) -> None:
        """Raise if the amount is none."""
        if not 0 <= self.amount <= INT64_MAX:  # rule 3
            raise ValueError("a charge is from 0 to 2^63 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A grant that covers the action, and what it would pay."""

    grant: str
    """The id of the grant, such as ``g0``."""
    charges: tuple[Charge, ...]
    """One for each limit of the grant but its rates."""
    rates: tuple[Rate, ...] = ()
    above: tuple[tuple[str, Rate], ...] = ()
    """Rates of grants of tasks above, by their task (rule 5)."""

    def __post_init__(self) -> None:
        """Raise if a limit is charged twice, for each charge is compared with what is left by itself."""
        if len({charge.limit for charge in self.charges}) < len(self.charges):
            raise ValueError("a limit is charged once for an action")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Covered(NoTruth):
    """At least one grant covers the action; whether one can pay is settled at commit."""

    tool: str
    payers: tuple[Payer, ...]
    """Every grant that covers, in the order of the scope; never empty."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Paid(NoTruth):
    """This grant pays these charges; take them all, at once."""

    grant: str
    charges: tuple[Charge, ...]
    windows: tuple[tuple[str, int], ...] = ()
    """Rows of rates by key, and what each holds from now on (rule 4)."""
    above: tuple[tuple[str, str, int], ...] = ()
    """The same of tasks above: task, key, and what it holds from now on (rule 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A limit that has less left than was asked."""

    grant: str
    limit: str
    left: int
    asked: int
    exponent: int = 0

    @property
    def sentence(self) -> str:
        """The shortfall in a person's words, with amounts as people write them."""
        kind, _, argument = self.limit.partition("/")[2].partition("/")
        if kind == "uses":
            return f"grant {self.grant} has no use left"
        if kind == "rate":
            return f"grant {self.grant} has no use left in this window of {argument} seconds"
        left, asked = write_amount(self.left, self.exponent), write_amount(self.asked, self.exponent)
        return f"grant {self.grant} has {left} left for `{bare(argument)}`, and this asks for {asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted(NoTruth):
    """Every covering grant lacks something."""

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
    """Who pays for the action, from what is left now.

    Args:
        covered: What `cover` answered.
        left: What each limit has left, by key, as the commit has locked it.
        now: The instant of the commit.
        above: By task above: what each limit has left.
    """
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
