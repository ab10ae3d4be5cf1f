"""Who acts, in rows that several daemons lock."""

from __future__ import annotations

from taskbound.adapters.store.postgres.identity.identities import PostgresIdentities
from taskbound.adapters.store.postgres.identity.service import PostgresServices

__all__ = ["PostgresIdentities", "PostgresServices"]
