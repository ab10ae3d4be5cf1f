"""Credentials, in rows that several daemons write.

1. Who moves a credential locks its row first; those of several are locked in the order of their ids.
2. What begins while a task ends is begun by a transaction that locked the task: the end waits for it and sees
   it, or it waits and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.credential import COLUMNS, SqlCredentials, read_credential
from taskbound.adapters.store.sql.schema.credential import LIVING

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.credential import Credential


_LOCK: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = $1 AND id = $2"  # noqa: S608 - our own words
    " FOR NO KEY UPDATE"
)
_LIVING: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = $1"  # noqa: S608 - our own words
    f" AND task = ANY($2::text[]) AND state IN ({LIVING}) ORDER BY id FOR NO KEY UPDATE"
)


class PostgresCredentials(SqlCredentials):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential (rule 1)."""
        found = self._locks.locked(read_credential, _LOCK, (namespace, credential))
        return found[0] if found else None

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """What these tasks have that has not ended (rules 1 and 2)."""
        return self._locks.locked(read_credential, _LIVING, (namespace, write_texts(sorted(tasks))))
