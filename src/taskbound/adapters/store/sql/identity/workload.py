"""Agent selectors and keys, identity issuers, trust domains and services in SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from taskbound.adapters.store.sql.record import BYTES, ENDED, FLAG, TEXTS, Form, Record, enum
from taskbound.adapters.store.sql.rows import Statement, TableGroup, given, json_texts, read_texts
from taskbound.adapters.store.sql.schema import agent_keys, identity_issuers, selectors
from taskbound.adapters.store.sql.schema.identity import service_keys, services, trusts
from taskbound.core.identity.agent import AgentKey
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector, selector_id
from taskbound.core.identity.service import Service, ServiceKey
from taskbound.core.identity.trust import Trust, TrustSource

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant


_SPACE: Final = given("namespace")
_MINE: Final = select(selectors).where(selectors.c.namespace == _SPACE)
_SELECTORS: Final = Statement(_MINE.order_by(selectors.c.agent, selectors.c.id))
_SELECTORS_OF: Final = Statement(
    _MINE.where(selectors.c.kind == given("kind"), selectors.c.issuer == given("issuer")).order_by(
        selectors.c.agent, selectors.c.id
    )
)
_PUT: Final = Statement(insert(selectors))
_DROP: Final = Statement(
    delete(selectors).where(selectors.c.namespace == _SPACE, selectors.c.id == given("id"))
)

_KEYS: Final = select(agent_keys).where(agent_keys.c.namespace == _SPACE)
_BY_AGE: Final = (agent_keys.c.agent, agent_keys.c.made, agent_keys.c.kid)
_ALL_KEYS: Final = Statement(_KEYS.order_by(*_BY_AGE))
_AGENT_KEYS: Final = Statement(_KEYS.where(agent_keys.c.agent == given("agent")).order_by(*_BY_AGE))
_KEY: Final = Statement(_KEYS.where(agent_keys.c.kid == given("kid")))
_END_KEY: Final = Statement(
    update(agent_keys)
    .where(agent_keys.c.namespace == _SPACE, agent_keys.c.kid == given("kid"), agent_keys.c.ended == 0)
    .values(ended=bindparam("at"))
)

_ISSUERS: Final = Statement(
    select(identity_issuers).where(identity_issuers.c.namespace == _SPACE).order_by(identity_issuers.c.name)
)
_DROP_ISSUER: Final = Statement(
    delete(identity_issuers).where(
        identity_issuers.c.namespace == _SPACE, identity_issuers.c.name == given("name")
    )
)


_AGENT_KEY_ROW: Final = Record(agent_keys, AgentKey, public=BYTES, ended=ENDED)
_ISSUER_ROW: Final = Record(
    identity_issuers,
    IdentityIssuer,
    use=enum(IssuerUse),
    keys=BYTES,
    private=FLAG,
    groups_by=Form(
        lambda column: tuple((value, group) for value, group in json.loads(column)),
        lambda groups: json.dumps(groups, ensure_ascii=False, separators=(",", ":")),
        "groups",
    ),
)
_TRUST_ROW: Final = Record(
    trusts, Trust, "trust domain", source=enum(TrustSource), private=FLAG, bundle=BYTES
)
SERVICE_ROW: Final = Record(services, Service, "service", tools=TEXTS)
SERVICE_KEY_ROW: Final = Record(service_keys, ServiceKey, public=BYTES, removed=ENDED)


class SqlWorkloads(TableGroup):
    """Proofs of agents. On PostgreSQL a transaction that reads them is exclusive."""

    __slots__ = ()

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        return self._link.all(_selector, _SELECTORS.text, _SELECTORS.values(namespace=namespace))

    def selectors_of(self, namespace: str, kind: WorkloadKind, issuer: str) -> tuple[Selector, ...]:
        values = _SELECTORS_OF.values(namespace=namespace, kind=kind.value, issuer=issuer)
        return self._link.all(_selector, _SELECTORS_OF.text, values)

    def put_selector(self, selector: Selector) -> None:
        values = _PUT.values(
            namespace=selector.namespace,
            id=selector_id(selector),
            agent=selector.agent,
            kind=selector.kind.value,
            issuer=selector.issuer,
            subjects=json_texts(selector.subjects),
            claims=json.dumps(selector.claims, ensure_ascii=False, separators=(",", ":")),
        )
        self._link.change(_PUT.text, values)

    def drop_selector(self, namespace: str, selector: str) -> None:
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, id=selector))

    def agent_keys(self, namespace: str, agent: str = "") -> tuple[AgentKey, ...]:
        asked = _AGENT_KEYS if agent else _ALL_KEYS
        return self._link.all(_AGENT_KEY_ROW.read, asked.text, asked.values(namespace=namespace, agent=agent))

    def agent_key(self, namespace: str, kid: str) -> AgentKey | None:
        return self._link.one(_AGENT_KEY_ROW.read, _KEY.text, _KEY.values(namespace=namespace, kid=kid))

    def put_agent_key(self, key: AgentKey) -> None:
        _AGENT_KEY_ROW.insert(self._link, key)

    def end_agent_key(self, namespace: str, kid: str, at: Instant) -> None:
        self._link.change(_END_KEY.text, _END_KEY.values(namespace=namespace, kid=kid, at=at))

    def identity_issuers(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        return self._link.all(_ISSUER_ROW.read, _ISSUERS.text, _ISSUERS.values(namespace=namespace))

    def put_identity_issuer(self, issuer: IdentityIssuer) -> None:
        _ISSUER_ROW.insert(self._link, issuer)

    def drop_identity_issuer(self, namespace: str, name: str) -> None:
        self._link.change(_DROP_ISSUER.text, _DROP_ISSUER.values(namespace=namespace, name=name))


def _selector(  # the columns of a row, in order
    namespace: str, _id: str, agent: str, kind: str, issuer: str, subjects: str, claims: str
) -> Selector:
    return Selector(
        namespace=namespace,
        agent=agent,
        kind=WorkloadKind(kind),
        issuer=issuer,
        subjects=read_texts(subjects),
        claims=tuple((pointer, tuple(texts)) for pointer, texts in json.loads(claims)),
    )


_TRUST_SPACE, _DOMAIN = given("namespace"), given("domain")
_ONE: Final = Statement(select(trusts).where(trusts.c.namespace == _TRUST_SPACE, trusts.c.domain == _DOMAIN))
_OF_SPACE: Final = Statement(
    select(trusts).where(trusts.c.namespace == _TRUST_SPACE).order_by(trusts.c.domain)
)
_ALL: Final = Statement(select(trusts).order_by(trusts.c.namespace, trusts.c.domain))
_TRUST_DROP: Final = Statement(
    delete(trusts).where(trusts.c.namespace == _TRUST_SPACE, trusts.c.domain == _DOMAIN)
)


class SqlTrusts(TableGroup):
    """Trust domains."""

    __slots__ = ()

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """Returns the trust domain with this name, or None."""
        return self._link.one(_TRUST_ROW.read, _ONE.text, _ONE.values(namespace=namespace, domain=domain))

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Returns every trust domain of a namespace, by name."""
        return self._link.all(_TRUST_ROW.read, _OF_SPACE.text, _OF_SPACE.values(namespace=namespace))

    def all_trusts(self) -> tuple[Trust, ...]:
        """Returns every trust domain of every namespace, by both."""
        return self._link.all(_TRUST_ROW.read, _ALL.text)

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Writes the trust domain."""
        _TRUST_ROW.put(self._link, trust, expect)

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Deletes the trust domain."""
        self._link.change(_TRUST_DROP.text, _TRUST_DROP.values(namespace=namespace, domain=domain))


_SERVICE_MINE: Final = select(services).where(services.c.namespace == _SPACE)
_SERVICE_ONE: Final = Statement(_SERVICE_MINE.where(services.c.name == given("name")))
_SERVICE_ALL: Final = Statement(_SERVICE_MINE.order_by(services.c.name))
_SERVICE_DROP: Final = Statement(
    delete(services).where(services.c.namespace == _SPACE, services.c.name == given("name"))
)

_SERVICE_KEYS: Final = select(service_keys).where(service_keys.c.namespace == _SPACE)
_SERVICE_BY_AGE: Final = (service_keys.c.service, service_keys.c.added, service_keys.c.kid)
_SERVICE_ALL_KEYS: Final = Statement(_SERVICE_KEYS.order_by(*_SERVICE_BY_AGE))
_KEYS_OF: Final = Statement(
    _SERVICE_KEYS.where(service_keys.c.service == given("service")).order_by(*_SERVICE_BY_AGE)
)
_SERVICE_KEY: Final = Statement(_SERVICE_KEYS.where(service_keys.c.kid == given("kid")))
_SERVICE_END_KEY: Final = Statement(
    update(service_keys)
    .where(
        service_keys.c.namespace == _SPACE, service_keys.c.kid == given("kid"), service_keys.c.removed == 0
    )
    .values(removed=bindparam("at"))
)


class SqlServices(TableGroup):
    """Services and their keys. On PostgreSQL a transaction that reads them without a lock is exclusive."""

    __slots__ = ()

    def service(self, namespace: str, name: str) -> Service | None:
        return self._link.one(
            SERVICE_ROW.read, _SERVICE_ONE.text, _SERVICE_ONE.values(namespace=namespace, name=name)
        )

    def services(self, namespace: str) -> tuple[Service, ...]:
        return self._link.all(SERVICE_ROW.read, _SERVICE_ALL.text, _SERVICE_ALL.values(namespace=namespace))

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        services = {name: self.service(namespace, name) for name in names}
        proven = {kid: self.service_key(namespace, kid) for kid in keys}
        return (
            {name: one for name, one in services.items() if one is not None},
            {kid: one for kid, one in proven.items() if one is not None},
        )

    def put_service(self, service: Service, *, expect: int) -> None:
        SERVICE_ROW.put(self._link, service, expect)

    def drop_service(self, namespace: str, name: str) -> None:
        self._link.change(_SERVICE_DROP.text, _SERVICE_DROP.values(namespace=namespace, name=name))

    def service_key(self, namespace: str, kid: str) -> ServiceKey | None:
        return self._link.one(
            SERVICE_KEY_ROW.read, _SERVICE_KEY.text, _SERVICE_KEY.values(namespace=namespace, kid=kid)
        )

    def service_keys(self, namespace: str, service: str = "") -> tuple[ServiceKey, ...]:
        asked = _KEYS_OF if service else _SERVICE_ALL_KEYS
        return self._link.all(
            SERVICE_KEY_ROW.read, asked.text, asked.values(namespace=namespace, service=service)
        )

    def put_service_key(self, key: ServiceKey) -> None:
        SERVICE_KEY_ROW.insert(self._link, key)

    def end_service_key(self, namespace: str, kid: str, at: Instant) -> None:
        self._link.change(_SERVICE_END_KEY.text, _SERVICE_END_KEY.values(namespace=namespace, kid=kid, at=at))
