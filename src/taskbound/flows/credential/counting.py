"""How many credentials of a namespace live and end: what screens and watchers are told of a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import LIVE, age_of, is_overdue
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.ports.store import Snapshot


_MOST: Final = 1_000
"""So many of each kind are counted."""
_SECOND: Final = seconds(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are."""

    living: int
    revoking: int
    overdue: int
    oldest: int
    """Seconds that the oldest revocation has been under way."""


def count_credentials(snapshot: Snapshot, namespace: str, now: Instant) -> Counts:
    """Count those of a namespace."""
    living = snapshot.credentials.credentials(namespace, states=LIVE, limit=_MOST)
    ending = snapshot.credentials.overdue(namespace, Instant(now + 1), limit=_MOST)
    return Counts(
        living=len(living),
        revoking=len(ending),
        overdue=sum(is_overdue(one, now) for one in ending),
        oldest=max((age_of(one, now) // _SECOND for one in ending), default=0),
    )
