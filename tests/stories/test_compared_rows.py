from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.task import TaskEvent
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity.person import set_demo, withdraw
from tests.peers.openssh import Device
from tests.peers.people import enrolled, proven
from tests.stories.test_edited_rows import place
from tests.world import ANN, World, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.audit.rows import Comparison


def compare(world: World, seen: list[tuple[int, int]] | None = None) -> Comparison:
    told = [] if seen is None else seen
    with world.store.read() as snapshot:
        return compare_rows(snapshot, lambda done, total: told.append((done, total)))


def live_through(world: World) -> Task:
    """Outcomes of each kind, what is open, held and refused, and a task that ended before its action."""
    task = world.settle_in()
    world.tell(id_of(world.ask(task)))
    world.tell(id_of(world.ask(task, arguments={"to": "eve", "amount": 1})), "not-sent", None)
    world.tell(id_of(world.ask(task, arguments={"to": "eve", "amount": 2})), "unknown", None)
    world.ask(task, arguments={"to": "eve", "amount": 2})  # held
    world.ask(task, arguments={"to": "mallory", "amount": 1})
    world.ask(task, arguments={"to": "eve", "amount": 3})  # open
    over = world.start()
    late = id_of(world.ask(over, arguments={"to": "eve", "amount": 4}))
    world.tasks.end("default", over.id, TaskEvent.COMPLETE, ANN, reason="")
    world.tell(late, "not-sent", None)
    key = enrolled(world, "ann", Device())
    enrolled(world, "ann", Device())
    set_demo(world.adapters, "trial", demo=True, actor=ANN, owns=True)
    withdraw(world.adapters, "default", proven(world, "ann", Device()).key.id, ANN, owns=False, reason="")
    assert key.enrolled_by == "first"
    return task


def test_rows_that_nobody_edited_are_what_the_log_says(world: World) -> None:
    live_through(world)
    seen: list[tuple[int, int]] = []
    place(world)
    world.ask(world.start(), arguments={"to": "eve", "amount": 5})  # without a place in the log
    found = compare(world, seen)
    assert found.differences == ()
    assert (found.found, found.actions, found.tasks) == (0, 8, 3)
    assert seen[-1] == (found.records, found.records)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("remainders SET remaining = remaining + 1 WHERE name = 'g0/uses'", "left of `g0/uses`"),
        ("person_keys SET state = 'enrolled' WHERE state = 'proven'", "not as its records leave it"),
        ("person_keys SET state = 'enrolled' WHERE state = 'withdrawn'", "not as its records leave it"),
        ("person_keys SET usable_from = 1 WHERE state = 'enrolled'", "not as its records leave it"),
        ("person_keys SET person = 'bob' WHERE state = 'enrolled'", "not as its records leave it"),
        ("person_keys SET public = x'00' WHERE state = 'enrolled'", "fingerprint of its public half"),
        ("person_keys SET id = 'key_new' WHERE state = 'enrolled'", "no record proposed it"),
        ("person_keys SET id = 'key_new' WHERE state = 'enrolled'", "was recorded, and is not there"),
        ("namespaces SET keys = 0 WHERE namespace = 'default'", "enroll another number"),
        ("namespaces SET demo = 1 WHERE namespace = 'default'", "is a demo, and its records say otherwise"),
        ("namespaces SET demo = 0 WHERE namespace = 'trial'", "is no demo, and its records say otherwise"),
        ("actions SET state = 'unknown' WHERE state = 'succeeded'", "its record says `succeeded`"),
        ("actions SET state = 'succeeded' WHERE state = 'permitted'", "no record says that it ended"),
        ("actions SET state = 'permitted' WHERE state = 'held'", "its record says hold"),
        (
            "actions SET answer = CAST('{}' AS BLOB) WHERE answer IS NOT NULL",
            "not the one that its record",
        ),
        ("actions SET answer = CAST('{}' AS BLOB) WHERE state = 'permitted'", "has an answer"),
        ("actions SET released = 1 WHERE state = 'unknown'", "another answer or release"),
        ("actions SET charges = '[]' WHERE state = 'succeeded'", "another charge"),
        ("actions SET decision = 'permit' WHERE state = 'refused'", "another decision"),
        ("actions SET digest = act_key WHERE state = 'refused'", "another digest"),
        ("tasks SET state = 'running' WHERE state = 'completed'", "its records say `completed`"),
        ("tasks SET deadline = deadline + 1", "another agent or deadline"),
    ],
)
def test_each_row_that_was_edited_is_named(tmp_path: Path, edit: str, words: str) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    live_through(world)
    place(world)
    connection = driver.connect(tmp_path / "t.db")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # who edits rows takes their guard away first
    assert connection.execute(f"UPDATE {edit}").rowcount > 0
    connection.commit()
    connection.close()
    assert any(words in one for one in compare(world).differences), compare(world).differences
    store.close()


def test_a_row_that_was_deleted_is_named(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    live_through(world)
    place(world)
    connection = driver.connect(tmp_path / "t.db")
    assert connection.execute("DELETE FROM actions WHERE state = 'refused'").rowcount == 1
    connection.commit()
    connection.close()
    assert any("is not there" in one for one in compare(world).differences)
    store.close()
