from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from taskbound.flows.decision.usable import NotDecided
from taskbound.ports.store import Store, StoreUnavailableError, Transaction
from tests.failing import failing, sites_of
from tests.sqlite import sqlite_store
from tests.stories.failed import CASES, fail
from tests.world import World, code_of, codes_of

EVERY = 9
"""Of so many places one fails here; `dev/soak --only failing` has all of them."""


@pytest.mark.parametrize("name", CASES)
def test_i19_whatever_fails_on_the_way_what_is_not_permitted_is_not(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    found = fail(name, sqlite_store, every=EVERY, first=list(CASES).index(name))
    assert found.total() > 50
    assert found["undecided"] > 20


@contextmanager
def breaking(world: World, *writes: int, behind: bool = False) -> Iterator[None]:
    """These writes of a world's store break, from 0 on: before anything, or behind their commit."""
    write, numbers = world.store.write, count()

    def broken(work: Callable[[Transaction], object], **more: bool) -> object:
        breaks = next(numbers) in writes
        if breaks and not behind:
            raise RuntimeError("before")
        given = write(work, **more)
        if breaks:
            raise RuntimeError("behind")
        return given

    world.store.write = broken  # type: ignore[method-assign, assignment]  # the seam of a story
    try:
        yield
    finally:
        world.store.write = write  # type: ignore[method-assign]  # the seam is put back


@pytest.mark.parametrize("calls", [1, 3])
def test_i24_a_commit_that_broke_behind_itself_has_decided_and_is_not_decided_again(
    world: World, calls: int
) -> None:
    task = world.settle_in()
    asked = [world.call(task, arguments={"to": "bob", "amount": 1 + n}) for n in range(calls)]
    with breaking(world, 0, behind=True):
        answers = world.decisions.decide(asked)
    assert codes_of(answers) == ["permit"] * calls
    assert len(world.events("action-decided")) == calls
    assert world.left(task)["g0/uses"] == 5 - calls


def test_a_commit_that_broke_before_itself_is_tried_once_more_call_by_call(world: World) -> None:
    task = world.settle_in()
    asked = [world.call(task, arguments={"to": "bob", "amount": 1 + n}) for n in range(3)]
    with breaking(world, 0, 2):
        answers = world.decisions.decide(asked)
    assert codes_of(answers) == ["permit", "undecided", "permit"]
    assert [one["code"] for one in world.events("action-undecided")] == ["undecided"]
    assert world.left(task)["g0/uses"] == 3


def test_i26_a_refusal_that_can_not_be_recorded_stands_and_so_do_its_neighbors(world: World) -> None:
    task = world.settle_in()
    asked = [world.call(task, arguments=b"{"), world.call(task)]
    with breaking(world, 0):
        refused, permitted = world.decisions.decide(asked)
    assert code_of(permitted) == "permit"
    assert isinstance(refused, NotDecided)
    assert (code_of(refused) != "permit", refused.recorded) == (True, False)
    assert world.events("action-refused-malformed") == []


def test_a_transaction_whose_end_failed_is_nobodys(store: Store) -> None:
    world = World(store=store)
    task = world.settle_in()
    call = world.call(task)

    def asked() -> str:
        return code_of(*world.decisions.decide([call]))

    ends = [one for one in sites_of(asked) if one[2].endswith("Store._commit")]
    assert len(ends) == 1
    call = world.call(task, arguments={"to": "bob", "amount": 2})
    for end in ends:
        assert failing(asked, end, 0, StoreUnavailableError("injected")) == ("store-unavailable", True)
    call = world.call(task, arguments={"to": "eve", "amount": 3})
    assert asked() == "permit"
    assert world.left(task)["g0/uses"] == 3
    assert [one["decision"] for one in world.events("action-decided")] == ["permit", "permit"]
