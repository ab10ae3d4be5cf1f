"""What is used once, across every daemon and every restart (ADR 0058).

1. It is durable before whoever showed it is answered.
2. One is forgotten only when the log has a record from after its window's end, and two minutes more (I-41,
   I-54). After a restart the clock begins at that record, however the machine's was set back meanwhile.
3. The store keeps how far it forgot, and refuses whatever was in a window up to there: no replay is accepted,
   however far the clocks of daemons are apart. The two minutes are for what is new: while no daemon's clock
   is further ahead of another's than that, nothing new is refused by this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.token import require_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.token import Claim, Use
    from taskbound.flows.means import Means


_APART: Final = minutes(2)
_TURN: Final = 1000


def use_claim(means: Means, claim: Claim) -> None:
    """Use it, and go on only when nobody has before.

    Raises:
        ReplayedError: Somebody has.
    """
    (use,) = use_claims(means, [claim])
    require_first(use, claim.kind)


def use_claims(means: Means, claims: Sequence[Claim]) -> tuple[Use, ...]:
    """Which use of each this is; all of them in one transaction (rule 1)."""
    return means.store.write(lambda tx: tx.claims.use(claims))


def sweep_claims(means: Means) -> int:
    """Forget what nobody can show any more (rule 2), a thousand at most; how many were."""
    before = Instant(min(means.clock.now(), means.store.last_instant()) - _APART)
    return means.store.write(lambda tx: tx.claims.sweep(before, limit=_TURN))
