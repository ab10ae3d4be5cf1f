from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql import SqlStore
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.task import TaskOrder
from tests.world import ANN, World, code_of, scope_of

if TYPE_CHECKING:
    from pathlib import Path

PAY = {"tool": "bank__pay", "others": "any", "uses": 4}
LOOK = {"tool": "bank__look", "others": "any"}
STEPS = {"steps": [{"name": "look", "grants": [LOOK]}, {"name": "pay", "grants": [PAY]}]}


def test_a_long_task_goes_on_after_restarts_in_its_step_with_its_children_and_what_is_left(
    tmp_path: Path,
) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    world.settle_in()
    world.add_agent("helper")
    order = TaskOrder(
        namespace="default",
        agent="coder",
        purpose="pay",
        seconds=86_400,
        scope=scope_of(STEPS),
        heartbeat=30,
        grace=600,
    )
    task = world.tasks.start(order, ANN)
    world.changes.step("default", task.id, "pay", ANN)
    child = world.delegate(task, scope=scope_of({"grants": [{**PAY, "uses": 2}]}))
    pay = {"to": "bob", "amount": 1}
    assert code_of(world.ask(child, arguments=pay, agent="helper")) == "permit"
    for turn in range(3):
        store.close()
        store = SqlStore(tmp_path / "t.db", reserve=0)
        world = World(store=store, clock=world.clock, chance=world.chance)
        world.clock.advance(3600)
        world.watch.begin()
        assert world.watch.look() == [], f"restart {turn} paused it"
        assert not {one.task for one in world.tasks.expire()} & {task.id, child.id}
        assert (world.task(task).step, world.task(task).deadline) == (1, task.deadline)
    assert world.task(child).shares == child.shares
    assert (world.left(task), world.left(child)) == ({"g1/uses": 2}, {"g0/uses": 1})
    later = {"agent": "helper", "connection": "con_later"}
    codes = [code_of(world.ask(child, arguments=pay, **later)) for _ in range(2)]
    assert codes == ["permit", "exhausted"]
    assert code_of(world.ask(task, "bank__look", {"path": "/srv"}, connection="con_later")) == "outside-scope"
    world.clock.advance(86_400)
    assert {one.task for one in world.tasks.expire()} == {task.id, child.id}
    with store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    store.close()
