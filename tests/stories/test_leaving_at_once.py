from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.identity import PersonState
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from tests.peers.people import OWNER
from tests.world import ANN, World

if TYPE_CHECKING:
    from tests.postgres import Server

NAMES = ("bob", "carl", "dora", "eve")


def test_people_who_leave_at_once_through_two_daemons_are_all_gone(server: Server) -> None:
    name = server.database()
    first = World(store=PostgresStore(server.url(name)))
    worlds = [first, World(store=PostgresStore(server.url(name)), chance=first.chance)]
    for uid, one in enumerate(NAMES, start=1001):
        register_person(worlds[0].adapters, "default", one, uid=uid, actor=ANN)
    barrier = threading.Barrier(2)

    def leave(world: World, names: tuple[str, ...]) -> None:
        for one in names:
            barrier.wait(timeout=30)
            People(world.adapters, world.views).leave("default", one, OWNER, owns=True, reason="")

    threads = [
        threading.Thread(target=leave, args=(worlds[0], NAMES[:2])),
        threading.Thread(target=leave, args=(worlds[1], NAMES[2:])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with worlds[0].store.read() as snapshot:
        states = {one.name: one.state for one in snapshot.identities.persons("default").values()}
    assert states == dict.fromkeys(NAMES, PersonState.GONE)
    for world in worlds:
        world.store.close()
    server.drop(name)
