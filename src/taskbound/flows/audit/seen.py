"""What was seen of the log is still in the store, or the store is not believed (I-15, F5, F45).

1. Whoever saw a log of a size with a root finds that root in it at any later time: a store that is shorter,
   or has another root there, was put back from a copy, replaced, or has lost its end, whatever its name is.
2. A daemon keeps outside of the store what it saw, and the signer what it vouched for. Both were in the store
   before they were written down, so a snapshot of afterwards has them, whoever leads by then.
3. What was seen only grows, until a person says with `taskbound db reconcile` or `taskbound db restore` that
   another store is the one that counts.
4. A log that can't be read as far is no log that holds it.
5. That somebody said so of a store stands in it, as the newest `store-begun-anew`; whoever believes another's
   word remembers which that was, for it says nothing of what was lost after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit import StoreBegunAnew, TamperedError, leaf_hash, parse_record, restore_frontier
from taskbound.core.audit.checkpoint import Checkpoint
from taskbound.ports.store import StoreBehindError

if TYPE_CHECKING:
    from taskbound.ports.audit import AuditReads
    from taskbound.ports.store import Readable


_PAGE: Final = 1000
_KIND: Final = StoreBegunAnew.kind.encode()


def seen_of(audit: AuditReads, origin: str) -> Checkpoint:
    """The log as it stands now, under this name.

    Raises:
        TamperedError: It can't be read.
    """
    size = audit.size()
    return Checkpoint(origin=origin, size=size, root=restore_frontier(size, audit.tile).root)


def holds(audit: AuditReads, seen: Checkpoint) -> bool:
    """Whether the log goes on from what was seen of it (rules 1 and 4)."""
    if audit.size() < seen.size:
        return False
    try:
        return restore_frontier(seen.size, audit.tile).root == seen.root
    except TamperedError:
        return False


def last_begun(audit: AuditReads, start: int = 0) -> str:
    """The hash, in hexadecimal, of the newest `store-begun-anew`; empty where there is none (rule 5).

    Args:
        audit: The log, with its records that have no place yet.
        start: The place to look from.
    """
    for one in reversed(audit.pending(audit.count())):
        if _begins(one.body):
            return leaf_hash(one.body).hex()
    end = audit.size()
    while end > start:
        first = max(start, end - _PAGE)
        for raw in reversed(audit.records(first, end - first)):
            if _begins(raw):
                return leaf_hash(raw).hex()
        end = first
    return ""


def _begins(raw: bytes) -> bool:
    return _KIND in raw and isinstance(parse_record(raw).event, StoreBegunAnew)


def require_held(store: Readable, seen: Checkpoint, by: str = "this data directory") -> None:
    """Go on only with a store that holds what was seen (rule 1).

    Args:
        store: The store.
        seen: What was seen, before this is called (rule 2).
        by: Who saw it, in words.

    Raises:
        StoreBehindError: It doesn't.
        UnavailableError: The store can't be read.
    """
    with store.read() as snapshot:
        if holds(snapshot.audit, seen):
            return
        size = snapshot.audit.size()
    if size < seen.size:
        raise StoreBehindError(f"{by} has seen {seen.size} records, and the store holds {size}")
    raise StoreBehindError(f"{by} has seen {seen.size} other records than the store holds")
