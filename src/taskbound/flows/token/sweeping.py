"""Rows of tokens that ended long ago are forgotten; what the log says of them stays.

1. A token's row is kept for a day after its end: its status list is gone by then, so that its place there is
   nobody's again while anybody could read it, and no clock of ours stands before its end (`claims`, rule 2).
2. So many go in one turn, those that ended first.
3. An expired token is refused by its text alone, and one without a row is nobody's: nothing that ended begins
   again by being forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, days

if TYPE_CHECKING:
    from taskbound.flows.means import Means


_KEPT: Final = days(1)
_TURN: Final = 1000


def sweep_tokens(means: Means) -> int:
    """Forget what ended a day ago (rule 1), a thousand at most; how many were."""
    before = Instant(min(means.clock.now(), means.store.last_instant()) - _KEPT)
    return means.store.write(lambda tx: tx.tokens.sweep(before, limit=_TURN))
