from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.decision import Allowance, TooManyRefusalsError
from taskbound.flows.decision import Refusals
from taskbound.ports.store import StoreUnavailableError
from tests.world import codes_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from tests.world import World

MALLORY: dict[str, Any] = {"to": "mallory", "amount": 1}


def metered(world: World) -> Refusals:
    return Refusals(world.adapters, world.views, world.decisions, Allowance(burst=3, rate=1))


def flood(world: World, refusals: Refusals, task: Task, count: int, **more: Any) -> list[str]:
    return [
        code
        for _ in range(count)
        for code in codes_of(refusals.decide([world.call(task, arguments=MALLORY, **more)]))
    ]


def test_a247_beyond_its_allowance_an_agents_refusals_are_counted_into_one_record(world: World) -> None:
    task = world.settle_in()
    refusals = metered(world)
    codes = flood(world, refusals, task, 500)
    assert codes == ["outside-scope"] * 3 + ["too-many-refusals"] * 497
    assert len(world.events("action-decided")) == 3
    refusals.tell()
    assert world.events("refusals-dropped") == [], "its window has not ended"
    world.clock.advance(10)
    refusals.tell()
    refusals.tell()
    (event,) = world.events("refusals-dropped")
    assert (event["agent"], event["count"]) == ("coder", 497)
    assert event["codes"] == ["too-many-refusals=497"]


def test_who_asks_for_what_is_permitted_takes_no_token_and_is_served_after_a_pause(world: World) -> None:
    task = world.settle_in()
    refusals = metered(world)
    fine = [world.call(task, arguments={"to": "bob", "amount": number}) for number in range(4)]
    assert [codes_of(refusals.decide([one]))[0] for one in fine] == ["permit"] * 4
    flood(world, refusals, task, 9)
    eve = world.call(task, arguments={"to": "eve", "amount": 1})
    assert codes_of(refusals.decide([eve])) == ["too-many-refusals"]
    world.clock.advance(1)
    assert codes_of(refusals.decide([eve])) == ["permit"]


def test_repeats_of_a_presentation_take_tokens_like_refusals(world: World) -> None:
    task = world.settle_in()
    refusals = metered(world)
    calls = [world.call(task, request="1") for _ in range(6)]
    codes = [codes_of(refusals.decide([one]))[0] for one in calls]
    assert codes == ["permit", *["duplicate"] * 3, *["too-many-refusals"] * 2]


def test_one_agents_flood_takes_nothing_from_another(world: World) -> None:
    task = world.settle_in()
    world.add_agent("other")
    refusals = metered(world)
    flood(world, refusals, task, 9)
    assert flood(world, refusals, world.start(agent="other"), 1, agent="other") == ["outside-scope"]


def test_a_name_that_no_agent_has_brings_no_allowance_of_its_own(world: World) -> None:
    task = world.settle_in()
    refusals = metered(world)
    codes = [flood(world, refusals, task, 1, agent=f"agent-{number}")[0] for number in range(9)]
    assert codes.count("too-many-refusals") == 6


def test_what_was_dropped_stays_counted_until_it_is_recorded(world: World) -> None:
    task = world.settle_in()
    refusals = metered(world)
    flood(world, refusals, task, 5)
    world.clock.advance(10)
    write = world.store.write

    def fail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("not now")

    world.store.write = fail  # type: ignore[method-assign]  # the seam of this story
    with pytest.raises(StoreUnavailableError):
        refusals.tell()
    world.store.write = write  # type: ignore[method-assign]  # the seam of this story
    refusals.tell()
    assert [one["count"] for one in world.events("refusals-dropped")] == [2]


def test_lines_that_could_not_be_read_are_counted_under_their_own_code(world: World) -> None:
    world.settle_in()
    refusals = metered(world)
    for _ in range(3):
        refusals.take("default", "coder")
    with pytest.raises(TooManyRefusalsError):
        refusals.require("default", "coder", code="not-json")
    refusals.tell(final=True)
    (event,) = world.events("refusals-dropped")
    assert event["codes"] == ["not-json=1"]
