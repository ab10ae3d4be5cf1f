from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import OTHER, SPACE, read, server, tool

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction


def fill(tx: Transaction) -> None:
    for name in ("web", "git"):
        tx.tools.put_server(server(name), expect=0)
        tx.tools.put_tool(tool(f"{name}__b", of=name), expect=0)
        tx.tools.put_tool(tool(f"{name}__a", of=name, version=5), expect=0)
    tx.tools.put_server(server("git", namespace=OTHER), expect=0)
    tx.tools.put_tool(tool("git__a", namespace=OTHER), expect=0)


def test_servers_and_tools_are_read_as_they_were_written(store: Store) -> None:
    store.write(lambda tx: tx.tools.put_server(server(), expect=0))
    store.write(lambda tx: tx.tools.put_tool(tool(), expect=0))
    with store.read() as seen:
        assert seen.tools.server(SPACE, "git") == server()
        assert seen.tools.tool(SPACE, "git__log") == tool()
        assert seen.tools.server(SPACE, "web") is None
        assert seen.tools.tool(SPACE, "git__show") is None


def test_they_come_by_name_of_one_namespace_and_of_one_server_when_asked(store: Store) -> None:
    store.write(fill)
    with store.read() as seen:
        assert [one.name for one in seen.tools.servers(SPACE)] == ["git", "web"]
        assert [one.name for one in seen.tools.tools(SPACE)] == ["git__a", "git__b", "web__a", "web__b"]
        assert [one.name for one in seen.tools.tools(SPACE, server="web")] == ["web__a", "web__b"]
        assert [one.namespace for one in seen.tools.tools(OTHER)] == [OTHER]


def test_dropping_a_server_takes_its_tools_along_and_nothing_else(store: Store) -> None:
    store.write(fill)
    store.write(lambda tx: tx.tools.drop_server(SPACE, "git"))
    store.write(lambda tx: tx.tools.drop_server(SPACE, "nobody"))
    with store.read() as seen:
        assert [one.name for one in seen.tools.servers(SPACE)] == ["web"]
        assert [one.name for one in seen.tools.tools(SPACE)] == ["web__a", "web__b"]
        assert seen.tools.tool(OTHER, "git__a") is not None
    store.write(lambda tx: tx.tools.put_server(server("git"), expect=0))
    assert read(store, lambda seen: seen.tools.tools(SPACE, server="git")) == ()


def test_a_changed_row_replaces_the_one_that_was_expected(store: Store) -> None:
    store.write(fill)
    changed = replace(tool("git__b", version=2), state="pinned", seen=b"")
    store.write(lambda tx: tx.tools.put_tool(changed, expect=1))
    store.write(lambda tx: tx.tools.put_server(server(version=2), expect=1))
    with store.read() as seen:
        assert seen.tools.tool(SPACE, "git__b") == changed
        assert seen.tools.server(SPACE, "git") == server(version=2)


@pytest.mark.parametrize("expect", [0, 2])
def test_a_row_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(fill)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tools.put_tool(tool("git__b", version=3), expect=expect))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tools.put_server(server(version=3), expect=expect))


def test_locking_tools_tells_the_version_of_those_that_exist_in_the_namespace(store: Store) -> None:
    store.write(fill)
    names = ["git__a", "web__b", "nobody__x"]
    assert store.write(lambda tx: tx.tools.lock_tools(SPACE, names)) == {"git__a": 5, "web__b": 1}
    assert store.write(lambda tx: tx.tools.lock_tools(OTHER, names)) == {"git__a": 1}


def test_who_approves_for_a_tool_is_kept_by_its_name_whatever_becomes_of_its_pin(store: Store) -> None:
    store.write(fill)

    def name(tx: Transaction) -> None:
        tx.tools.put_approvers(SPACE, "git__b", ("bob", "carl"))
        tx.tools.put_approvers(SPACE, "git__a", ("bob",))
        tx.tools.put_approvers(OTHER, "git__b", ("eve",))

    store.write(name)
    store.write(lambda tx: tx.tools.put_approvers(SPACE, "git__a", ()))
    store.write(lambda tx: tx.tools.drop_server(SPACE, "git"))
    with store.read() as seen:
        assert seen.tools.approvers(SPACE) == {"git__a": (), "git__b": ("bob", "carl")}
        assert seen.tools.approvers(OTHER) == {"git__b": ("eve",)}
    store.write(lambda tx: tx.tools.put_approvers(SPACE, "git__b", None))
    store.write(lambda tx: tx.tools.put_approvers(SPACE, "web__a", None))
    assert read(store, lambda seen: seen.tools.approvers(SPACE)) == {"git__a": ()}
