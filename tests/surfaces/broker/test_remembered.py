"""What the broker's memory says, and what it can't say (`surfaces.broker.remembered`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.surfaces.broker.memory import EMPTY
from tests.sqlite import sqlite_store
from tests.stories.minting import Minting
from tests.surfaces.broker.brokering import Paper
from tests.surfaces.broker.restoring import DOUBT, FEWER, GONE, UNTOLD, memory_of, put, remembered


def test_i15_a_memory_of_before_there_were_epochs_is_carried_on_as_the_first_one() -> None:
    world = Minting(sqlite_store())
    world.ready()
    paper = Paper()
    memory_of(world, paper).note(world.permit().record)
    now = remembered(paper)
    first = {key: now[key] for key in ("count", "digest", "marks", "number")} | {"v": 1}
    old = json.dumps(first, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    paper.data = old
    standing = memory_of(world, paper).look()
    assert (standing.epoch, standing.why, standing.untold) == (1, "", None)
    assert remembered(paper) == now
    older = Paper(old.replace(b'"count":', b'"count":9'))
    standing = memory_of(world, older).look()
    assert (standing.epoch, standing.why) == (2, FEWER)


def each(name: str, values: list[Any]) -> list[dict[str, Any]]:
    return [{name: one} for one in values]


HOSTILE = [
    *each("epoch", [-1, 0, 2**53 - 1, 10**400, 1.0, True, "1", None, [1]]),
    *each("count", [-1, 2**53, True, 0.0]),
    *each("number", [-1, False]),
    *each("digest", ["x", "A" * 64, "a" * 63, 0]),
    *each("marks", ["abcdefgh", {"abcdefgh": 1}, ["abcdefgh"] * 65]),
    *each("doubt", [{}, [], 0, "", False, "count", DOUBT | {"more": 1}]),
    *each("doubt", [DOUBT | one for one in each("since", [0, -1, 7.0, True, "7", 2**53])]),
    *each("doubt", [DOUBT | one for one in each("why", ["", "else", None, FEWER])]),
    *each("doubt", [DOUBT | one for one in each("ended", [-1, True, 2**53])]),
    *each("untold", [{}, [], 0, UNTOLD | {"epoch": 0}, UNTOLD | {"targets": -1}]),
    *each("v", [0, 3, True, 2.0, "2", None]),
    {"more": 1},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda one: json.dumps(one)[:60])
def test_a_memory_that_says_what_can_t_be_is_one_that_has_gone(changes: dict[str, Any]) -> None:
    paper = Paper(EMPTY)
    put(paper, **changes)
    standing = memory_of(Minting(sqlite_store()), paper).look()
    assert (standing.epoch, standing.why) == (1, GONE)
    assert (remembered(paper)["epoch"], remembered(paper)["doubt"]["why"]) == (1, "gone")


def test_what_a_memory_may_say_of_a_doubt_and_of_what_is_untold_is_read_as_it_was_written() -> None:
    paper = Paper(EMPTY)
    put(paper, epoch=3, doubt=DOUBT, untold=UNTOLD)
    written = paper.data
    standing = memory_of(Minting(sqlite_store()), paper).look()
    assert standing.doubt is not None
    assert standing.untold is not None
    assert (standing.epoch, standing.doubt.since, standing.untold.epoch) == (3, 7, 1)
    assert paper.data == written
