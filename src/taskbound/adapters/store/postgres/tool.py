"""Pinned servers and tools, in rows that several daemons lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.tool import SqlTools, read_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink


_LOCK: Final = (
    "SELECT name, version FROM tools WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)


class PostgresTools(SqlTools):
    """Reads servers and tools through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each tool that exists, by name in order."""
        return dict(self._locks.locked(read_version, _LOCK, (namespace, write_texts(names))))
