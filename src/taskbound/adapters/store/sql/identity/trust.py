"""Trust domains, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from taskbound.adapters.store.sql.rows.statement import Statement, Versioned, given
from taskbound.adapters.store.sql.schema.trust import trusts
from taskbound.core.clock import Duration, Instant
from taskbound.core.identity.trust import Trust, TrustSource

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link


_SPACE, _DOMAIN = given("namespace"), given("domain")
_ONE: Final = Statement(select(trusts).where(trusts.c.namespace == _SPACE, trusts.c.domain == _DOMAIN))
_OF_SPACE: Final = Statement(select(trusts).where(trusts.c.namespace == _SPACE).order_by(trusts.c.domain))
_ALL: Final = Statement(select(trusts).order_by(trusts.c.namespace, trusts.c.domain))
_DROP: Final = Statement(delete(trusts).where(trusts.c.namespace == _SPACE, trusts.c.domain == _DOMAIN))
_PUT: Final = Versioned(trusts, "trust domain")


class SqlTrusts:
    """Reads trust domains through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """The trust domain of this name."""
        return self._link.one(_trust, _ONE.text, _ONE.values(namespace=namespace, domain=domain))

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Every trust domain of a namespace, by name."""
        return self._link.all(_trust, _OF_SPACE.text, _OF_SPACE.values(namespace=namespace))

    def all_trusts(self) -> tuple[Trust, ...]:
        """Every trust domain of every namespace, by both."""
        return self._link.all(_trust, _ALL.text)

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Write the trust domain."""
        _PUT.put(
            self._link,
            expect,
            namespace=trust.namespace,
            domain=trust.domain,
            source=trust.source.value,
            place=trust.place,
            endpoint=trust.endpoint,
            private=int(trust.private),
            bound=trust.bound,
            bundle=trust.bundle,
            confirmed=trust.confirmed,
            version=trust.version,
        )

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Forget the trust domain."""
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, domain=domain))


def _trust(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    domain: str,
    source: str,
    place: str,
    endpoint: str,
    private: int,
    bound: int,
    bundle: bytes,
    confirmed: int,
    version: int,
) -> Trust:
    return Trust(
        namespace=namespace,
        domain=domain,
        source=TrustSource(source),
        place=place,
        endpoint=endpoint,
        private=bool(private),
        bound=Duration(bound),
        bundle=bytes(bundle),
        confirmed=Instant(confirmed),
        version=version,
    )
