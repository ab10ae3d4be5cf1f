"""That a store which was restored or replaced is believed again, as its broker tells: recorded once (I-15).

1. What it tells of is over: everything of an older epoch was refused until then. It moves no row.
2. The record and the note that it is written are one transaction, so that it is written once, however often
   and to however many daemons it is told. What is restored again has neither, and is of another epoch.
3. It is told until it is written, and nothing is minted before (`surfaces.broker.memory`).
4. Who watches over the agents hears of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.credential import StoreReconciled
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.identity.telling import tell

if TYPE_CHECKING:
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_MOST: Final = 2**53 - 1
_WORDS: Final = 300
"""Characters of what it was found by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a broker tells."""

    epoch: int
    since: int
    """Instant at which it was found, by the broker's clock."""
    why: str
    ended: int
    targets: int


def take_reconciled(means: Means, namespace: str, told: Reconciled) -> bool:
    """Record it (rules 2 and 4); whether it was not recorded before.

    Raises:
        WrongTellingError: That can be said of no store.
    """
    counts = (told.epoch - 1, told.since - 1, told.ended, told.targets)
    if not all(0 <= one < _MOST for one in counts) or not 0 < len(told.why) <= _WORDS:
        raise WrongTellingError("what is told of the store's epoch can't be so")
    if not means.store.write(partial(_record, means, namespace, told)):
        return False
    news = {
        "kind": "taskbound-store-reconciled",
        "epoch": told.epoch,
        "since": told.since,
        "why": told.why,
        "ended": told.ended,
        "say": "taskbound audit tail",
    }
    tell(means, namespace, news)
    return True


def _record(means: Means, namespace: str, told: Reconciled, tx: Transaction) -> bool:
    since = Instant(told.since)
    if tx.targets.has_epoch(told.epoch, since):
        return False
    tx.targets.put_epoch(told.epoch, since)
    event = StoreReconciled(
        epoch=told.epoch, since=told.since, why=told.why, ended=told.ended, targets=told.targets
    )
    tx.audit.append(namespace, means.writer, [event], means.clock.now())
    return True
