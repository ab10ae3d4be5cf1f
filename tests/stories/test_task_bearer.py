from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.clock.system import SystemChance
from taskbound.core.task import (
    BadBearerError,
    NoTaskError,
    NotInChargeError,
    TaskEndedError,
    TaskEvent,
    TaskExpiredError,
)
from taskbound.flows.means import Actor
from taskbound.flows.task import hold_bearer, make_bearer, open_bearer
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from tests.world import World

BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")


def opened(world: World, bearer: str, namespace: str = "default") -> str:
    task, _ = open_bearer(world.means, namespace, bearer)
    return task.id


def made(world: World, task: Task, actor: Actor = ANN) -> str:
    return make_bearer(world.means, "default", task.id, actor)


def test_a_bearer_opens_its_task_and_no_other_one_that_runs(world: World) -> None:
    one = world.settle_in()
    other = world.start()
    first, second = made(world, one), made(world, other)
    assert opened(world, first) == one.id
    assert opened(world, second) == other.id
    crossed = f"{one.id}.{second.partition('.')[2]}"
    with pytest.raises(BadBearerError):
        opened(world, crossed)


def test_a_bearer_is_recorded_when_it_is_made_and_neither_it_nor_its_secret_is_kept(world: World) -> None:
    task = world.settle_in()
    first = made(world, task)
    second = made(world, task)
    events = world.events("task-bearer-made")
    assert [(one["task"], one["agent"], one["replaced"], one["by"]) for one in events] == [
        (task.id, "coder", False, "ann"),
        (task.id, "coder", True, "ann"),
    ]
    with world.store.read() as snapshot:
        kept = snapshot.bearers.bearer("default", task.id)
    for bearer in (first, second):
        secret = bearer.partition(".")[2]
        assert secret not in repr(events) + repr(kept)


def test_a_new_bearer_ends_the_one_before_also_where_that_is_held(world: World) -> None:
    task = world.settle_in()
    first = made(world, task)
    _, digest = open_bearer(world.means, "default", first)
    assert hold_bearer(world.means, "default", task.id, digest).id == task.id
    second = made(world, task)
    with pytest.raises(BadBearerError):
        opened(world, first)
    with pytest.raises(BadBearerError):
        hold_bearer(world.means, "default", task.id, digest)
    assert opened(world, second) == task.id


def test_a_bearer_ends_with_its_task(world: World) -> None:
    task = world.settle_in()
    bearer = made(world, task)
    _, digest = open_bearer(world.means, "default", bearer)
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="")
    with pytest.raises(TaskEndedError, match="revoked"):
        opened(world, bearer)
    with pytest.raises(TaskEndedError):
        hold_bearer(world.means, "default", task.id, digest)
    with pytest.raises(TaskEndedError):
        made(world, task)


def test_a_bearer_opens_nothing_from_the_deadline_on_though_nobody_has_ended_the_task(world: World) -> None:
    task = world.settle_in()
    bearer = made(world, task)
    world.clock.advance(3600)
    with pytest.raises(TaskExpiredError):
        opened(world, bearer)
    with pytest.raises(TaskExpiredError):
        made(world, task)


def test_a_paused_task_can_be_opened_for_it_may_be_resumed(world: World) -> None:
    task = world.settle_in()
    bearer = made(world, task)
    world.tasks.pause("default", task.id, ANN, reason="")
    assert opened(world, bearer) == task.id


def test_a_bearer_is_made_by_the_requester_or_the_owner_of_the_agent_and_by_nobody_else(world: World) -> None:
    task = world.settle_in()
    with pytest.raises(NotInChargeError):
        made(world, task, BOB)
    assert world.events("task-bearer-made") == []
    with pytest.raises(NoTaskError):
        make_bearer(world.means, "default", "tsk_none", ANN)


def test_a_bearer_of_another_namespace_opens_nothing(world: World) -> None:
    task = world.settle_in()
    bearer = made(world, task)
    with pytest.raises(BadBearerError):
        opened(world, bearer, "other")


def test_secrets_are_of_256_bits_and_none_comes_twice() -> None:
    secrets = {SystemChance().secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(one) for one in secrets} == {43}
