"""Clients that people use, what they ask for, and what they were let in to, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import AskedState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.token.authorization.admission import Admission, Refresh
    from taskbound.core.token.authorization.asked import Asked
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

    def asked(self, namespace: str, asked: str) -> Asked | None:
        """The request of this id."""
        return self._tables.live().asked.get((namespace, asked))

    def asked_by(self, namespace: str, *, typed: str = "", code: str = "") -> Asked | None:
        """The request of this digest."""
        for one in self._tables.live().asked.values():
            if one.namespace == namespace and (
                one.typed == typed if typed else code != "" and one.code == code
            ):
                return one
        return None

    def count_asked(self, namespace: str, since: Instant) -> int:
        """How many requests of after this wait for a person."""
        return sum(
            one.namespace == namespace and one.state is AskedState.OPEN and one.asked > since
            for one in self._tables.live().asked.values()
        )

    def admission(self, namespace: str, admission: str) -> Admission | None:
        """The admission of this id."""
        return self._tables.live().admissions.get((namespace, admission))

    def admissions_of(self, namespace: str, client: str) -> tuple[Admission, ...]:
        """Those of this client that have not ended."""
        found = [
            one
            for one in self._tables.live().admissions.values()
            if (one.namespace, one.client, one.ended) == (namespace, client, Instant(0))
        ]
        return tuple(sorted(found, key=lambda one: one.id))

    def admissions(
        self, namespace: str, *, client: str = "", task: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Admission, ...]:
        """Admissions, newest first."""
        found = [
            one
            for one in self._tables.live().admissions.values()
            if one.namespace == namespace
            and client in {"", one.client}
            and task in {"", one.task}
            and (not before or one.id < before)
        ]
        return tuple(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    def refresh(self, namespace: str, digest: str) -> Refresh | None:
        """The refresh token of this digest."""
        return self._tables.live().refreshes.get((namespace, digest))

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one."""
        key = (client.namespace, client.client.id)
        if self._tables.live().clients.get(key) is not None:
            self._tables.conflict(f"client `{key[1]}`")
        self._tables.clients.put(key, client)

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name."""
        self._tables.live().clients.put((namespace, client), None)

    def put_asked(self, asked: Asked, *, expect: int) -> None:
        """Write a request."""
        key = (asked.namespace, asked.id)
        before = self._tables.live().asked.get(key)
        if (before.version if before is not None else 0) != expect:
            self._tables.conflict(f"request `{asked.id}`")
        self._tables.asked.put(key, asked)

    def drop_asked_of(self, namespace: str, client: str) -> None:
        """Forget every request of this client."""
        rows = self._tables.live().asked
        for one in tuple(rows.values()):
            if (one.namespace, one.request.client) == (namespace, client):
                rows.put((namespace, one.id), None)

    def put_admission(self, admission: Admission, *, expect: int) -> None:
        """Write an admission."""
        key = (admission.namespace, admission.id)
        before = self._tables.live().admissions.get(key)
        if (before.version if before is not None else 0) != expect:
            self._tables.conflict(f"admission `{admission.id}`")
        self._tables.admissions.put(key, admission)

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """By id: those of these that exist; one transaction is after the other."""
        found = {name: self.admission(namespace, name) for name in admissions}
        return {name: one for name, one in found.items() if one is not None}

    def put_refresh(self, refresh: Refresh) -> None:
        """Write a new one."""
        key = (refresh.namespace, refresh.digest)
        if self._tables.live().refreshes.get(key) is not None:
            self._tables.conflict("refresh token")
        self._tables.refreshes.put(key, refresh)

    def sweep_asked(self, before: Instant, *, limit: int) -> int:
        """Forget requests of before this."""
        rows = self._tables.live().asked
        over = sorted((one for one in rows.values() if one.asked < before), key=lambda one: one.asked)[:limit]
        for one in over:
            rows.put((one.namespace, one.id), None)
        return len(over)

    def sweep_refreshes(self, before: Instant, *, limit: int) -> int:
        """Forget refresh tokens whose admission's time was over before this."""
        live = self._tables.live()
        over = []
        for one in live.refreshes.values():
            admission = live.admissions.get((one.namespace, one.admission))
            if admission is not None and admission.until < before:
                over.append(one)
        for one in over[:limit]:
            live.refreshes.put((one.namespace, one.digest), None)
        return len(over[:limit])
