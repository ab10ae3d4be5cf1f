"""Clients that people use, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.ports.token import RegisteredClient

__all__ = ["MemoryAuthorizations"]


class MemoryAuthorizations:
    """Reads from a snapshot, and writes in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        """The client of this name."""
        return self._tables.live().clients.get((namespace, client))

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Every registered client, by name in order."""
        found = [one for one in self._tables.live().clients.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.client.id))

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one."""
        key = (client.namespace, client.client.id)
        if self._tables.live().clients.get(key) is not None:
            self._tables.conflict(f"client `{key[1]}`")
        self._tables.clients.put(key, client)

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name."""
        self._tables.live().clients.put((namespace, client), None)
