"""Services and the keys that prove them, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.identity.service import Service, ServiceKey

__all__ = ["MemoryServices"]


class MemoryServices:
    """Reads services from a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def service(self, namespace: str, name: str) -> Service | None:
        """The service of this name."""
        return self._tables.live().services.get((namespace, name))

    def services(self, namespace: str) -> tuple[Service, ...]:
        """Every service, by name."""
        found = [one for one in self._tables.live().services.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.name))

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these that exist; one transaction is after the other."""
        services = {name: self.service(namespace, name) for name in names}
        proven = {kid: self.service_key(namespace, kid) for kid in keys}
        return (
            {name: one for name, one in services.items() if one is not None},
            {kid: one for kid, one in proven.items() if one is not None},
        )

    def put_service(self, service: Service, *, expect: int) -> None:
        """Write the service."""
        before = self.service(service.namespace, service.name)
        shared = any(
            one.audience == service.audience and one.name != service.name
            for one in self.services(service.namespace)
        )
        if shared or (0 if before is None else before.version) != expect:
            self._tables.conflict(f"service `{service.name}`")
        self._tables.services.put((service.namespace, service.name), service)

    def drop_service(self, namespace: str, name: str) -> None:
        """Forget the service."""
        self._tables.live().services.put((namespace, name), None)

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        """The key of this id."""
        return self._tables.live().service_keys.get((namespace, kid))

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        """Every key of the service, or of all."""
        found = [one for one in self._tables.live().service_keys.values() if one.namespace == namespace]
        mine = [one for one in found if service in {"", one.service}]
        return tuple(sorted(mine, key=lambda one: (one.service, one.added, one.kid)))

    def put_service_key(self, key: ServiceKey) -> None:
        """Write a new key."""
        if self.service_key(key.namespace, key.kid) is not None:
            self._tables.conflict(f"key `{key.kid}`")
        self._tables.service_keys.put((key.namespace, key.kid), key)

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more."""
        found = self.service_key(namespace, kid)
        if found is not None and found.removed is None:
            self._tables.service_keys.put((namespace, kid), replace(found, removed=at))
