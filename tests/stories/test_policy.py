from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.policy import FACTS
from taskbound.flows.action.explain import explain
from taskbound.flows.decision.facts import fact_words, parse_fact
from tests.sqlite import sqlite_store
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.policy import Fact

WIDE = {"grants": [{"tool": "bank__pay", "others": "any"}, {"tool": "bank__look", "others": "any"}]}
LARGE = """
@id("large") @hold("confirm")
forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.arguments.amount.greaterThan(decimal("100.0")) };
"""


def world_with(policies: str) -> World:
    return World(store=sqlite_store(), policy=base_bundle() + policies)


def test_a_policy_sees_the_arguments_of_each_call_and_not_those_of_the_one_before() -> None:
    world = world_with(LARGE)
    task = world.settle_in()
    task = world.start(scope=WIDE)
    amounts = [50, 150, 50.25, 100.01, 100]
    codes = [code_of(world.ask(task, "bank__pay", {"to": "bob", "amount": one})) for one in amounts]
    assert codes == ["permit", "hold", "permit", "hold", "permit"]


def test_an_argument_that_can_not_be_told_refuses_where_a_policy_reads_it_and_nowhere_else() -> None:
    world = world_with(LARGE)
    world.settle_in()
    task = world.start(scope=WIDE)
    fine: dict[str, Any] = {"to": "bob", "amount": 0.00001}
    answer = world.ask(task, "bank__pay", fine)
    assert code_of(answer) == "unmapped-argument"
    assert "large: it reads `arguments/amount`" in str(answer)
    assert code_of(world.ask(task, "bank__pay", {"to": 3, "amount": 1})) == "permit"
    assert code_of(world.ask(world.start(scope=WIDE), "bank__look", {"path": 0.00001})) == "permit"


def test_a_policy_sees_the_age_of_the_task_as_it_is_at_each_call() -> None:
    world = world_with(
        '@id("old") forbid (principal, action, resource) when { context.task.age >= 60 };'
        '@id("late") @hold("confirm") forbid (principal, action, resource)'
        "when { context.task.remaining < 10 };"
    )
    world.settle_in()
    task = world.start(scope=WIDE, seconds=65)
    assert code_of(world.ask(task)) == "permit"
    world.clock.advance(56)
    assert code_of(world.ask(task)) == "hold"
    world.clock.advance(4)
    assert code_of(world.ask(task)) == "forbidden"


@pytest.mark.parametrize(
    "condition",
    [
        'principal.owner == Taskbound::Person::"default/ann"',
        'principal.approvers.contains(Taskbound::Person::"default/ann")',
        'principal.name == "coder" && principal.namespace == "default"',
        "context.task.requester == principal.owner",
        'context.task.purpose == "pay bills" && context.task.evidence.isEmpty() && context.task.depth == 0',
        'resource.effect == "destructive" && resource.open_world && resource.server == "bank"',
        'resource.name == "bank__pay"',
        'context.attempt == 1 && context.flags.isEmpty() && context.proof like "peer-uid:*"',
    ],
)
def test_a_policy_reads_facts_of_identity_task_and_tool(condition: str) -> None:
    for text, code in ((condition, "forbidden"), (f"!({condition})", "permit")):
        world = world_with(f'@id("it") forbid (principal, action, resource) when {{ {text} }};')
        world.settle_in()
        assert code_of(world.ask(world.start(scope=WIDE))) == code


def test_a_decision_that_read_facts_and_arguments_replays_to_the_same_answer() -> None:
    world = world_with(
        LARGE + '@id("old") forbid (principal, action, resource)'
        "when { context.task.age >= 60 && principal.approvers.contains(principal.owner) };"
    )
    world.settle_in()
    task = world.start(scope=WIDE)
    for arguments, seconds in (({"to": "bob", "amount": 1}, 0), ({"to": "b", "amount": 500}, 0), (None, 70)):
        world.clock.advance(seconds)
        answer = world.ask(task, "bank__pay", arguments)
        found = explain(world.adapters, "default", id_of(answer))
        assert found.replay == "same"


def test_every_fact_is_worked_out_and_is_read_back_from_its_record_as_it_was() -> None:
    examples: dict[str, Fact] = {
        "truth": False,
        "number": 3,
        "text": "a b",
        "texts": ("a b", "c"),
        "person": "ann",
        "persons": ("ann",),
    }
    for name, kind in FACTS.items():
        given = examples[kind.value]
        assert parse_fact(name, fact_words(given)) == given
    assert parse_fact("flags", fact_words(())) == ()
