"""The SQL store: statements shared by both engines, and SQLite."""

from __future__ import annotations

from taskbound.adapters.store.sql.rows import UnreadableRowError
from taskbound.adapters.store.sql.sqlite.copying import SqlReader
from taskbound.adapters.store.sql.sqlite.driver import BusyStoreError, DamagedStoreError, DiskFailedError
from taskbound.adapters.store.sql.sqlite.files import DatabaseInUseError, hold_database, lock_of
from taskbound.adapters.store.sql.sqlite.opening import Machine
from taskbound.adapters.store.sql.store import SqlStore

__all__ = [
    "BusyStoreError",
    "DamagedStoreError",
    "DatabaseInUseError",
    "DiskFailedError",
    "Machine",
    "SqlReader",
    "SqlStore",
    "UnreadableRowError",
    "hold_database",
    "lock_of",
]
