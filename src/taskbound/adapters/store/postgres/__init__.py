"""The store in PostgreSQL: one database that several daemons share."""

from __future__ import annotations

from taskbound.adapters.store.postgres.server.link import LostDatabaseError, ReadOnlyDatabaseError
from taskbound.adapters.store.postgres.server.opening import (
    OldDatabaseServerError,
    RestoredDatabaseError,
    UnsafeDatabaseError,
)
from taskbound.adapters.store.postgres.store import PostgresStore

__all__ = [
    "LostDatabaseError",
    "OldDatabaseServerError",
    "PostgresStore",
    "ReadOnlyDatabaseError",
    "RestoredDatabaseError",
    "UnsafeDatabaseError",
]
