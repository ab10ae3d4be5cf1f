from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.target import TargetState
from taskbound.ports.store import ConflictError
from taskbound.ports.target import StoredTarget
from taskbound.ports.tool import StoredSecret
from tests.contracts.store.rows import NOW, OTHER, SPACE, read, server, tool

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

DB = "orders-db"
ASKED = f"{DB}__credential/reader"


def target(name: str = DB, **changes: Any) -> StoredTarget:
    """A target, with something of its own in each column."""
    whole = StoredTarget(
        namespace=SPACE,
        name=name,
        file=b'{"target":"\\u0000"}',
        identity="1" * 64,
        state=TargetState.READY,
        sealed="a.b.c.d.e",
        number=3,
        trouble="the database says no",
        begun=Instant(NOW + 1),
        tested=Instant(NOW + 2),
        version=5,
    )
    return replace(whole, **changes)


def written(store: Store, *targets: StoredTarget, expect: int = 0) -> None:
    def work(tx: Transaction) -> None:
        for one in targets:
            tx.targets.put_target(one, expect=expect)

    store.write(work)


def locked(store: Store, namespace: str, name: str) -> StoredTarget | None:
    return store.write(lambda tx: tx.targets.lock_target(namespace, name))


def marked(store: Store, mark: str) -> None:
    store.write(lambda tx: tx.targets.put_mark(mark))


def pinned(tx: Transaction) -> None:
    """One server and one target of each namespace, with what hangs on them."""
    for space in (SPACE, OTHER):
        tx.tools.put_server(server("git", namespace=space), expect=0)
        tx.tools.put_server(server(DB, namespace=space, is_target=True), expect=0)
        tx.tools.put_tool(tool(ASKED, of=DB, namespace=space), expect=0)
        tx.tools.put_secret(
            StoredSecret(namespace=space, server=DB, slot="admin:access", number=1, sealed="s", at=NOW)
        )


def test_a_target_comes_back_as_it_was_written(store: Store) -> None:
    rows = [
        target(),
        target("mail", state=TargetState.UNTESTED, begun=None, tested=None, trouble=""),
        target(namespace=OTHER, state=TargetState.REFUSED),
    ]
    written(store, *rows)
    with store.read() as seen:
        for one in rows:
            assert seen.targets.target(one.namespace, one.name) == one
        assert seen.targets.target(OTHER, "mail") is None
    for one in rows:
        assert locked(store, one.namespace, one.name) == one
    assert locked(store, OTHER, "mail") is None


def test_they_come_by_name_of_one_namespace_and_by_both_of_all(store: Store) -> None:
    b, a, c = target("b"), target("a"), target("c", namespace="zoo")
    other = target("b", namespace=OTHER)
    written(store, b, c, a, other)
    with store.read() as seen:
        assert seen.targets.targets(SPACE) == (a, b)
        assert seen.targets.targets("zoo") == (c,)
        assert seen.targets.targets("nobody") == ()
        assert seen.targets.all_targets() == tuple(
            sorted((a, b, c, other), key=lambda one: (one.namespace, one.name))
        )


def test_a_target_is_written_over_the_one_that_it_was_made_of(store: Store) -> None:
    after = target(
        file=b"{}",
        identity="2" * 64,
        state=TargetState.REFUSED,
        sealed="f.g",
        number=4,
        trouble="",
        begun=None,
        tested=None,
        version=6,
    )
    written(store, target(), target(namespace=OTHER))
    written(store, after, expect=5)
    for expect in (0, 5, 7):
        with pytest.raises(ConflictError):
            written(store, target(version=7), expect=expect)
    with pytest.raises(ConflictError):
        written(store, target("mail"), expect=5)
    with store.read() as seen:
        assert seen.targets.all_targets() == tuple(
            sorted((after, target(namespace=OTHER)), key=lambda one: one.namespace)
        )


def test_a_target_is_dropped_alone_and_its_server_with_its_tools_and_secrets(store: Store) -> None:
    written(store, target(), target("mail"), target(namespace=OTHER))
    store.write(pinned)
    store.write(lambda tx: tx.targets.drop_target(SPACE, DB))
    store.write(lambda tx: tx.targets.drop_target(SPACE, "nobody"))
    with store.read() as seen:
        assert seen.targets.targets(SPACE) == (target("mail"),)
        assert seen.targets.targets(OTHER) == (target(namespace=OTHER),)
        assert seen.tools.server(SPACE, DB) is not None
    store.write(lambda tx: tx.tools.drop_server(SPACE, DB))
    with store.read() as seen:
        assert seen.tools.server(SPACE, DB) is None
        assert seen.tools.tools(SPACE) == ()
        assert seen.tools.secrets(SPACE, DB) == ()
        assert seen.tools.tool(OTHER, ASKED) is not None
        assert len(seen.tools.secrets(OTHER, DB)) == 1


def test_a_target_is_no_server_among_the_others_and_is_found_by_its_name(store: Store) -> None:
    store.write(pinned)
    with store.read() as seen:
        assert seen.tools.servers(SPACE) == (server("git"),)
        assert seen.tools.server(SPACE, DB) == server(DB, is_target=True)
        assert [one.name for one in seen.tools.tools(SPACE, server=DB)] == [ASKED]
    assert store.write(lambda tx: tx.tools.servers(SPACE)) == (server("git"),)
    store.write(lambda tx: tx.tools.put_server(server(DB, version=2), expect=1))
    assert read(store, lambda seen: seen.tools.server(SPACE, DB)) == server(DB, version=2)


def test_the_mark_is_kept_once(store: Store) -> None:
    assert read(store, lambda seen: seen.targets.mark()) == ""
    marked(store, "abcdefgh")
    assert read(store, lambda seen: seen.targets.mark()) == "abcdefgh"
    for again in ("abcdefgh", "bbbbbbbb"):
        with pytest.raises(ConflictError):
            marked(store, again)
    assert store.write(lambda tx: tx.targets.mark()) == "abcdefgh"


def test_an_epoch_is_kept_once_by_its_number_and_when_it_was_found(store: Store) -> None:
    def has(epoch: int, since: Instant) -> bool:
        return read(store, lambda seen: seen.targets.has_epoch(epoch, since))

    def keep(epoch: int, since: Instant) -> None:
        store.write(lambda tx: tx.targets.put_epoch(epoch, since))

    epochs = [(2, Instant(7)), (2, Instant(8)), (3, Instant(7))]
    for one in epochs:
        assert not has(*one)
        keep(*one)
    for one in epochs:
        assert has(*one)
        with pytest.raises(ConflictError):
            keep(*one)
    assert not has(1, Instant(7))
