"""That a store is believed again is recorded once, whoever tells it and however often (I-15)."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.credential.leasing import Reconciled, take_reconciled

if TYPE_CHECKING:
    from tests.world import World

TOLD = Reconciled(epoch=2, since=7, why="the store has fewer records than the broker saw", ended=3, targets=1)


def test_it_is_recorded_once_and_whoever_watches_over_agents_hears_of_it(world: World) -> None:
    world.settle_in()
    assert [take_reconciled(world.adapters, "default", TOLD) for _ in range(3)] == [True, False, False]
    later = replace(TOLD, since=8)
    assert take_reconciled(world.adapters, "default", later)
    found = world.events("store-reconciled")
    assert [(one["epoch"], one["since"], one["ended"], one["targets"]) for one in found] == [
        (2, 7, 3, 1),
        (2, 8, 3, 1),
    ]
    assert {one["why"] for one in found} == {TOLD.why}
    news = [one for one in world.monitor.messages if one.get("kind") == "taskbound-store-reconciled"]
    assert [(one["epoch"], one["since"], one["namespace"]) for one in news] == [
        (2, 7, "default"),
        (2, 8, "default"),
    ]


def test_it_is_recorded_once_where_it_is_told_by_several_at_once(world: World) -> None:
    world.settle_in()
    taken: list[bool] = []
    gate = threading.Barrier(4)

    def tell() -> None:
        gate.wait()
        taken.append(take_reconciled(world.adapters, "default", TOLD))

    tellers = [threading.Thread(target=tell) for _ in range(4)]
    for one in tellers:
        one.start()
    for one in tellers:
        one.join()
    assert (sorted(taken), len(world.events("store-reconciled"))) == ([False, False, False, True], 1)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TOLD, epoch=0),
        replace(TOLD, epoch=-1),
        replace(TOLD, epoch=2**53),
        replace(TOLD, since=0),
        replace(TOLD, since=2**53),
        replace(TOLD, ended=-1),
        replace(TOLD, targets=-1),
        replace(TOLD, why=""),
        replace(TOLD, why="x" * 301),
    ],
    ids=repr,
)
def test_what_can_be_said_of_no_store_is_not_recorded(world: World, wrong: Reconciled) -> None:
    world.settle_in()
    with pytest.raises(WrongTellingError):
        take_reconciled(world.adapters, "default", wrong)
    assert world.events("store-reconciled") == []
