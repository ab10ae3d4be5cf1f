from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import UnknownIdentityError
from taskbound.core.scope.algebra import Covers, NotCovers
from taskbound.core.scope.suggest import MadeCall, NothingToSuggestError
from taskbound.core.task import NoTaskError, TaskEvent
from taskbound.flows.scope import MixedAgentsError, Suggested, SuggestOrder, suggest_scope
from tests.world import ANN, CEILING, code_of, scope_of

if TYPE_CHECKING:
    from tests.world import World


def suggested(world: World, **order: Any) -> Suggested:
    return suggest_scope(world.adapters, SuggestOrder(namespace="default", **order))


def grants(found: Suggested) -> Any:
    value: Any = found.suggestion.scope.value()
    return value["grants"]


def learn(world: World) -> str:
    """What coder did in a broad task, some of it refused."""
    world.settle_in()
    task = world.start(scope=CEILING)
    for number in range(4):
        world.ask(task, "bank__look", {"path": f"/srv/books/{number}"})
    world.ask(task, arguments={"to": "bob", "amount": 10, "note": ""})
    world.ask(task, arguments={"to": "bob", "amount": 25})
    world.ask(task, "bank__burn", {"all": True})
    return task.id


def test_what_was_permitted_in_a_task_becomes_the_narrowest_scope_within_the_ceiling(world: World) -> None:
    task = learn(world)
    found = suggested(world, tasks=(task,))
    assert grants(found) == [
        {"tool": "bank__look", "arguments": {"path": {"below": "/srv/books"}}, "uses": 6},
        {
            "tool": "bank__pay",
            "arguments": {"to": {"equals": "bob"}, "amount": {"range": {"min": 10, "max": 25}}},
            "uses": 3,
        },
    ]
    assert isinstance(found.suggestion.within, Covers)
    assert (found.agent, found.suggestion.calls, found.unread) == ("coder", 6, 0)


def test_a_task_of_what_was_suggested_permits_what_was_done_and_nothing_wider(world: World) -> None:
    scope: Any = suggested(world, tasks=(learn(world),)).suggestion.scope.value()
    task = world.start(scope=scope)
    assert code_of(world.ask(task, "bank__look", {"path": "/srv/books/0"})) == "permit"
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 10, "note": ""})) == "permit"
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 26})) == "outside-scope"
    assert code_of(world.ask(task, "bank__look", {"path": "/srv/other"})) == "outside-scope"


def test_uses_are_those_of_one_task_when_several_are_looked_at(world: World) -> None:
    world.settle_in()
    for count in (2, 4):
        task = world.start(scope=CEILING)
        for _ in range(count):
            world.ask(task)
        world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
    (one,) = grants(suggested(world, agent="coder"))
    assert one["uses"] == 6


def test_what_an_agent_did_since_an_instant_counts_and_nothing_before(world: World) -> None:
    task = world.settle_in()
    world.ask(task, arguments={"to": "eve", "amount": 1})
    world.clock.advance(60)
    since = world.clock.now()
    world.ask(task)
    (one,) = grants(suggested(world, agent="coder", since=since))
    assert one["arguments"]["to"] == {"equals": "bob"}
    with pytest.raises(NothingToSuggestError):
        suggested(world, agent="coder", since=world.clock.now())


def test_more_actions_than_fit_on_a_page_are_all_looked_at(world: World) -> None:
    world.settle_in()
    task = world.start(scope=CEILING)
    world.decisions.decide(
        [world.call(task, "bank__look", {"path": f"/srv/{number}"}) for number in range(501)]
    )
    assert suggested(world, tasks=(task.id,)).suggestion.calls == 501


def test_calls_that_are_meant_are_held_against_the_ceiling_of_an_agent(world: World) -> None:
    world.settle_in()
    world.ask(world.start(scope=CEILING))
    meant = (MadeCall(tool="bank__burn", arguments={"all": True}),)
    assert isinstance(suggested(world, agent="coder", calls=meant).suggestion.within, NotCovers)
    assert suggested(world, calls=meant).suggestion.within is None
    assert suggested(world, agent="coder", calls=meant).suggestion.calls == 1


def test_a_suggestion_is_held_against_the_ceiling_of_now(world: World) -> None:
    task = learn(world)
    narrow = {"grants": [{"tool": "bank__look", "others": "any"}]}
    world.agents.set_ceiling("default", "coder", scope_of(narrow), ANN)
    assert isinstance(suggested(world, tasks=(task,)).suggestion.within, NotCovers)


def test_tasks_of_two_agents_unknown_ones_and_nothing_are_refused(world: World) -> None:
    first = world.settle_in()
    world.add_agent("other")
    second = world.start(agent="other")
    with pytest.raises(MixedAgentsError):
        suggested(world, tasks=(first.id, second.id))
    with pytest.raises(MixedAgentsError):
        suggested(world, tasks=(first.id,), agent="other")
    with pytest.raises(NoTaskError):
        suggested(world, tasks=("tsk_none",))
    with pytest.raises(UnknownIdentityError):
        suggested(world, agent="nobody")
    for order in ({}, {"tasks": (first.id,)}, {"agent": "coder"}):
        with pytest.raises(NothingToSuggestError):
            suggested(world, **order)
