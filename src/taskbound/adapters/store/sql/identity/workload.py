"""Selectors of agents, in rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.adapters.store.sql.rows.statement import Statement, given
from taskbound.adapters.store.sql.schema import selectors
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector, selector_id

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link

__all__ = ["SqlWorkloads"]

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
