"""What tasks have in targets is over with whatever takes their authority."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import LIVE, Credential, CredentialState
from taskbound.core.task import TaskEvent
from taskbound.flows.credential import end_stranded
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.revocation import stop
from tests.core.credential.crediting import made
from tests.world import ANN, World, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.ports.store import Store

S = CredentialState
STEPS: dict[str, Any] = {
    "steps": [
        {"name": "look", "grants": [{"tool": "bank__look", "others": "any"}]},
        {"name": "pay", "grants": [{"tool": "bank__pay", "others": "any"}]},
    ]
}
WIDE: dict[str, Any] = {
    "grants": [{"tool": "bank__pay", "others": "any"}, {"tool": "bank__look", "others": "any"}]
}
NARROW: dict[str, Any] = {"grants": [{"tool": "bank__look", "others": "any"}]}


def give(world: World, task: Task, letter: str, state: CredentialState = S.ACTIVE, **more: Any) -> Credential:
    """A credential of a task, as it stands after its permit."""
    now = world.clock.now()
    row = made(
        id="crd_" + letter * 35,
        task=task.id,
        agent=task.agent,
        state=state,
        made=now,
        ends=Instant(now + seconds(300)),
        acknowledged=True,
        **more,
    )
    world.store.write(lambda tx: tx.credentials.insert_credentials([row]))
    return row


def now_of(world: World, row: Credential) -> Credential:
    with world.store.read() as seen:
        found = seen.credentials.credential("default", row.id)
    assert found is not None
    return found


def recorded(world: World) -> list[dict[str, Any]]:
    return world.events("credential-moved")


WAYS: dict[str, Callable[[World, Task], object]] = {
    "completed": lambda world, task: world.tasks.end(
        "default", task.id, TaskEvent.COMPLETE, ANN, reason="done"
    ),
    "cancelled": lambda world, task: world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="no"),
    "revoked": lambda world, task: world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="no"),
    "paused": lambda world, task: world.tasks.pause("default", task.id, ANN, reason="wait"),
    "suspended": lambda world, _: world.agents.suspend("default", "coder", ANN, reason="odd"),
    "another step": lambda world, task: world.changes.step("default", task.id, "pay", ANN),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("state", [one for one in S if one in LIVE])
def test_i13_what_takes_a_tasks_authority_takes_its_credentials_in_the_same_transaction(
    world: World, how: str, state: CredentialState
) -> None:
    world.settle_in()
    task = world.start(scope=STEPS)
    child = world.child(task, scope=NARROW) if how != "another step" else task
    rows = [give(world, task, "a", state), give(world, child, "b", state)]
    other = give(world, world.start(), "c", state)
    WAYS[how](world, task)
    for row in rows:
        after = now_of(world, row)
        assert (after.state, after.why != "", after.version) == (S.REVOKING, True, row.version + 1)
        assert after.due <= world.clock.now()
    spared = now_of(world, other)
    assert (spared == other) is (how != "suspended")
    moved = recorded(world)
    assert {one["credential"] for one in moved} >= {one.id for one in rows}
    assert {one["after"] for one in moved} == {"revoking"}


def test_a_narrower_scope_takes_what_was_minted_by_the_wider_one_and_a_resumed_task_gets_nothing_back(
    world: World,
) -> None:
    world.settle_in()
    task = world.start(scope=WIDE)
    row = give(world, task, "a")
    world.changes.amend("default", task.id, scope_of(NARROW), ANN)
    assert now_of(world, row).why == "what its task may do was narrowed"
    later = give(world, task, "b")
    world.tasks.pause("default", task.id, ANN, reason="wait")
    world.tasks.resume("default", task.id, ANN)
    assert [now_of(world, one).state for one in (row, later)] == [S.REVOKING, S.REVOKING]
    assert end_stranded(world.adapters, "default") == 0


def test_what_is_over_is_not_ended_again(world: World) -> None:
    world.settle_in()
    task = world.start()
    over = (S.REVOKING, S.REVOKED, S.UNSUPPORTED)
    rows = [give(world, task, letter, state) for letter, state in zip("abc", over, strict=True)]
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="done")
    assert [now_of(world, one) for one in rows] == rows
    assert recorded(world) == []


def thrown(world: World) -> None:
    stop(world.adapters, "default", stopped=True, reason="halt", actor=ANN)


def left(world: World) -> None:
    People(world.adapters, world.views).leave("default", "ann", ANN, owns=True, reason="left")


def expired(world: World) -> None:
    world.clock.advance(4000)


@pytest.mark.parametrize("how", [thrown, left, expired])
def test_t22_what_rests_on_nothing_any_more_is_found_and_ended(
    world: World, how: Callable[[World], None]
) -> None:
    world.settle_in()
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    task = world.start()
    living = [one for one in S if one in LIVE]
    rows = [give(world, task, letter, state) for letter, state in zip("abc", living, strict=True)]
    assert end_stranded(world.adapters, "default") == 0
    how(world)
    assert end_stranded(world.adapters, "default") == 3
    for row in rows:
        after = now_of(world, row)
        assert (after.state, after.due <= world.clock.now()) == (S.REVOKING, True)
    assert len(recorded(world)) == 3
    assert end_stranded(world.adapters, "default") == 0


class Unwritten:
    """A store that is only read."""

    def __init__(self, store: Store) -> None:
        self.read = store.read

    def write(self, _: object) -> object:
        raise AssertionError("something is written")


def test_what_rests_on_something_is_looked_at_without_a_lock(world: World) -> None:
    world.settle_in()
    give(world, world.start(), "a")
    adapters = replace(world.adapters, store=Unwritten(world.store))  # type: ignore[arg-type]  # all that is asked
    assert end_stranded(adapters, "default") == 0
    thrown(world)
    with pytest.raises(AssertionError, match="something is written"):
        end_stranded(adapters, "default")


def test_what_is_paused_above_takes_what_is_beneath(world: World) -> None:
    world.settle_in()
    task = world.start(scope=WIDE)
    row = give(world, world.child(task, scope=NARROW), "a")
    world.tasks.pause("default", task.id, ANN, reason="wait")
    assert now_of(world, row).state is S.REVOKING


def test_another_namespace_is_not_looked_at(world: World) -> None:
    world.settle_in()
    row = give(world, world.start(), "a")
    thrown(world)
    assert end_stranded(world.adapters, "other") == 0
    assert now_of(world, row) == row


def test_a_canary_which_rests_on_no_task_is_left_alone_until_all_is_stopped(world: World) -> None:
    world.settle_in()
    canary = made(task="", agent="", action="", state=S.ACTIVE, made=world.clock.now())
    world.store.write(lambda tx: tx.credentials.insert_credentials([canary]))
    assert end_stranded(world.adapters, "default") == 0
    assert now_of(world, canary) == canary
    stop(world.adapters, "default", stopped=True, reason="odd", actor=ANN)
    assert end_stranded(world.adapters, "default") == 1
    assert now_of(world, canary).state is S.REVOKING
