"""The installation's mark, the credential of an action, and counts.

Minted names contain the mark, so it is stored before the first mint and never changes; two daemons that start
at once agree on one.
"""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import LIVE, age_of, credential_of, is_overdue
from taskbound.core.credential.values import MARK_LENGTH, parse_mark
from taskbound.core.dataclass import dataclass
from taskbound.core.target import RENEWS
from taskbound.core.tool import credential_kind

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


def credential_with(reads: Snapshot | Transaction, action: StoredAction) -> str:
    """Returns the id of the credential that this action's permit minted or renewed, '' if none."""
    if credential_kind(action.tool) is None:
        return ""
    own = credential_of(action.id)
    renews = _renews(action)
    return renews if renews and reads.credentials.credential(action.namespace, own) is None else own


def renewed_with(reads: Snapshot | Transaction, namespace: str, action: str) -> Credential | None:
    kept = reads.actions.action(namespace, action)
    if kept is None or credential_kind(kept.tool) is None:
        return None
    row = reads.credentials.credential(namespace, _renews(kept))
    return row if row is not None and row.renewal is not None and row.renewal.action == action else None


def _renews(action: StoredAction) -> str:
    found = parse_object(action.arguments).get(RENEWS)
    return found if isinstance(found, str) else ""


NOBODY: Final = "no broker minted it in time"
LOST: Final = "the broker that was minting it did not report"
FAILED: Final = "it could not be minted: "
"""What was met stands behind it."""
UNACKNOWLEDGED: Final = "its secret was not acknowledged"
LEFT: Final = "the connection that it was to end with is lost"
OVER: Final = "its time is over"
NO_MORE: Final = "its task needs it no more"
CANARY: Final = "it was a canary"
AGAIN: Final = "its target shows it again"
WITHOUT_ROW: Final = "it was found in the target without a row"


def open_mark(adapters: Adapters) -> str:
    """Returns the store's mark, made now if missing: 8 characters of a-z and 2-7."""
    made = b32encode(sha256(adapters.chance.secret().encode()).digest())[:MARK_LENGTH].decode().lower()

    def work(tx: Transaction) -> str:
        kept = tx.targets.mark()
        if not kept:
            tx.targets.put_mark(made)
        return kept or made

    return parse_mark(adapters.store.write(work))


_MOST: Final = 1_000
"""So many of each kind are counted."""
_SECOND: Final = seconds(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers of credentials."""

    living: int
    revoking: int
    overdue: int
    oldest: int
    """Seconds that the oldest revocation has been under way."""


def count_credentials(snapshot: Snapshot, namespace: str, now: Instant) -> Counts:
    living = snapshot.credentials.credentials(namespace, states=LIVE, limit=_MOST)
    ending = snapshot.credentials.overdue(namespace, Instant(now + 1), limit=_MOST)
    return Counts(
        living=len(living),
        revoking=len(ending),
        overdue=sum(is_overdue(one, now) for one in ending),
        oldest=max((age_of(one, now) // _SECOND for one in ending), default=0),
    )
