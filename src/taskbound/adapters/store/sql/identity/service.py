"""Services and the keys that prove them, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.adapters.store.sql.rows.statement import Statement, Versioned, given
from taskbound.adapters.store.sql.schema.service import service_keys, services
from taskbound.core.clock import Instant
from taskbound.core.identity.service import Service, ServiceKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows.link import Link


_SPACE: Final = given("namespace")
_MINE: Final = select(services).where(services.c.namespace == _SPACE)
_ONE: Final = Statement(_MINE.where(services.c.name == given("name")))
_ALL: Final = Statement(_MINE.order_by(services.c.name))
_DROP: Final = Statement(
    delete(services).where(services.c.namespace == _SPACE, services.c.name == given("name"))
)
_PUT: Final = Versioned(services, "service")

_KEYS: Final = select(service_keys).where(service_keys.c.namespace == _SPACE)
_BY_AGE: Final = (service_keys.c.service, service_keys.c.added, service_keys.c.kid)
_ALL_KEYS: Final = Statement(_KEYS.order_by(*_BY_AGE))
_KEYS_OF: Final = Statement(_KEYS.where(service_keys.c.service == given("service")).order_by(*_BY_AGE))
_KEY: Final = Statement(_KEYS.where(service_keys.c.kid == given("kid")))
_PUT_KEY: Final = Statement(insert(service_keys))
_END_KEY: Final = Statement(
    update(service_keys)
    .where(
        service_keys.c.namespace == _SPACE, service_keys.c.kid == given("kid"), service_keys.c.removed == 0
    )
    .values(removed=bindparam("at"))
)


class SqlServices:
    """Reads services through one connection, and writes them in a transaction.

    On PostgreSQL a transaction that reads these rows is alone among those that read without a lock.
    """

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def service(self, namespace: str, name: str) -> Service | None:
        """The service of this name."""
        return self._link.one(read_service, _ONE.text, _ONE.values(namespace=namespace, name=name))

    def services(self, namespace: str) -> tuple[Service, ...]:
        """Every service, by name."""
        return self._link.all(read_service, _ALL.text, _ALL.values(namespace=namespace))

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these that exist; the transaction holds the one lock there is."""
        services = {name: self.service(namespace, name) for name in names}
        proven = {kid: self.service_key(namespace, kid) for kid in keys}
        return (
            {name: one for name, one in services.items() if one is not None},
            {kid: one for kid, one in proven.items() if one is not None},
        )

    def put_service(self, service: Service, *, expect: int) -> None:
        """Write the service."""
        _PUT.put(
            self._link,
            expect,
            namespace=service.namespace,
            name=service.name,
            owner=service.owner,
            audience=service.audience,
            tools=json_texts(service.tools),
            added=service.added,
            version=service.version,
        )

    def drop_service(self, namespace: str, name: str) -> None:
        """Forget the service."""
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, name=name))

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        """The key of this id."""
        return self._link.one(read_service_key, _KEY.text, _KEY.values(namespace=namespace, kid=kid))

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        """Every key of the service, or of all."""
        asked = _KEYS_OF if service else _ALL_KEYS
        return self._link.all(
            read_service_key, asked.text, asked.values(namespace=namespace, service=service)
        )

    def put_service_key(self, key: ServiceKey) -> None:
        """Write a new key."""
        values = _PUT_KEY.values(
            namespace=key.namespace,
            kid=key.kid,
            service=key.service,
            public=key.public,
            added=key.added,
            removed=0 if key.removed is None else key.removed,
        )
        self._link.change(_PUT_KEY.text, values)

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more."""
        self._link.change(_END_KEY.text, _END_KEY.values(namespace=namespace, kid=kid, at=at))


def read_service(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str, name: str, owner: str, audience: str, tools: str, added: int, version: int
) -> Service:
    """The service of a row."""
    return Service(
        namespace=namespace,
        name=name,
        owner=owner,
        audience=audience,
        tools=read_texts(tools),
        added=Instant(added),
        version=version,
    )


def read_service_key(
    namespace: str, kid: str, service: str, public: bytes, added: int, removed: int
) -> ServiceKey:
    """The key of a row, its columns in order."""
    return ServiceKey(
        namespace=namespace,
        kid=kid,
        service=service,
        public=bytes(public),
        added=Instant(added),
        removed=Instant(removed) if removed else None,
    )
