from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.task import NoTaskError, TaskEvent
from taskbound.flows.decision.context import ContextCache
from taskbound.flows.revocation import stop
from tests.world import ANN, CEILING, LOOK, PAY, World, code_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from taskbound.core.task import Task
    from taskbound.ports.store import Transaction

OTHER_PAY = PAY | {"inputSchema": {"type": "object"}}

NOW = Instant(1)


def revoke(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="enough")


def pause(world: World, task: Task) -> None:
    world.tasks.pause("default", task.id, ANN, reason="lunch")


def suspend(world: World, _: Task) -> None:
    world.agents.suspend("default", "coder", ANN, reason="odd")


def stop_all(world: World, _: Task) -> None:
    stop(world.adapters, "default", stopped=True, reason="fire", actor=ANN)


def change_tool(world: World, _: Task) -> None:
    with world.store.read() as snapshot:
        server = snapshot.tools.server("default", "bank")
    assert server is not None
    raws = [json.dumps(one).encode() for one in (OTHER_PAY, LOOK)]
    world.sights.see("default", "bank", server.identity, raws, agent="coder")


def narrow_ceiling(world: World, _: Task) -> None:
    def work(tx: Transaction) -> None:
        agent = tx.identities.agent("default", "coder")
        assert agent is not None
        narrow = scope_of({"grants": CEILING["grants"][1:]})
        tx.identities.put_agent(
            replace(agent, ceiling=narrow, version=agent.version + 1), expect=agent.version
        )

    world.store.write(work)


CHANGES = pytest.mark.parametrize(
    ("change", "code"),
    [
        (revoke, "task-ended"),
        (pause, "task-paused"),
        (suspend, "inactive-agent"),
        (stop_all, "stopped"),
        (change_tool, "tool-changed"),
        (narrow_ceiling, "outside-scope"),
    ],
)


@CHANGES
def test_a_call_after_a_change_of_this_daemon_is_judged_anew(
    world: World, change: Callable[[World, Task], None], code: str
) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    change(world, task)
    assert code_of(world.ask(task)) == code


@CHANGES
def test_a_call_after_a_change_of_another_daemon_is_judged_anew(
    world: World, change: Callable[[World, Task], None], code: str
) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    change(world.beside(), task)
    assert code_of(world.ask(task)) == code


@CHANGES
def test_a_change_that_commits_while_a_decision_waits_wins(
    world: World, change: Callable[[World, Task], None], code: str
) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    other, call = world.beside(), world.call(task)
    world.meanwhile(lambda: change(other, task))
    (answer,) = world.decisions.decide([call])
    assert code_of(answer) == code


def test_a_deadline_ends_what_was_remembered_of_its_task(world: World) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    world.clock.advance(3600)
    assert code_of(world.ask(task, arguments={"to": "mallory", "amount": 1})) == "task-expired"


def test_an_ancestors_deadline_ends_what_was_remembered_of_a_task(world: World) -> None:
    world.settle_in()
    parent = world.start(seconds=60)
    child = world.child(parent)
    late = replace(child, deadline=Instant(parent.deadline + 9_000_000), version=2)
    world.store.write(lambda tx: tx.tasks.put_task(late, expect=1))
    assert code_of(world.ask(child)) == "permit"
    world.clock.advance(60)
    assert code_of(world.ask(child, arguments={"to": "mallory", "amount": 1})) == "task-expired"


def test_a_call_that_is_bound_to_no_task_gains_nothing_from_one_that_was(world: World) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    assert code_of(world.ask(task, unbound=NoTaskError("none"))) == "no-task"
    assert code_of(world.ask(task)) == "permit"


def test_a_tool_that_was_missing_is_found_once_it_is_pinned(world: World) -> None:
    task = world.settle_in()
    standings = ContextCache(world.views, world.adapters.policy)
    call = world.call(task, "bank__burn")
    assert standings.of(call) is not standings.of(call)


def test_what_a_standing_remembers_is_bounded_and_the_oldest_goes(world: World) -> None:
    task = world.settle_in()
    standings = ContextCache(world.views, world.adapters.policy, most=1)
    first = standings.of(world.call(task))
    assert standings.of(world.call(task)) is first
    standings.of(world.call(task, "bank__look"))
    assert standings.of(world.call(task)) is not first
    case = first.case((), "none", "proof 0", NOW)
    assert first.case((), "none", "proof 0", NOW) is case
    for number in range(1, 33):
        first.case((), "none", f"proof {number}", NOW)
    assert first.case((), "none", "proof 0", NOW) is not case


def test_flags_outcome_and_proof_each_make_another_case(world: World) -> None:
    standing = ContextCache(world.views, world.adapters.policy).of(world.call(world.settle_in()))
    cases = [
        standing.case(flags, outcome, proof, NOW)
        for flags in ((), ("bidi",))
        for outcome in ("none", "unknown")
        for proof in ("a", "b")
    ]
    assert len({id(one) for one in cases}) == len(cases)


@pytest.mark.parametrize(
    "bound",
    [
        {"arguments": {"to": {"one_of": ["bob"]}, "amount": {"any": True}}},
        {"arguments": {"amount": {"range": {"min": 0, "max": 9}}}, "others": "any"},
        {"arguments": {"note": {"any": True}}, "others": "any"},
        {},
    ],
    ids=["closed", "narrower", "required", "default-only"],
)
def test_a_ceiling_and_an_ancestor_that_say_anything_are_asked_for_each_call(
    world: World, bound: dict[str, Any]
) -> None:
    world.settle_in()
    narrow = {"grants": [{"tool": "bank__pay"} | bound, {"tool": "bank__look", "others": "any"}]}
    world.add_agent("narrow")
    begun = world.start(agent="narrow")
    world.agents.set_ceiling("default", "narrow", scope_of(narrow), ANN)
    beneath = world.child(world.start(scope=narrow))
    for one, agent in ((begun, "narrow"), (beneath, "coder")):
        arguments = {"to": "eve", "amount": 10}
        assert code_of(world.ask(one, "bank__look", {"path": "/srv/a"}, agent=agent)) == "permit"
        assert code_of(world.ask(one, arguments=arguments, agent=agent)) == "outside-scope"


def test_a_ceiling_that_says_nothing_of_the_arguments_is_not_asked(world: World) -> None:
    standing = ContextCache(world.views, world.adapters.policy).of(world.call(world.settle_in()))
    assert standing.require(None, world.clock.now()).bounds == ()


def test_law_3_what_an_ancestor_permits_in_a_later_step_is_not_permitted_beneath_it_now(world: World) -> None:
    world.settle_in()
    anything = {"tool": "bank__pay", "others": "any"}
    steps = [
        {"name": "look", "grants": [{"tool": "bank__look", "others": "any"}]},
        {"name": "pay", "grants": [anything]},
    ]
    beneath = world.child(world.start(scope={"steps": steps}), scope={"grants": [anything]})
    assert code_of(world.ask(beneath, arguments={"to": "eve", "amount": 1})) == "outside-scope"
