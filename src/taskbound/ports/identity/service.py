"""Services and the keys that prove them, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.identity.service import Service, ServiceKey


class ServiceReads(Protocol):
    """Reads services of one namespace at a time."""

    def service(self, namespace: str, name: str) -> Service | None:
        """The service of this name."""

    def services(self, namespace: str) -> tuple[Service, ...]:
        """Every service, by name.

        In a transaction no other one adds, changes or removes any until its end.
        """

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        """The key of this id, also one that counts no more."""

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        """Every key of the service, or of all, also those that count no more, by service, then as added.

        In a transaction no other one adds or removes any until its end.
        """


class ServiceWrites(ServiceReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these services and keys that exist, by name and by id; MUST stay so until the end.

        Keys are locked before services, as whoever removes a service does.
        """

    def put_service(self, service: Service, *, expect: int) -> None:
        """Write the service.

        MUST raise `ConflictError` when the version is not `expect`, or another of the namespace has its
        audience.
        """

    def drop_service(self, namespace: str, name: str) -> None:
        """Forget the service; nothing happens when there is none. Its keys stay, and have to be ended."""

    def put_service_key(self, key: ServiceKey) -> None:
        """Write a new key. MUST raise `ConflictError` when there was ever one of its id."""

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more; nothing happens to one that was removed before."""
