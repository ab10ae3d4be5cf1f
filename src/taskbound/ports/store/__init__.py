"""Where everything is kept: snapshots to read, transactions to write, and why it fails."""

from __future__ import annotations

from taskbound.ports.store.errors import (
    AffectedLibraryError,
    AmbiguousCommitError,
    ConflictError,
    ForeignDatabaseError,
    FullDiskError,
    NewerDatabaseError,
    OlderDatabaseError,
    OtherRulesError,
    StoreBehindError,
    StoreUnavailableError,
    UnreadableStoreError,
)
from taskbound.ports.store.snapshot import Snapshot
from taskbound.ports.store.store import Readable, Store
from taskbound.ports.store.transaction import Transaction

__all__ = [
    "AffectedLibraryError",
    "AmbiguousCommitError",
    "ConflictError",
    "ForeignDatabaseError",
    "FullDiskError",
    "NewerDatabaseError",
    "OlderDatabaseError",
    "OtherRulesError",
    "Readable",
    "Snapshot",
    "Store",
    "StoreBehindError",
    "StoreUnavailableError",
    "Transaction",
    "UnreadableStoreError",
]
