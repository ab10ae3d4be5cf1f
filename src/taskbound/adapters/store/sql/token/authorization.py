"""Clients that people use, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.adapters.store.sql.rows.statement import Statement, given
from taskbound.adapters.store.sql.schema import token_clients
from taskbound.core.clock import Instant
from taskbound.core.token.authorization.client import registered_client
from taskbound.ports.token import RegisteredClient

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link

__all__ = ["SqlAuthorizations"]

_SPACE: Final = given("namespace")
_MINE: Final = select(token_clients).where(token_clients.c.namespace == _SPACE)
_CLIENTS: Final = Statement(_MINE.order_by(token_clients.c.id))
_CLIENT: Final = Statement(_MINE.where(token_clients.c.id == given("id")))
_PUT: Final = Statement(insert(token_clients))
_DROP: Final = Statement(
    delete(token_clients).where(token_clients.c.namespace == _SPACE, token_clients.c.id == given("id"))
)


class SqlAuthorizations:
    """Reads through one connection, and writes in a transaction.

    On PostgreSQL a transaction that reads these rows is alone among those that read without a lock.
    """

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        """The client of this name."""
        return self._link.one(_client, _CLIENT.text, _CLIENT.values(namespace=namespace, id=client))

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Every registered client, by name in order."""
        return self._link.all(_client, _CLIENTS.text, _CLIENTS.values(namespace=namespace))

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one."""
        values = _PUT.values(
            namespace=client.namespace,
            id=client.client.id,
            shown=client.client.name,
            redirects=json_texts([one.text for one in client.client.redirects]),
            added=client.added,
            added_by=client.by,
        )
        self._link.change(_PUT.text, values)

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name."""
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, id=client))


def _client(  # the columns of a row, in order
    namespace: str, name: str, shown: str, redirects: str, added: int, added_by: str
) -> RegisteredClient:
    return RegisteredClient(
        namespace=namespace,
        client=registered_client(name, shown, read_texts(redirects)),
        added=Instant(added),
        by=added_by,
    )
