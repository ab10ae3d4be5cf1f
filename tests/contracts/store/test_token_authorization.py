from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.client import registered_client
from taskbound.ports.store import ConflictError
from taskbound.ports.token import RegisteredClient
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction


def client(name: str = "desk", *, namespace: str = SPACE, shown: str = "Désk") -> RegisteredClient:
    redirects = ("http://127.0.0.1/callback", "desk.example:/done")
    return RegisteredClient(
        namespace=namespace,
        client=registered_client(name, shown, redirects),
        added=Instant(NOW),
        by="ann",
    )


def put(store: Store, *clients: RegisteredClient) -> None:
    def work(tx: Transaction) -> None:
        for one in clients:
            tx.authorizations.put_client(one)

    store.write(work)


def test_clients_are_read_as_they_were_written_by_name_and_of_one_namespace(store: Store) -> None:
    put(store, client("b"), client("a"), client("c", namespace=OTHER))
    assert read(store, lambda seen: seen.authorizations.clients(SPACE)) == (client("a"), client("b"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "b")) == client("b")
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "c")) is None
    assert store.write(lambda tx: tx.authorizations.clients(OTHER)) == (client("c", namespace=OTHER),)


def test_a_name_is_one_clients_in_its_namespace(store: Store) -> None:
    put(store, client(), client(namespace=OTHER))
    with pytest.raises(ConflictError):
        put(store, client(shown="Another"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "desk")) == client()


def test_a_client_that_is_dropped_is_gone_and_its_name_is_free(store: Store) -> None:
    put(store, client(), client(namespace=OTHER))
    for _ in range(2):
        store.write(lambda tx: tx.authorizations.drop_client(SPACE, "desk"))
    assert read(store, lambda seen: seen.authorizations.clients(SPACE)) == ()
    assert read(store, lambda seen: seen.authorizations.client(OTHER, "desk")) is not None
    put(store, client(shown="Another"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "desk")) == client(shown="Another")
