"""Services and the keys that prove them, in rows that several daemons lock.

1. Who decides on a service's word locks it against change, its keys first, and many do so at once: who
   removes either waits for them, or they wait and see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.identity import SqlServices, read_service, read_service_key
from taskbound.adapters.store.sql.schema.service import service_keys, services

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.identity.service import Service, ServiceKey


_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in services.columns)} FROM services"  # noqa: S608 - our own words
    " WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)
_LOCK_KEYS: Final = (
    f"SELECT {', '.join(one.name for one in service_keys.columns)} FROM service_keys"  # noqa: S608 - our own words
    " WHERE namespace = ? AND kid = ANY(?::text[]) ORDER BY kid FOR SHARE"
)


class PostgresServices(SqlServices):
    """Reads services through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these that exist (rule 1)."""
        kids, asked = write_texts(sorted(keys)), write_texts(sorted(names))
        proven = self._locks.locked(read_service_key, _LOCK_KEYS, (namespace, kids))
        found = self._locks.locked(read_service, _LOCK, (namespace, asked))
        return {one.name: one for one in found}, {one.kid: one for one in proven}
