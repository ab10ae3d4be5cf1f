"""What the broker takes in of what a target says that it has."""

from __future__ import annotations

import logging
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.credential import name_of, prefix_of
from taskbound.ports.target import Gone, Minted
from taskbound.surfaces.broker.sweep import MOST_NAMES, sweep_target
from tests.peers.minter import Orders
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE
from tests.surfaces.broker.brokering import Brokering, declared_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import StoredTarget


class Endless:
    """A target that goes on and on naming what it has, and revokes what it is told to."""

    def __init__(self) -> None:
        self.name = "not-one-of-ours"
        self.revoked: list[str] = []
        self.named = 0

    def mint(self, *_: object, **__: object) -> Minted:
        return Minted(open={}, secret={"WORD": "x" * 43})

    def use(self, *_: object, **__: object) -> None:
        return None

    def revoke(self, name: str, **_: object) -> Gone:
        self.revoked.append(name)
        return Gone(cut=0)

    def sweep(self, *_: object, **__: object) -> Iterator[str]:
        for name in repeat(self.name):
            self.named += 1
            yield name


def stored(broker: Brokering) -> StoredTarget:
    with broker.world.adapters.store.read() as seen:
        (one,) = seen.targets.targets(SPACE)
    return one


def begun(target: Endless, database: Orders) -> Brokering:
    plugs: dict[str, Any] = {"postgres": lambda _file, _access: target}
    broker = Brokering(sqlite_store(), plugs=plugs)
    broker.declare(declared_at(database.server.folder))
    broker.settle(2)
    return broker


def doubted(broker: Brokering) -> None:
    """As if what the broker remembers had gone."""
    broker.paper.data = None
    broker.start()
    assert broker.desk.memory.trouble()


def test_i15_f39_a_target_that_names_things_without_an_end_is_listened_to_for_so_long_and_shows_nothing_by_it(
    database: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    target = Endless()
    with caplog.at_level(logging.WARNING):
        broker = begun(target, database)
    assert broker.world.row().state.value == "ready"
    assert target.named == MOST_NAMES + 1
    assert f"more than {MOST_NAMES}" in caplog.text
    doubted(broker)
    assert not sweep_target(broker.desk, stored(broker), believed=False)
    assert target.name not in target.revoked


def test_i15_what_goes_on_naming_ours_is_ended_of_so_many_and_has_more(database: Orders) -> None:
    target = Endless()
    broker = begun(target, database)
    with broker.world.adapters.store.read() as seen:
        mark = seen.targets.mark()
    target.name = name_of(mark, "crd_" + "a" * 35)
    assert target.name.startswith(prefix_of(mark))
    doubted(broker)
    assert not sweep_target(broker.desk, stored(broker), believed=False)
    assert target.revoked.count(target.name) == MOST_NAMES


def test_what_is_found_once_the_store_is_believed_again_is_not_taken_for_something_of_before(
    database: Orders,
) -> None:
    target = Endless()
    broker = begun(target, database)
    with broker.world.adapters.store.read() as seen:
        target.name = name_of(seen.targets.mark(), "crd_" + "a" * 35)
    assert broker.desk.memory.trouble() == ""
    assert not sweep_target(broker.desk, stored(broker), believed=False)
    assert target.name not in target.revoked
