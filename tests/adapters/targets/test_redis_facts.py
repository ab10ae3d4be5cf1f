from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.ports.target import (
    Gone,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.caching import ADMIN, Cache, name_in
from tests.peers.minter import PATIENCE, PREFIX
from tests.peers.redis import ADMIN_PASSWORD, ADMIN_USER, Node, following, running
from tests.peers.resp import LostError, SaidNoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted

SHORT = 1.0
NOTHING = Shown(exists=False, open=0)


@pytest.fixture(scope="module")
def made() -> Iterator[Cache]:
    with following() as nodes:
        yield Cache(list(nodes))


@pytest.fixture
def cache(made: Cache) -> Iterator[Cache]:
    """A primary and its replica, on which a test leaves nothing of ours."""
    yield made
    assert made.users("tb_") == set()
    assert not [one for one in made.nodes if "tb_" in one.saved]


def gone(cache: Cache, minted: Minted) -> Gone:
    """End it, and require of both nodes what that means."""
    name = name_in(minted)
    found = cache.target().revoke(name, ends=cache.ends, patience=PATIENCE)
    assert cache.target().look(name, patience=PATIENCE) == NOTHING
    assert (cache.shows(name), cache.sessions(name)) == (None, 0)
    for node in cache.nodes:
        assert not lets_in(cache, minted, node)
    return found


def lets_in(cache: Cache, minted: Minted, node: Node) -> bool:
    try:
        cache.login(minted, node).close()
    except SaidNoError:
        return False
    return True


def end_shortly(cache: Cache, minted: Minted) -> float:
    """Require that it can't be ended whole; how many seconds that took."""
    begun = time.monotonic()
    with pytest.raises(TargetUnavailableError):
        cache.target().revoke(name_in(minted), ends=cache.ends, patience=SHORT)
    return time.monotonic() - begun


@contextmanager
def unwritable(node: Node) -> Iterator[None]:
    """For so long a folder stands where its file of users would."""
    kept = node.saved
    node.users_file.unlink()
    node.users_file.mkdir()
    try:
        yield
    finally:
        node.users_file.rmdir()
        node.users_file.write_text(kept, encoding="utf-8")


# --- a node that is away, or hangs -----------------------------------------------------------


def test_f10_where_one_node_is_away_nothing_is_made_on_the_other_either(cache: Cache) -> None:
    _, replica = cache.nodes
    replica.kill()
    with pytest.raises(TargetUnreachedError):
        cache.mint()
    assert cache.nodes[0].users("tb_") == set()
    replica.start_again()
    assert gone(cache, cache.mint()) == Gone(cut=0)


def test_f10_where_one_node_is_away_the_other_ends_it_and_it_is_no_end_until_both_did(cache: Cache) -> None:
    primary, replica = cache.nodes
    minted = cache.mint()
    with cache.login(minted, primary) as session:
        replica.kill()
        end_shortly(cache, minted)
        with pytest.raises(LostError):
            session.ask("GET", "orders:1")
    assert not lets_in(cache, minted, primary)
    with pytest.raises(TargetUnavailableError):
        cache.target().look(name_in(minted), patience=SHORT)
    replica.start_again()
    assert lets_in(cache, minted, replica)  # as its file says
    assert cache.target().look(name_in(minted), patience=PATIENCE).exists
    gone(cache, minted)


def test_f11_a_node_that_hangs_has_the_calls_patience_and_keeps_no_other_one_waiting(cache: Cache) -> None:
    primary, replica = cache.nodes
    minted = cache.mint()
    with primary.paused():
        assert end_shortly(cache, minted) < 2 * SHORT
        assert replica.user(name_in(minted)) is None
        with pytest.raises(TargetUnavailableError):
            cache.target().look(name_in(minted), patience=SHORT)
    gone(cache, minted)


# --- what others did meanwhile ---------------------------------------------------------------


def test_f12_what_was_taken_away_by_hand_is_gone_and_not_from_a_file_again(cache: Cache) -> None:
    primary, replica = cache.nodes
    both, one, off = (cache.mint() for _ in range(3))
    for node in cache.nodes:
        node.ask("ACL", "DELUSER", name_in(both))
    primary.ask("ACL", "DELUSER", name_in(one))
    primary.ask("ACL", "SETUSER", name_in(off), "off")
    assert name_in(both) in replica.saved  # nobody saved that
    for minted in (both, one, off):
        gone(cache, minted)
    for node in cache.nodes:
        node.kill()
        node.start_again()
    assert cache.users("tb_") == set()


def test_f12_a_session_that_goes_on_after_its_user_was_switched_off_is_cut(cache: Cache) -> None:
    minted = cache.mint()
    with cache.login(minted) as session:
        for node in cache.nodes:
            node.ask("ACL", "SETUSER", name_in(minted), "off", "resetpass")
        assert session.ask("PING") == "PONG"
        assert gone(cache, minted) == Gone(cut=1)
        with pytest.raises(LostError):
            session.ask("PING")


def test_f13_where_one_node_knows_the_admin_no_more_nothing_is_made_and_an_end_goes_on(cache: Cache) -> None:
    primary, replica = cache.nodes
    minted = cache.mint()
    primary.ask("ACL", "SETUSER", ADMIN_USER, "resetpass", ">another-word")
    try:
        with pytest.raises(TargetUnreachedError):
            cache.mint()
        end_shortly(cache, minted)
        assert primary.user(name_in(minted)) is not None
        assert replica.user(name_in(minted)) is None
        replica.ask("ACL", "SETUSER", ADMIN_USER, "resetpass", ">another-word")
        other = cache.target(admin=replace(ADMIN, password="another-word"))
        assert other.revoke(name_in(minted), ends=cache.ends, patience=PATIENCE) == Gone(cut=0)
    finally:
        for node in cache.nodes:
            node.ask("ACL", "SETUSER", ADMIN_USER, "resetpass", f">{ADMIN_PASSWORD}")
            node.ask("ACL", "SAVE")
    gone(cache, minted)


def test_f13_where_one_node_took_a_right_from_the_admin_that_is_said_and_the_other_ends_it(
    cache: Cache,
) -> None:
    primary, replica = cache.nodes
    minted = cache.mint()
    primary.ask("ACL", "SETUSER", ADMIN_USER, "-acl|deluser")
    try:
        with pytest.raises(TargetRefusedError) as caught:
            cache.target().revoke(name_in(minted), ends=cache.ends, patience=PATIENCE)
    finally:
        primary.ask("ACL", "SETUSER", ADMIN_USER, "+acl|deluser")
        primary.ask("ACL", "SAVE")
    assert "+acl|deluser" in caught.value.message
    assert replica.user(name_in(minted)) is None
    gone(cache, minted)


# --- older files -----------------------------------------------------------------------------


def test_f14_who_is_back_by_an_older_file_that_was_loaded_is_seen_by_a_sweep_and_ended(cache: Cache) -> None:
    primary, _ = cache.nodes
    minted = cache.mint()
    older = primary.saved
    gone(cache, minted)
    primary.users_file.write_text(older, encoding="utf-8")
    primary.ask("ACL", "LOAD")
    with cache.login(minted, primary) as session:
        assert session.ask("PING") == "PONG"
        assert set(cache.target().sweep(PREFIX, patience=PATIENCE)) == {name_in(minted)}
        assert gone(cache, minted) == Gone(cut=1)
        with pytest.raises(LostError):
            session.ask("PING")


def test_f15_who_is_back_by_an_older_file_at_a_start_is_seen_by_a_sweep_and_ended(cache: Cache) -> None:
    primary, replica = cache.nodes
    minted = cache.mint()
    older = [one.saved for one in cache.nodes]
    gone(cache, minted)
    before = cache.target().starts(patience=PATIENCE)
    for node, users in zip(cache.nodes, older, strict=True):
        node.kill()
        node.start_again(users)
        assert lets_in(cache, minted, node)
    after = cache.target().starts(patience=PATIENCE)
    assert not set(before) & set(after)
    assert (after[0] != after[1], primary.run_id in after, replica.run_id in after) == (True, True, True)
    assert set(cache.target().sweep(PREFIX, patience=PATIENCE)) == {name_in(minted)}
    gone(cache, minted)


def test_f15_k17_a_node_that_was_killed_before_it_wrote_its_file_has_its_user_again_until_the_next_end(
    cache: Cache,
) -> None:
    primary, _ = cache.nodes
    minted = cache.mint()
    primary.ask("ACL", "DELUSER", name_in(minted))
    primary.kill()
    primary.start_again()
    assert lets_in(cache, minted, primary)
    gone(cache, minted)
    primary.kill()
    primary.start_again()
    assert not lets_in(cache, minted, primary)


def test_f15_a_file_that_a_node_can_not_write_is_no_end(cache: Cache) -> None:
    primary, _ = cache.nodes
    minted = cache.mint()
    with unwritable(primary):
        end_shortly(cache, minted)
        assert not lets_in(cache, minted, primary)
    gone(cache, minted)


# --- failover --------------------------------------------------------------------------------


def test_f15_a_failover_to_a_replica_takes_no_user_along_and_brings_none_back(cache: Cache) -> None:
    primary, replica = cache.nodes
    lives, over = cache.mint(), cache.mint()
    gone(cache, over)
    primary.kill()
    replica.promote()
    assert (lets_in(cache, lives, replica), lets_in(cache, over, replica)) == (True, False)
    with cache.login(lives, replica) as session:
        assert session.ask("SET", "orders:1", "an order") == "OK"
        end_shortly(cache, lives)
        with pytest.raises(LostError):
            session.ask("GET", "orders:1")
    primary.start_again()  # it knows nothing of all that
    assert (lets_in(cache, lives, primary), lets_in(cache, over, primary)) == (True, False)
    gone(cache, lives)
    replica.follow(primary)
    assert gone(cache, cache.mint()) == Gone(cut=0)


def test_f15_a_replica_without_the_user_is_seen_by_a_renewal_and_is_in_no_ends_way(cache: Cache) -> None:
    _, replica = cache.nodes
    minted = cache.mint()
    replica.ask("ACL", "DELUSER", name_in(minted))
    with pytest.raises(TargetRefusedError):
        cache.target().renew(name_in(minted), cache.ends, patience=PATIENCE)
    assert replica.user(name_in(minted)) is None  # and nothing brings it back
    gone(cache, minted)


@pytest.mark.parametrize("declared", [0, 1])
def test_a_node_that_is_known_to_another_and_not_declared_keeps_all_mints_away(
    cache: Cache, declared: int
) -> None:
    alone = cache.target(cache.nodes[declared].address)
    with pytest.raises(TargetRefusedError) as caught:
        cache.mint(target=alone)
    assert str(cache.nodes[1 - declared].port) in caught.value.message
    assert cache.users("tb_") == set()


def test_a_replica_that_came_later_keeps_mints_away_and_no_end(cache: Cache) -> None:
    minted = cache.mint()
    with running(1, reached="port") as (later,):
        later.follow(cache.nodes[0])
        with pytest.raises(TargetRefusedError):
            cache.mint()
        gone(cache, minted)
