"""Who acts, in rows that several daemons lock."""

from __future__ import annotations

from taskbound.adapters.store.postgres.identity.identities import PostgresIdentities

__all__ = ["PostgresIdentities"]
