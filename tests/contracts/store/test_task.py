from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.scope.algebra import Share
from taskbound.core.task import ENDED, Heartbeat, Holds, TaskState
from taskbound.ports.store import ConflictError, StoreUnavailableError
from taskbound.ports.task import Run
from tests.contracts.store.rows import NOW, OTHER, SPACE, WIDE, read, task, template

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store, Transaction

LIMITS = {"g0/uses": 10, "g0/total/amount": 2**63 - 1}


def put(store: Store, *tasks: Task) -> None:
    def work(tx: Transaction) -> None:
        for one in tasks:
            tx.tasks.put_task(one, expect=0)

    store.write(work)


def ids(tasks: tuple[Task, ...]) -> list[str]:
    return [one.id for one in tasks]


@pytest.mark.parametrize("state", list(TaskState))
def test_a_task_is_read_as_it_was_written(store: Store, state: TaskState) -> None:
    written = replace(
        task(),
        state=state,
        evidence=(),
        scope=WIDE,
        parent="tsk_0",
        root="tsk_0",
        learning=True,
        step=2,
        scope_version=3,
        since=NOW,
        base=(("g0/total/amount", 2**63 - 1), ("g0/uses", 7)),
        shares=(
            Share(child="g0", parent="g1", taken=(("g1/uses", 7),)),
            Share(child="g0", parent="g2", taken=()),
        ),
        heartbeat=30,
        grace=600,
        holds=Holds.OUTLIVE_CALL,
    )
    put(store, written)
    found = read(store, lambda seen: seen.tasks.task(SPACE, "tsk_1"))
    assert found == written
    assert found is not None
    assert found.scope.canonical == WIDE.canonical
    assert read(store, lambda seen: seen.tasks.task(OTHER, "tsk_1")) is None


@pytest.mark.parametrize("expect", [0, 2])
def test_a_task_of_another_version_than_expected_conflicts(store: Store, expect: int) -> None:
    put(store, task())
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.put_task(task(version=9), expect=expect))
    store.write(lambda tx: tx.tasks.put_task(task(version=2), expect=1))
    assert read(store, lambda seen: seen.tasks.task(SPACE, "tsk_1")) == task(version=2)


def test_tasks_come_newest_first_page_by_page(store: Store) -> None:
    put(store, *(task(f"tsk_{n}", started=n // 2) for n in range(7)))
    put(store, task("tsk_9", namespace=OTHER, started=99))
    with store.read() as seen:
        everything = ids(seen.tasks.tasks(SPACE))
        assert everything == ["tsk_6", "tsk_5", "tsk_4", "tsk_3", "tsk_2", "tsk_1", "tsk_0"]
        first = ids(seen.tasks.tasks(SPACE, limit=3))
        second = ids(seen.tasks.tasks(SPACE, limit=3, before=first[-1]))
        third = ids(seen.tasks.tasks(SPACE, limit=3, before=second[-1]))
        assert first + second + third == everything
        assert seen.tasks.tasks(SPACE, before="tsk_0") == ()
        assert seen.tasks.tasks(SPACE, before="unknown") == ()


def test_tasks_are_found_by_agent_and_state(store: Store) -> None:
    states = (TaskState.RUNNING, TaskState.PAUSED, TaskState.REVOKED)
    put(
        store,
        *(
            task(f"tsk_{agent}_{state.value}", agent=agent, state=state, started=n)
            for agent in ("coder", "other")
            for n, state in enumerate(states)
        ),
    )
    with store.read() as seen:
        running = {TaskState.RUNNING}
        assert ids(seen.tasks.tasks(SPACE, agent="coder", states=running)) == ["tsk_coder_running"]
        assert ids(seen.tasks.tasks(SPACE, states=running)) == ["tsk_other_running", "tsk_coder_running"]
        assert ids(seen.tasks.tasks(SPACE, agent="other")) == [
            "tsk_other_revoked",
            "tsk_other_paused",
            "tsk_other_running",
        ]
        both = seen.tasks.tasks(
            SPACE, agent="coder", states={TaskState.RUNNING, TaskState.PAUSED}, before="tsk_coder_revoked"
        )
        assert ids(both) == ["tsk_coder_paused", "tsk_coder_running"]
        assert seen.tasks.count(SPACE, TaskState.PAUSED) == 2
        assert seen.tasks.count(SPACE, TaskState.FAILED) == 0
        assert seen.tasks.count(OTHER, TaskState.PAUSED) == 0


def test_due_tasks_are_those_not_ended_whose_deadline_has_come_in_any_namespace(store: Store) -> None:
    put(
        store,
        task("late", lifetime=30),
        task("later", lifetime=40, namespace=OTHER, state=TaskState.PAUSED),
        task("first", lifetime=10, state=TaskState.PROPOSED),
        task("not yet", lifetime=41),
        *(task(f"ended {state.value}", lifetime=5, state=state) for state in ENDED),
    )
    with store.read() as seen:
        assert ids(seen.tasks.due(Instant(NOW + 40))) == ["first", "late", "later"]
        assert ids(seen.tasks.due(Instant(NOW + 40), limit=2)) == ["first", "late"]
        assert seen.tasks.due(Instant(NOW + 9)) == ()


def test_heads_are_those_of_the_tasks_and_all_their_ancestors(store: Store) -> None:
    root = task("root")
    child = task("child", parent=root, version=3)
    leaf = task("leaf", parent=child, state=TaskState.PAUSED)
    put(store, root, child, leaf, task("stranger"), task("root", namespace=OTHER, version=8))
    expected = {one.id: one.head for one in (root, child, leaf)}
    assert read(store, lambda seen: seen.tasks.heads(SPACE, {"leaf"})) == expected
    assert store.write(lambda tx: tx.tasks.lock_heads(SPACE, {"leaf", "child"})) == expected
    assert store.write(lambda tx: tx.tasks.lock_heads(SPACE, {"nobody"})) == {}
    assert store.write(lambda tx: tx.tasks.lock_heads(SPACE, ())) == {}
    assert read(store, lambda seen: seen.tasks.heads(SPACE, ["root"])) == {"root": root.head}


def test_the_head_of_a_child_without_its_parent_comes_alone(store: Store) -> None:
    orphan = replace(task("orphan"), parent="gone")
    put(store, orphan)
    assert read(store, lambda seen: seen.tasks.heads(SPACE, ["orphan"])) == {"orphan": orphan.head}


def test_children_are_all_descendants_that_are_not_ended_nearest_first(store: Store) -> None:
    root = task("root")
    first, second = task("b", parent=root, started=1), task("a", parent=root, started=2)
    ended = task("ended", parent=root, state=TaskState.FAILED, started=3)
    below = task("below", parent=ended, started=0)
    deep = task("deep", parent=first, started=0)
    put(store, root, first, second, ended, below, deep, task("root", namespace=OTHER))
    with store.read() as seen:
        assert ids(seen.tasks.children(SPACE, "root")) == ["b", "a", "below", "deep"]
        assert ids(seen.tasks.children(SPACE, "deep")) == []
        assert ids(seen.tasks.children(OTHER, "root")) == []
        assert seen.tasks.children(SPACE, "") == ()


def test_limits_are_opened_once_and_read_by_name(store: Store) -> None:
    put(store, task())
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    store.write(lambda tx: tx.tasks.open_limits(OTHER, "tsk_1", {"g0/uses": 1}))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == LIMITS
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_2")) == {}
    locked = store.write(lambda tx: tx.tasks.lock_remainders(SPACE, {"tsk_1", "tsk_2"}))
    assert locked == {"tsk_1": LIMITS, "tsk_2": {}}
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 5}))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == LIMITS


def test_opening_no_limits_changes_nothing(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {}))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {}


def test_remainders_change_from_what_they_must_be_to_what_they_become(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_2", LIMITS))
    changes = {
        ("tsk_1", "g0/uses"): (10, 0),
        ("tsk_1", "g0/total/amount"): (2**63 - 1, 5),
        ("tsk_2", "g0/uses"): (10, 9),
    }
    store.write(lambda tx: tx.tasks.set_remainders(SPACE, changes))
    with store.read() as seen:
        assert seen.tasks.remainders(SPACE, "tsk_1") == {"g0/uses": 0, "g0/total/amount": 5}
        assert seen.tasks.remainders(SPACE, "tsk_2")["g0/uses"] == 9


@pytest.mark.parametrize(
    "wrong", [("tsk_1", "g0/uses", 9), ("tsk_1", "g1/uses", 10), ("tsk_9", "g0/uses", 10)]
)
def test_one_remainder_that_is_another_one_conflicts_and_takes_back_all(
    store: Store, wrong: tuple[str, str, int]
) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    task_id, limit, before = wrong
    changes = {("tsk_1", "g0/total/amount"): (2**63 - 1, 5), (task_id, limit): (before, 1)}
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.set_remainders(SPACE, changes))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == LIMITS


def test_remainders_of_another_namespace_are_not_these(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.set_remainders(OTHER, {("tsk_1", "g0/uses"): (10, 9)}))


def test_a_remainder_below_nothing_is_refused_by_the_store_itself(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    with pytest.raises(StoreUnavailableError):
        store.write(lambda tx: tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (10, -1)}))
    with pytest.raises(StoreUnavailableError):
        store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_2", {"g0/uses": -1}))
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == LIMITS


def test_templates_are_kept_changed_and_forgotten(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for one in (template("review"), template("deploy"), template(namespace=OTHER)):
            tx.tasks.put_template(one, expect=0)

    store.write(work)
    changed = replace(template(version=2), scope=WIDE, seconds=7)
    store.write(lambda tx: tx.tasks.put_template(changed, expect=1))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.put_template(template(version=2), expect=1))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.tasks.put_template(template(), expect=0))
    assert read(store, lambda seen: seen.tasks.templates(SPACE)) == (template("deploy"), changed)
    store.write(lambda tx: tx.tasks.drop_template(SPACE, "review"))
    store.write(lambda tx: tx.tasks.drop_template(SPACE, "review"))
    assert read(store, lambda seen: seen.tasks.template(SPACE, "review")) is None
    assert read(store, lambda seen: seen.tasks.template(OTHER, "review")) is not None
    store.write(lambda tx: tx.tasks.put_template(template(), expect=0))
    assert read(store, lambda seen: seen.tasks.template(SPACE, "review")) == template()


def run(task_id: str, pid: int, *, boot: str = "boot-1", started: int = 100) -> Run:
    return Run(namespace=SPACE, task=task_id, boot=boot, pid=pid, started=started)


def register(store: Store, *runs: Run) -> None:
    def work(tx: Transaction) -> None:
        for one in runs:
            tx.tasks.put_run(one)

    store.write(work)


def test_runs_are_those_of_this_boot_whose_task_has_not_ended(store: Store) -> None:
    put(store, task("tsk_1"), task("tsk_2", state=TaskState.PAUSED), task("tsk_3", state=TaskState.REVOKED))
    runs = (run("tsk_2", 20), run("tsk_1", 10), run("tsk_3", 30), run("tsk_1", 40, boot="boot-0"))
    register(store, *runs, run("nobody", 50))
    assert read(store, lambda seen: seen.tasks.runs(SPACE, "boot-1")) == (runs[1], runs[0])
    assert read(store, lambda seen: seen.tasks.runs(OTHER, "boot-1")) == ()


def test_what_was_registered_in_this_boot_stays_whatever_became_of_its_task(store: Store) -> None:
    put(store, task("tsk_1", state=TaskState.EXPIRED), task("tsk_2"))
    other = replace(run("tsk_1", 30), namespace=OTHER)
    register(store, run("tsk_2", 20), run("tsk_1", 10), other, run("tsk_2", 40, boot="boot-0"))
    found = read(store, lambda seen: seen.tasks.registered("boot-1"))
    assert sorted(found, key=lambda one: one.pid) == [run("tsk_1", 10), run("tsk_2", 20), other]


def test_tasks_of_runs_are_those_that_any_boot_registered_in_the_namespace(store: Store) -> None:
    put(store, task("tsk_1", state=TaskState.EXPIRED), task("tsk_2"), task("tsk_3"))
    register(
        store, run("tsk_1", 10), run("tsk_2", 20, boot="boot-0"), replace(run("tsk_3", 30), namespace=OTHER)
    )
    asked = {"tsk_1", "tsk_2", "tsk_3", "tsk_none"}
    assert read(store, lambda seen: seen.tasks.of_runs(SPACE, asked)) == {"tsk_1", "tsk_2"}
    assert read(store, lambda seen: seen.tasks.of_runs(SPACE, ())) == frozenset()


def test_the_same_process_registered_again_belongs_to_the_later_task(store: Store) -> None:
    put(store, task("tsk_1"), task("tsk_2"))
    register(store, run("tsk_1", 10))
    register(store, run("tsk_2", 10), run("tsk_1", 10, started=200))
    found = read(store, lambda seen: seen.tasks.runs(SPACE, "boot-1"))
    assert found == (run("tsk_2", 10), run("tsk_1", 10, started=200))


def test_a_lineage_is_the_task_and_its_ancestors_nearest_first_whatever_their_state(store: Store) -> None:
    root = task("root", state=TaskState.REVOKED)
    child = task("child", parent=root)
    leaf = task("leaf", parent=child, agent="other")
    put(store, root, child, leaf, task("root", namespace=OTHER), replace(task("lost"), parent="gone"))
    with store.read() as seen:
        assert seen.tasks.lineage(SPACE, "leaf") == (leaf, child, root)
        assert ids(seen.tasks.lineage(SPACE, "root")) == ["root"]
        assert ids(seen.tasks.lineage(SPACE, "lost")) == ["lost"]
        assert seen.tasks.lineage(OTHER, "leaf") == ()


def test_a_tree_is_every_task_of_it_whatever_its_state(store: Store) -> None:
    root = task("root")
    ended = task("ended", parent=root, started=2, state=TaskState.COMPLETED)
    leaf = task("leaf", parent=ended, started=3)
    early = task("early", parent=root, started=1)
    put(store, root, ended, leaf, early, task("stranger"), task("root", namespace=OTHER))
    with store.read() as seen:
        assert ids(seen.tasks.tree(SPACE, "root")) == ["root", "early", "ended", "leaf"]
        assert ids(seen.tasks.tree(SPACE, "leaf")) == []
        assert ids(seen.tasks.tree(OTHER, "root")) == ["root"]


def test_a_locked_tree_is_the_task_ended_or_not_and_what_is_not_ended_beneath_it(store: Store) -> None:
    root = task("root", state=TaskState.COMPLETED)
    ended = task("ended", parent=root, state=TaskState.FAILED)
    below = task("below", parent=ended, started=1)
    child = task("child", parent=root, started=2)
    put(store, root, ended, below, child, task("stranger"))
    found = store.write(lambda tx: tx.tasks.lock_tree(SPACE, "root"))
    assert found[0] == root
    assert set(ids(found[1:])) == {"below", "child"}
    assert store.write(lambda tx: tx.tasks.lock_tree(SPACE, "child")) == (child,)
    assert store.write(lambda tx: tx.tasks.lock_tree(SPACE, "nobody")) == ()
    assert store.write(lambda tx: tx.tasks.lock_tree(SPACE, "")) == ()


def test_limits_that_are_closed_are_gone_and_can_be_opened_anew_at_once(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", LIMITS))
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_2", LIMITS))

    def work(tx: Transaction) -> None:
        assert tx.tasks.lock_remainders(SPACE, {"tsk_1"}) == {"tsk_1": LIMITS}
        tx.tasks.close_limits(SPACE, "tsk_1")
        tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 3, "g7/uses": 1})
        assert tx.tasks.lock_remainders(SPACE, {"tsk_1"}) == {"tsk_1": {"g0/uses": 3, "g7/uses": 1}}

    store.write(work)
    with store.read() as seen:
        assert seen.tasks.remainders(SPACE, "tsk_1") == {"g0/uses": 3, "g7/uses": 1}
        assert seen.tasks.remainders(SPACE, "tsk_2") == LIMITS
    store.write(lambda tx: tx.tasks.close_limits(SPACE, "tsk_1"))
    assert store.write(lambda tx: tx.tasks.lock_remainders(SPACE, {"tsk_1"})) == {"tsk_1": {}}


def beat(task_id: str, due: int, *, missed: bool = False, namespace: str = SPACE) -> Heartbeat:
    return Heartbeat(namespace=namespace, task=task_id, due=Instant(NOW + due), missed=missed)


def test_what_is_waited_for_is_one_instant_of_a_task_and_found_when_it_is_due(store: Store) -> None:
    rows = [beat("b", 20), beat("a", 10, missed=True), beat("c", 5, namespace=OTHER), beat("d", 21)]

    def work(tx: Transaction) -> None:
        for one in rows:
            tx.tasks.put_heartbeat(one)

    store.write(work)
    with store.read() as seen:
        assert seen.tasks.overdue(Instant(NOW + 20)) == (rows[2], rows[1], rows[0])
        assert seen.tasks.overdue(Instant(NOW + 20), limit=1) == (rows[2],)
        assert seen.tasks.overdue(Instant(NOW + 4)) == ()
        assert seen.tasks.heartbeats(SPACE, ["a", "c", "x"]) == {"a": rows[1]}
    store.write(lambda tx: tx.tasks.put_heartbeat(beat("a", 99)))
    store.write(lambda tx: tx.tasks.drop_heartbeat(SPACE, "b"))
    store.write(lambda tx: tx.tasks.drop_heartbeat(SPACE, "b"))
    with store.read() as seen:
        assert seen.tasks.heartbeats(SPACE, ["a", "b", "d"]) == {"a": beat("a", 99), "d": rows[3]}
        assert seen.tasks.overdue(Instant(NOW + 50)) == (rows[2], rows[3])


def test_a_token_is_kept_once_under_its_digest_and_in_its_namespace(store: Store) -> None:
    store.write(lambda tx: tx.tasks.keep_evidence(SPACE, "d1", "a.b.c"))
    store.write(lambda tx: tx.tasks.keep_evidence(SPACE, "d1", "a.b.c"))
    assert read(store, lambda seen: seen.tasks.evidence(SPACE, "d1")) == "a.b.c"
    assert read(store, lambda seen: seen.tasks.evidence(SPACE, "d2")) == ""
    assert read(store, lambda seen: seen.tasks.evidence(OTHER, "d1")) == ""


def test_accounts_are_those_of_the_tasks_that_are_asked_for_and_of_no_other_namespace(store: Store) -> None:
    def keep(tx: Transaction) -> None:
        for space, name, uid in (
            (SPACE, "tsk_1", 1000),
            (SPACE, "tsk_1", 1000),
            (SPACE, "tsk_1", 1001),
            (SPACE, "tsk_2", 1002),
            (OTHER, "tsk_1", 1003),
        ):
            tx.tasks.keep_account(space, name, uid)

    store.write(keep)
    with store.read() as seen:
        assert seen.tasks.accounts(SPACE, {"tsk_1"}) == {1000, 1001}
        assert seen.tasks.accounts(SPACE, {"tsk_1", "tsk_2", "tsk_3"}) == {1000, 1001, 1002}
        assert seen.tasks.accounts(OTHER, {"tsk_1", "tsk_2"}) == {1003}
        assert seen.tasks.accounts(SPACE, set()) == frozenset()
