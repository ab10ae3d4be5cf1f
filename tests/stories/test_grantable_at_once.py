from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.errors import TaskboundError
from taskbound.flows.identity import Groups, register_person, set_person_grantable
from tests.world import ANN, World, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.ports.store import Transaction
    from tests.postgres import Server

TURNS = 3


class Two:
    """Two daemons on one database, each with its own store and people who may grant."""

    def __init__(self, url: str) -> None:
        self.first = World(store=PostgresStore(url))
        self.second = World(store=PostgresStore(url), chance=self.first.chance)
        register_person(self.first.adapters, "default", "ann", uid=1000, actor=ANN)
        register_person(self.first.adapters, "default", "bob", uid=1001, actor=ANN)
        Groups(self.first.adapters).add("default", "payers", ANN, owns=True)

    def close(self) -> None:
        self.first.store.close()
        self.second.store.close()


@pytest.fixture
def two(server: Server) -> Iterator[Two]:
    name = server.database()
    both = Two(server.url(name))
    yield both
    both.close()
    server.drop(name)


def pays(most: int) -> dict[str, Any]:
    argument = {"amount": {"range": {"min": 0, "max": most}}}
    return {"grants": [{"tool": "bank__pay", "others": "any", "arguments": argument}]}


def say_person(world: World, most: int) -> None:
    set_person_grantable(world.adapters, "default", "bob", scope_of(pays(most)), actor=ANN, owns=True)


def say_group(world: World, most: int) -> None:
    Groups(world.adapters).set_grantable("default", "payers", scope_of(pays(most)), actor=ANN, owns=True)


def stop_after_locking(world: World, barrier: threading.Barrier) -> None:
    """Let the first try of its next transaction go on only when the other one has locked as well."""
    write = world.store.write

    def held(work: Callable[[Transaction], object], **more: bool) -> object:
        world.store.write = write  # type: ignore[method-assign]  # the seam is put back
        tried: list[Transaction] = []

        def both(tx: Transaction) -> object:
            if not tried:
                tried.append(tx)
                tx.identities.lock_grantors("default")
                barrier.wait(30)
            return work(tx)

        return write(both, **more)

    world.store.write = held  # type: ignore[method-assign, assignment]  # the seam of a story


@pytest.mark.parametrize("say", [say_person, say_group])
def test_of_two_daemons_that_change_one_grantable_at_once_none_is_lost(
    two: Two, say: Callable[[World, int], None]
) -> None:
    said: list[str] = []
    conflicts: list[str] = []

    def run(world: World, most: int) -> None:
        try:
            say(world, most)
        except TaskboundError as error:
            conflicts.append(error.code)
        else:
            said.append(scope_of(pays(most)).digest)

    for turn in range(TURNS):
        barrier = threading.Barrier(2)
        threads = []
        for place, world in enumerate((two.first, two.second)):
            stop_after_locking(world, barrier)
            threads.append(threading.Thread(target=run, args=(world, 10 * turn + place + 1)))
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert set(conflicts) <= {"conflict"}
    assert len(said) + len(conflicts) == 2 * TURNS
    assert len(said) >= TURNS, "one of two always holds"
    events = two.first.events("grantable-changed")
    assert sorted(one["after"] for one in events) == sorted(said), "a record for each that was told it holds"
    assert [one["before"] for one in events[1:]] == [one["after"] for one in events[:-1]], (
        "each after another"
    )
    with two.second.store.read() as seen:
        if say is say_person:
            found = seen.identities.persons("default")["bob"]
        else:
            (found,) = seen.identities.groups("default")  # type: ignore[assignment]  # a group instead
    assert found.version == 1 + len(said)
    assert found.grantable == scope_of_digest(events[-1]["after"])


def scope_of_digest(digest: str) -> object:
    """The one of our scopes that has this digest."""
    (found,) = (
        one for one in (scope_of(pays(most)) for most in range(1, 10 * TURNS + 3)) if one.digest == digest
    )
    return found
