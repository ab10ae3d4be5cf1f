"""Selectors and keys of agents, and issuers of identities, in rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.adapters.store.sql.rows.statement import Statement, given
from taskbound.adapters.store.sql.schema import agent_keys, identity_issuers, selectors
from taskbound.core.clock import Instant
from taskbound.core.identity.agent_key import AgentKey
from taskbound.core.identity.oidc import IdentityIssuer, IssuerUse
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector, selector_id

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link


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
_PUT_KEY: Final = Statement(insert(agent_keys))
_END_KEY: Final = Statement(
    update(agent_keys)
    .where(agent_keys.c.namespace == _SPACE, agent_keys.c.kid == given("kid"), agent_keys.c.ended == 0)
    .values(ended=bindparam("at"))
)

_ISSUERS: Final = Statement(
    select(identity_issuers).where(identity_issuers.c.namespace == _SPACE).order_by(identity_issuers.c.name)
)
_PUT_ISSUER: Final = Statement(insert(identity_issuers))
_DROP_ISSUER: Final = Statement(
    delete(identity_issuers).where(
        identity_issuers.c.namespace == _SPACE, identity_issuers.c.name == given("name")
    )
)


class SqlWorkloads:
    """Reads what proves agents through one connection, and writes it in a transaction.

    On PostgreSQL a transaction that reads these rows is alone among those that read without a lock.
    """

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def selectors(self, namespace: str) -> tuple[Selector, ...]:
        """Every selector, by agent and id."""
        return self._link.all(_selector, _SELECTORS.text, _SELECTORS.values(namespace=namespace))

    def selectors_of(self, namespace: str, kind: WorkloadKind, issuer: str) -> tuple[Selector, ...]:
        """Those for credentials of this kind by this issuer."""
        values = _SELECTORS_OF.values(namespace=namespace, kind=kind.value, issuer=issuer)
        return self._link.all(_selector, _SELECTORS_OF.text, values)

    def put_selector(self, selector: Selector) -> None:
        """Write a selector."""
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
        """Forget the selector of this id."""
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, id=selector))

    def agent_keys(self, namespace: str, agent: str = "") -> tuple[AgentKey, ...]:
        """Every key of the agent, or of all."""
        asked = _AGENT_KEYS if agent else _ALL_KEYS
        return self._link.all(_agent_key, asked.text, asked.values(namespace=namespace, agent=agent))

    def agent_key(self, namespace: str, kid: str) -> AgentKey | None:
        """The key of this id."""
        return self._link.one(_agent_key, _KEY.text, _KEY.values(namespace=namespace, kid=kid))

    def put_agent_key(self, key: AgentKey) -> None:
        """Write a new key."""
        values = _PUT_KEY.values(
            namespace=key.namespace,
            kid=key.kid,
            agent=key.agent,
            public=key.public,
            made=key.made,
            ended=0 if key.ended is None else key.ended,
        )
        self._link.change(_PUT_KEY.text, values)

    def end_agent_key(self, namespace: str, kid: str, at: Instant) -> None:
        """Have the key count no more."""
        self._link.change(_END_KEY.text, _END_KEY.values(namespace=namespace, kid=kid, at=at))

    def identity_issuers(self, namespace: str) -> tuple[IdentityIssuer, ...]:
        """Every issuer of identities, by name."""
        return self._link.all(_issuer, _ISSUERS.text, _ISSUERS.values(namespace=namespace))

    def put_identity_issuer(self, issuer: IdentityIssuer) -> None:
        """Write a new issuer."""
        values = _PUT_ISSUER.values(
            namespace=issuer.namespace,
            name=issuer.name,
            issuer=issuer.issuer,
            audience=issuer.audience,
            use=issuer.use.value,
            keys=issuer.keys,
            keys_at=issuer.keys_at,
            private=int(issuer.private),
            token_at=issuer.token_at,
            secret_file=issuer.secret_file,
            groups_at=issuer.groups_at,
            groups_by=json.dumps(issuer.groups, ensure_ascii=False, separators=(",", ":")),
        )
        self._link.change(_PUT_ISSUER.text, values)

    def drop_identity_issuer(self, namespace: str, name: str) -> None:
        """Forget the issuer."""
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


def _agent_key(  # the columns of a row, in order
    namespace: str, kid: str, agent: str, public: bytes, made: int, ended: int
) -> AgentKey:
    return AgentKey(
        namespace=namespace,
        kid=kid,
        agent=agent,
        public=bytes(public),
        made=Instant(made),
        ended=Instant(ended) if ended else None,
    )


def _issuer(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    name: str,
    issuer: str,
    audience: str,
    use: str,
    keys: bytes,
    keys_at: str,
    private: int,
    token_at: str,
    secret_file: str,
    groups_at: str,
    groups_by: str,
) -> IdentityIssuer:
    return IdentityIssuer(
        namespace=namespace,
        name=name,
        issuer=issuer,
        audience=audience,
        use=IssuerUse(use),
        keys=bytes(keys),
        keys_at=keys_at,
        private=bool(private),
        token_at=token_at,
        secret_file=secret_file,
        groups_at=groups_at,
        groups=tuple((value, group) for value, group in json.loads(groups_by)),
    )
