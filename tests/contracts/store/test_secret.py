from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.ports.store import ConflictError
from taskbound.ports.tool import StoredSecret
from tests.contracts.store.rows import NOW, OTHER, SPACE, read, server

if TYPE_CHECKING:
    from taskbound.ports.store import Store

FIRST = StoredSecret(
    namespace=SPACE, server="git", slot="environment:B", number=1, sealed="a..b", at=Instant(NOW)
)


def put(store: Store, secret: StoredSecret) -> None:
    store.write(lambda tx: tx.tools.put_secret(secret))


def secrets(store: Store, server: str = "git", namespace: str = SPACE) -> tuple[StoredSecret, ...]:
    return read(store, lambda seen: seen.tools.secrets(namespace, server))


def test_a_slot_has_the_value_that_was_put_last_and_they_come_by_slot(store: Store) -> None:
    assert secrets(store) == ()
    put(store, FIRST)
    second = replace(FIRST, number=2, sealed="", at=Instant(NOW + 1))
    put(store, second)
    earlier = replace(FIRST, slot="environment:A")
    put(store, earlier)
    assert secrets(store) == (earlier, second)
    assert store.write(lambda tx: tx.tools.secrets(SPACE, "git")) == (earlier, second)


@pytest.mark.parametrize("number", [1, 3])
def test_a_value_whose_number_is_not_the_next_is_a_conflict(store: Store, number: int) -> None:
    put(store, FIRST)
    with pytest.raises(ConflictError):
        put(store, replace(FIRST, number=number, sealed="c..d"))
    assert secrets(store) == (FIRST,)


def test_the_first_value_has_the_number_one(store: Store) -> None:
    with pytest.raises(ConflictError):
        put(store, replace(FIRST, number=2))
    assert secrets(store) == ()


def test_a_secret_is_of_its_server_and_namespace_and_goes_with_the_server(store: Store) -> None:
    store.write(lambda tx: tx.tools.put_server(server("git"), expect=0))
    put(store, FIRST)
    web = replace(FIRST, server="web")
    other = replace(FIRST, namespace=OTHER)
    put(store, web)
    put(store, other)
    store.write(lambda tx: tx.tools.drop_server(SPACE, "git"))
    assert secrets(store) == ()
    assert secrets(store, "web") == (web,)
    assert secrets(store, namespace=OTHER) == (other,)
