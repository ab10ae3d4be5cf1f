"""One mark for an installation, whichever of its daemons was first."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.clock.system import SystemChance
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.credential import BadMarkError, parse_mark
from taskbound.flows.credential import open_mark
from tests.sqlite import sqlite_store
from tests.world import World

if TYPE_CHECKING:
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Store
    from tests.postgres import Server


def daemon(store: Store) -> Adapters:
    """What one daemon has, with its own chance."""
    return replace(World(store=store).adapters, chance=SystemChance(), writer=SystemChance().name("wrt"))


def test_the_first_daemon_makes_the_mark_and_every_later_one_has_it() -> None:
    store = sqlite_store()
    first = World(store=store)
    mark = open_mark(replace(first.adapters, chance=SystemChance()))
    assert parse_mark(mark) == mark
    assert [open_mark(replace(first.adapters, chance=SystemChance())) for _ in range(3)] == [mark] * 3
    with store.read() as seen:
        assert seen.targets.mark() == mark


def test_two_installations_have_two_marks() -> None:
    assert len({open_mark(daemon(sqlite_store())) for _ in range(9)}) == 9


def test_a_mark_that_is_none_is_refused_and_stays() -> None:
    store = sqlite_store()
    store.write(lambda tx: tx.targets.put_mark("MARK"))
    with pytest.raises(BadMarkError):
        open_mark(daemon(store))
    with store.read() as seen:
        assert seen.targets.mark() == "MARK"


def test_daemons_that_begin_at_once_on_postgresql_have_one_mark(server: Server) -> None:
    name = server.database()
    stores = [PostgresStore(server.url(name)) for _ in range(4)]
    adapters = World(store=sqlite_store()).adapters
    daemons = [replace(adapters, store=one, chance=SystemChance()) for one in stores]
    barrier = threading.Barrier(len(daemons))
    marks: list[str] = []

    def begin(one: Adapters) -> None:
        barrier.wait()
        marks.append(open_mark(one))

    threads = [threading.Thread(target=begin, args=(one,)) for one in daemons]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].read() as seen:
        assert marks == [seen.targets.mark()] * 4
    for store in stores:
        store.close()
    server.drop(name)
