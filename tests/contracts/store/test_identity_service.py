from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.service import Service, ServiceKey
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store


def service(name: str = "payments", *, namespace: str = SPACE, audience: str = "") -> Service:
    return Service(
        namespace=namespace,
        name=name,
        owner="ann",
        audience=audience or f"https://{name}.example.com",
        tools=("ledger__book", "pay__*"),
        added=Instant(5),
    )


def put(store: Store, one: Service, expect: int = 0) -> None:
    store.write(lambda tx: tx.services.put_service(one, expect=expect))


def key(kid: str = "k1", owner: str = "payments", *, namespace: str = SPACE, added: int = 1) -> ServiceKey:
    return ServiceKey(namespace=namespace, kid=kid, service=owner, public=b'{"x":1}', added=Instant(added))


def put_key(store: Store, one: ServiceKey) -> None:
    store.write(lambda tx: tx.services.put_service_key(one))


def end_key(store: Store, kid: str, at: int) -> None:
    store.write(lambda tx: tx.services.end_service_key(SPACE, kid, Instant(at)))


def test_services_are_read_as_they_were_written_by_name_and_of_one_namespace(store: Store) -> None:
    nothing = replace(service("a"), tools=())
    for one in (service("b"), nothing, service("c", namespace=OTHER)):
        put(store, one)
    found = read(store, lambda seen: seen.services.services(SPACE))
    assert found == (nothing, service("b"))
    assert store.write(lambda tx: tx.services.services(SPACE)) == found
    assert read(store, lambda seen: seen.services.service(SPACE, "b")) == service("b")
    assert read(store, lambda seen: seen.services.service(SPACE, "c")) is None


def test_a_service_is_written_over_the_version_that_was_read_and_no_other(store: Store) -> None:
    put(store, service())
    after = replace(service(), owner="bob", tools=(), version=2)
    put(store, after, expect=1)
    for late in (0, 1):
        with pytest.raises(ConflictError):
            put(store, replace(after, version=3), expect=late)
    assert read(store, lambda seen: seen.services.service(SPACE, "payments")) == after


def test_two_services_of_a_namespace_share_no_audience_and_a_dropped_one_frees_it(store: Store) -> None:
    put(store, service("a", audience="https://x.example"))
    with pytest.raises(ConflictError):
        put(store, service("b", audience="https://x.example"))
    put(store, service("b", namespace=OTHER, audience="https://x.example"))
    for _ in range(2):
        store.write(lambda tx: tx.services.drop_service(SPACE, "a"))
    put(store, service("b", audience="https://x.example"))
    assert [one.name for one in read(store, lambda seen: seen.services.services(SPACE))] == ["b"]
    assert len(read(store, lambda seen: seen.services.services(OTHER))) == 1


def test_keys_of_services_are_read_as_they_were_written_by_service_and_age_and_of_one_namespace(
    store: Store,
) -> None:
    for one in (key("k2", added=8), key("k1", added=9), key("k0", "other"), key("k9", namespace=OTHER)):
        put_key(store, one)
    mine = (key("k2", added=8), key("k1", added=9))
    assert read(store, lambda seen: seen.services.service_keys(SPACE, "payments")) == mine
    assert read(store, lambda seen: seen.services.service_keys(SPACE)) == (key("k0", "other"), *mine)
    assert store.write(lambda tx: tx.services.service_keys(SPACE, "payments")) == mine
    assert read(store, lambda seen: seen.services.service_key(SPACE, "k1")) == mine[1]
    assert read(store, lambda seen: seen.services.service_key(SPACE, "k9")) is None


def test_a_key_of_a_service_that_was_removed_was_so_when_it_was_and_its_id_is_never_free_again(
    store: Store,
) -> None:
    put_key(store, key("k1"))
    for kid, at in (("k1", 5), ("k1", 9), ("k7", 9)):
        end_key(store, kid, at)
    assert read(store, lambda seen: seen.services.service_keys(SPACE)) == (
        replace(key("k1"), removed=Instant(5)),
    )
    for other in (key("k1"), key("k1", "other")):
        with pytest.raises(ConflictError):
            put_key(store, other)
    put_key(store, key("k1", namespace=OTHER))


def test_services_and_keys_are_locked_by_name_and_id_and_only_those_of_one_namespace(store: Store) -> None:
    for one in (service("a"), service("b"), service("c", namespace=OTHER)):
        put(store, one)
    for made in (key("k1"), key("k2"), key("k9", namespace=OTHER)):
        put_key(store, made)
    end_key(store, "k2", 5)
    found = store.write(lambda tx: tx.services.lock_services(SPACE, {"a", "c", "d"}, {"k2", "k9", "k0"}))
    assert found == ({"a": service("a")}, {"k2": replace(key("k2"), removed=Instant(5))})
    assert store.write(lambda tx: tx.services.lock_services(SPACE, (), ())) == ({}, {})
