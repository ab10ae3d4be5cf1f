from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from tests.peers.caching import ADMIN, Cache, name_in
from tests.peers.redis import following
from tests.peers.resp import LostError, SaidNoError
from tests.wiring.broking import Declared, House, declared_cache, house
from tests.wiring.running import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted
    from tests.peers.redis import Node


@pytest.fixture(scope="module")
def cache() -> Iterator[Cache]:
    with following() as nodes:
        yield Cache(list(nodes))


@pytest.fixture(scope="module")
def there(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    declared = Declared(declared_cache([one.address for one in cache.nodes]), ADMIN)
    with house(tmp_path_factory.mktemp("house"), declared) as found:
        yield found


def end(there: House, task: str) -> None:
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)


def lets_in(cache: Cache, minted: Minted, node: Node) -> bool:
    try:
        cache.login(minted, node).close()
    except SaidNoError:
        return False
    return True


def test_i04_a211_a_task_has_a_user_on_each_node_until_it_ends_and_no_session_outlives_it(
    there: House, cache: Cache
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    primary, replica = (cache.login(minted, one) for one in cache.nodes)
    with primary, replica:
        assert primary.ask("SET", "orders:1", "an order") == "OK"
        primary.say("BLPOP", "orders:none", "0")
        assert replica.ask("GET", "orders:2") is None
        end(there, task)
        there.gone(credential)
        for session in (primary, replica):
            with pytest.raises(LostError):
                session.hear()
    assert [lets_in(cache, minted, one) for one in cache.nodes] == [False, False]
    assert cache.shows(name_in(minted)) is None


def test_f10_a_task_that_ends_while_a_node_is_away_is_over_on_the_other_and_on_that_one_once_it_is_back(
    there: House, cache: Cache
) -> None:
    primary, replica = cache.nodes
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    replica.kill()
    end(there, task)
    until(lambda: not lets_in(cache, minted, primary), "the node that is there has ended it")
    assert there.row(credential).state == "revoking"
    replica.start_again()
    there.gone(credential)
    assert [lets_in(cache, minted, one) for one in cache.nodes] == [False, False]


def test_f14_f15_whoever_an_older_file_brings_back_at_a_start_is_out_again_before_a_minute_has_passed(
    there: House, cache: Cache
) -> None:
    _, replica = cache.nodes
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    older = replica.saved
    end(there, task)
    there.gone(credential)
    replica.kill()
    replica.start_again(older)
    with cache.login(minted, replica) as session:
        until(lambda: not cache.users("tb_"), "who was brought back is out again")
        with pytest.raises(LostError):
            session.ask("GET", "orders:1")
    there.gone(credential)
    assert name_in(minted) not in replica.saved
