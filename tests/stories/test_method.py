"""What a server has beside its tools, from its pin to the decision, in every store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.errors import DeniedError
from taskbound.core.task import TaskEvent
from taskbound.core.tool import BadToolNameError, LookAlikeToolError, ServerIdentity
from taskbound.flows.decision.coverage import covered_of
from tests.sqlite import sqlite_store
from tests.world import ANN, PAY, World, code_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.task import Task

READ = "files__resources/read"
GET = "files__prompts/get"
FILES = ServerIdentity(namespace="default", command="/f", resolved="/f", sha256="1" * 64)
WIDE = {"grants": [{"tool": READ, "others": "any"}, {"tool": GET, "others": "any"}]}
NARROW = {
    "grants": [
        {"tool": READ, "arguments": {"uri": {"glob": "file:///srv/**"}}, "uses": 2},
        {"tool": GET, "arguments": {"name": {"equals": "review"}, "arguments.topic": {"one_of": ["a"]}}},
    ]
}


def pin(world: World, *methods: str, tools: Sequence[dict[str, Any]] = ()) -> None:
    raws = [json.dumps(one).encode() for one in tools]
    world.pins.add("files", FILES, b"{}", raws, agents=(), actor=ANN, methods=methods)


def settle(world: World, *, ceiling: dict[str, Any] = WIDE, scope: dict[str, Any] = NARROW) -> Task:
    world.settle_in()
    world.add_agent("reader", ceiling=ceiling)
    pin(world, "resources/read", "prompts/get")
    return world.start(scope=scope, agent="reader")


def read(world: World, task: Task, uri: object, **more: Any) -> str:
    return code_of(world.ask(task, READ, {"uri": uri}, agent="reader", **more))


def covered(world: World, task: Task, tool: str, how: str, *calls: dict[str, Any]) -> tuple[int, ...]:
    ground = world.decisions.ground(world.call(task, tool, {}, agent="reader"))
    return covered_of(ground, [json.dumps(one).encode() for one in calls], how)


def test_a_read_is_granted_charged_and_recorded_like_any_call(world: World) -> None:
    task = settle(world)
    assert read(world, task, "file:///srv/a") == "permit"
    assert read(world, task, "file:///etc/passwd") == "outside-scope"
    assert read(world, task, "file:///srv/../etc/passwd") == "outside-scope"
    assert code_of(world.ask(task, READ, {"uri": "file:///srv/a", "_meta": {}}, agent="reader")) == (
        "outside-scope"
    )
    assert read(world, task, "file:///srv/b") == "permit"
    assert read(world, task, "file:///srv/c") == "exhausted"
    assert [one["tool"] for one in world.events("action-decided")] == [READ] * 6


def test_a_capability_that_comes_later_is_out_of_reach_until_the_server_is_pinned_anew(world: World) -> None:
    task = settle(world)
    world.pins.remove("default", "files", ANN)
    pin(world, "prompts/get")
    both = ["prompts/get", "resources/read"]
    assert world.sights.see("default", "files", FILES.digest, [], agent="reader", methods=both) == ()
    assert read(world, task, "file:///srv/a") == "unknown-tool"
    world.pins.remove("default", "files", ANN)
    pin(world, "prompts/get", "resources/read")
    assert read(world, task, "file:///srv/a") == "permit"


def test_a_capability_that_goes_takes_what_was_pinned_with_it_and_brings_it_back(world: World) -> None:
    task = settle(world)
    (gone,) = world.sights.see("default", "files", FILES.digest, [], agent="reader", methods=["prompts/get"])
    assert (gone.tool, gone.state) == (READ, "gone")
    assert read(world, task, "file:///srv/a") == "tool-changed"
    both = ["prompts/get", "resources/read"]
    assert world.sights.see("default", "files", FILES.digest, [], agent="reader", methods=both) == ()
    assert read(world, task, "file:///srv/a") == "permit"


def test_no_server_calls_a_tool_of_its_own_by_the_name_of_a_method(world: World) -> None:
    task = settle(world)
    world.pins.remove("default", "files", ANN)
    for name in ("resources/read", "prompts/get", "resources/list"):
        with pytest.raises(BadToolNameError):
            pin(world, tools=[PAY | {"name": name}])
    with pytest.raises(LookAlikeToolError):
        pin(world, "resources/read", tools=[PAY | {"name": "Resources_Read"}])
    pin(world, "resources/read", tools=[PAY])
    listed = [json.dumps(one).encode() for one in (PAY, PAY | {"name": "resources/read"})]
    world.sights.see("default", "files", FILES.digest, listed, agent="reader", methods=["resources/read"])
    assert read(world, task, "file:///srv/a") == "tool-changed"


def test_a_method_that_there_is_not_is_not_pinned(world: World) -> None:
    world.settle_in()
    with pytest.raises(BadToolNameError):
        pin(world, "resources/unsubscribe")


def test_lists_show_what_a_grant_covers(world: World) -> None:
    task = settle(world, ceiling=WIDE)
    uris: tuple[dict[str, Any], ...] = ({"uri": "file:///srv/a"}, {"uri": "file:///etc/a"}, {"uri": 5}, {})
    assert covered(world, task, READ, "whole", *uris) == (0,)
    prompts = ({"name": "review"}, {"name": "Review"}, {"name": "other"})
    assert covered(world, task, GET, "begun", *prompts) == (0,)
    assert covered(world, task, GET, "whole", *prompts) == ()
    templates = ("file:///srv/{p}", "file:///{+p}", "file:///etc/{p}", "http://x/{p}", "{+p}", "{")
    assert covered(world, task, READ, "template", *({"uri": one} for one in templates)) == (0, 1, 4)


def test_lists_are_bounded_by_the_ceiling_of_now(world: World) -> None:
    task = settle(world, scope=WIDE)
    calls = ({"uri": "x:"}, {"uri": "y:"})
    for how in ("whole", "begun", "template"):
        assert covered(world, task, READ, how, *calls) == (0, 1)
    narrow = scope_of({"grants": [{"tool": READ, "arguments": {"uri": {"equals": "x:"}}}]})
    world.agents.set_ceiling("default", "reader", narrow, ANN)
    for how in ("whole", "begun", "template"):
        assert covered(world, task, READ, how, *calls) == (0,)


def test_a_list_is_bounded_by_the_tasks_above_and_by_the_step(world: World) -> None:
    world.settle_in()
    world.add_agent("reader", ceiling=WIDE)
    pin(world, "resources/read", "prompts/get")
    above = world.start(
        scope={"grants": [{"tool": READ, "arguments": {"uri": {"glob": "file:///srv/**"}}}]}, agent="reader"
    )
    below = world.child(above, scope={"grants": [{"tool": READ, "others": "any"}]})
    for how in ("whole", "begun", "template"):
        calls = ({"uri": "file:///srv/a"}, {"uri": "file:///etc/a"})
        assert covered(world, below, READ, how, *calls) == (0,)
    steps = {
        "steps": [
            {"name": "one", "grants": [{"tool": GET, "others": "any"}]},
            {"name": "two", "grants": [{"tool": READ, "others": "any"}]},
        ]
    }
    early = world.start(scope=steps, agent="reader")
    for how in ("whole", "begun", "template"):
        assert covered(world, early, READ, how, {"uri": "file:///srv/a"}) == ()


def test_nothing_is_listed_for_a_task_that_has_ended(world: World) -> None:
    task = settle(world)
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
    with pytest.raises(DeniedError):
        covered(world, task, READ, "whole", {"uri": "file:///srv/a"})


def test_a_policy_forbids_a_uri_by_what_it_says() -> None:
    rule = (
        '@id("secret") forbid (principal, action == Taskbound::Action::"files__resources/read", resource)'
        ' when { context.arguments.uri like "*secret*" };'
    )
    world = World(store=sqlite_store(), policy=base_bundle() + rule)
    task = settle(world)
    assert read(world, task, "file:///srv/a") == "permit"
    assert read(world, task, "file:///srv/secret") == "forbidden"
