"""A log that is computed anew from its records: what its tiles and checkpoints say must come out (I-47).

1. The root of all placed records is that of the stored tree, and the root at the newest checkpoint's size is
   that checkpoint's: a record that was changed, left out or put in between shows, and so does a tile.
2. A checkpoint is believed by the log's key alone, which whoever asks brings; without it nothing is said of
   who made the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    CheckpointMissingError,
    LogTruncatedError,
    RootMismatchError,
    grow,
    leaf_hash,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    restore_frontier,
)
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Checkpoint, VerifierKey, Verify
    from taskbound.ports.audit import AuditReads


_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLog:
    """A log as its records are."""

    records: int
    """With a place or without."""
    size: int
    """Those with a place."""
    root: bytes
    checkpoint: str
    """The newest one, as a signed note; empty where nothing was signed yet."""
    origin: str
    """Its name; empty where nothing was signed yet."""
    covered: int
    """Records that it covers."""


def require_whole_log(
    audit: AuditReads, *, key_of: Callable[[str], VerifierKey] | None = None, verify: Verify | None = None
) -> WholeLog:
    """Go on only with a log whose records make the tree that it has (rules 1 and 2).

    Args:
        audit: The log, in one snapshot.
        key_of: The key of the log of this name, which whoever asks holds; without it no signature is looked
            at.
        verify: Checks one.

    Raises:
        TamperedError: They don't, or the checkpoint is not by this key.
    """
    size, known = audit.size(), audit.checkpoint()
    note = known.note if known is not None else ""
    told = _read(note) if note else None
    if key_of is not None and verify is not None:
        if told is None:
            raise CheckpointMissingError("the log has no checkpoint that its key has signed")
        told = open_checkpoint(note.encode(), key_of(told.origin), verify)  # 2
    covered = told.size if told is not None else 0
    root, at_covered = _roots(audit, size, covered)
    if restore_frontier(size, audit.tile).root != root:
        raise RootMismatchError("the records are not those of the tree that is kept of them")
    if told is not None and told.root != at_covered:
        raise RootMismatchError("the records are not those that the newest checkpoint covers")
    return WholeLog(
        records=audit.count(),
        size=size,
        root=root,
        checkpoint=note,
        origin=told.origin if told is not None else "",
        covered=covered,
    )


def _read(note: str) -> Checkpoint:
    return parse_checkpoint(parse_note(note.encode()).text)


def _roots(audit: AuditReads, size: int, covered: int) -> tuple[bytes, bytes]:
    """The roots of all records, and of those that are covered, as the records give them."""
    if covered > size:
        raise LogTruncatedError(f"the newest checkpoint covers {covered} records, and the log holds {size}")
    frontier, at_covered, start = EMPTY_FRONTIER, EMPTY_ROOT, 0
    while start < size:
        end = min(start + _BATCH, size)
        end = covered if start < covered < end else end
        records = audit.records(start, end - start)
        if len(records) != end - start:
            raise LogTruncatedError(f"the log holds {start + len(records)} records, and not {size}")
        frontier = grow(frontier, (leaf_hash(one) for one in records)).frontier
        start = end
        if start == covered:
            at_covered = frontier.root
    return frontier.root, at_covered
