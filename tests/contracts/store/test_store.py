from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from taskbound.core.task import TaskState
from taskbound.ports.store import ConflictError, StoreUnavailableError
from tests.contracts.store.rows import (
    NOW,
    SPACE,
    WRITER,
    action,
    agent,
    append,
    decided,
    event,
    insert,
    open_chain,
    person,
    read,
    server,
    task,
    template,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.store import Snapshot, Store, Transaction


class Interrupted(Exception):  # noqa: N818  # no error of ours
    """Work that breaks off."""


def write_everything(tx: Transaction) -> None:
    tx.identities.put_person(person(), expect=0)
    tx.identities.put_agent(agent(), expect=0)
    tx.tools.put_server(server(), expect=0)
    tx.tools.put_tool(tool(), expect=0)
    tx.tasks.put_task(task(), expect=0)
    tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 10})
    tx.tasks.put_template(template(), expect=0)
    tx.actions.insert_actions([action()])
    tx.audit.append(SPACE, WRITER, [event(1), decided(action())], NOW)


def nothing_is_there(seen: Snapshot) -> bool:
    return (
        not seen.identities.persons(SPACE)
        and not seen.identities.agents(SPACE)
        and not seen.tools.servers(SPACE)
        and not seen.tools.tools(SPACE)
        and not seen.tasks.tasks(SPACE)
        and not seen.tasks.remainders(SPACE, "tsk_1")
        and not seen.tasks.templates(SPACE)
        and not seen.actions.actions(SPACE)
        and not seen.actions.open_permits(SPACE)
        and seen.audit.count() == 1
    )


def test_what_the_work_returns_is_what_write_returns(store: Store) -> None:
    assert store.write(lambda tx: tx.audit.count() + 41) == 41


@pytest.mark.parametrize("reserve", [True, False])
def test_all_of_a_transaction_shows_once_it_has_returned(store: Store, *, reserve: bool) -> None:
    open_chain(store)
    store.write(write_everything, reserve=reserve)
    with store.read() as seen:
        assert seen.identities.agent(SPACE, "coder") == agent()
        assert seen.actions.action(SPACE, "act_1") == action()
        assert seen.audit.count() == 3


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, ValueError])
def test_work_that_raises_leaves_nothing_and_its_own_error(store: Store, error: type[BaseException]) -> None:
    open_chain(store)

    def work(tx: Transaction) -> None:
        write_everything(tx)
        raise error

    with pytest.raises(error):
        store.write(work)
    assert read(store, nothing_is_there)
    store.write(write_everything)


def test_a_conflict_at_the_end_takes_back_all_that_was_written(store: Store) -> None:
    open_chain(store)

    def work(tx: Transaction) -> None:
        write_everything(tx)
        tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (9, 8)})

    with pytest.raises(ConflictError):
        store.write(work)
    assert read(store, nothing_is_there)


def swallow_a_version(tx: Transaction) -> None:
    with suppress(ConflictError):
        tx.identities.put_agent(agent(), expect=3)


def swallow_a_remainder(tx: Transaction) -> None:
    with suppress(ConflictError):
        tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (9, 8)})


def swallow_a_repeated_row(tx: Transaction) -> None:
    with suppress(ConflictError):
        tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 1})


@pytest.mark.parametrize("swallow", [swallow_a_version, swallow_a_remainder, swallow_a_repeated_row])
def test_a_conflict_that_the_work_swallows_still_takes_back_all(
    store: Store, swallow: Callable[[Transaction], None]
) -> None:
    open_chain(store)

    def work(tx: Transaction) -> None:
        write_everything(tx)
        swallow(tx)

    with pytest.raises(ConflictError):
        store.write(work)
    assert read(store, nothing_is_there)


def test_a_transaction_reads_what_it_has_written(store: Store) -> None:
    open_chain(store)

    def work(tx: Transaction) -> None:
        write_everything(tx)
        assert tx.identities.lock_agents(SPACE, ["coder"]) == {"coder": 1}
        assert tx.tasks.lock_remainders(SPACE, ["tsk_1"]) == {"tsk_1": {"g0/uses": 10}}
        tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (10, 9)})
        assert tx.tasks.remainders(SPACE, "tsk_1") == {"g0/uses": 9}
        assert tx.tasks.count(SPACE, TaskState.RUNNING) == 1
        assert tx.tools.tools(SPACE) == (tool(),)
        tx.tools.drop_server(SPACE, "git")
        assert tx.tools.tools(SPACE) == ()
        assert tx.audit.count() == 3

    store.write(work)


def test_a_snapshot_sees_one_state_of_the_whole_store(store: Store) -> None:
    open_chain(store)
    insert(store, action(7))
    with store.read() as before:
        store.write(write_everything)
        store.write(lambda tx: tx.identities.put_person(person("bob"), expect=0))
        assert before.identities.persons(SPACE) == {}
        assert [one.id for one in before.actions.actions(SPACE)] == ["act_7"]
        assert before.audit.count() == 1
        with store.read() as after:
            assert list(after.identities.persons(SPACE)) == ["ann", "bob"]
            assert after.audit.count() == 3
        assert before.tasks.tasks(SPACE) == ()
        assert before.audit.heads() != read(store, lambda seen: seen.audit.heads())


def test_a_snapshot_sees_nothing_of_a_transaction_that_runs(store: Store) -> None:
    open_chain(store)

    def work(tx: Transaction) -> None:
        write_everything(tx)
        assert read(store, nothing_is_there)

    store.write(work)


def test_snapshots_are_never_older_than_one_before(store: Store) -> None:
    open_chain(store)
    seen = [0]
    stop = threading.Event()
    failures: list[str] = []

    def look() -> None:
        last = 0
        while not stop.is_set():
            least = max(last, seen[0])
            now = read(store, lambda snapshot: snapshot.audit.count())
            if now < least:
                failures.append(f"{now} after {least}")
            last = now

    readers = [threading.Thread(target=look) for _ in range(3)]
    for one in readers:
        one.start()
    for number in range(60):
        append(store, event(number))
        seen[0] = number + 2
    stop.set()
    for one in readers:
        one.join()
    assert failures == []


def test_transactions_of_many_threads_are_serial(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 100}))
    barrier = threading.Barrier(8)

    def take(tx: Transaction) -> None:
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]["g0/uses"]
        tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (left, left - 1)})

    def run() -> None:
        barrier.wait()
        for _ in range(5):
            store.write(take)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {"g0/uses": 60}


def test_sixty_four_threads_on_one_remaining_use_win_once(store: Store) -> None:
    store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {"g0/uses": 1}))
    barrier = threading.Barrier(64)
    won: list[int] = []

    def take(tx: Transaction) -> bool:
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]["g0/uses"]
        if left:
            tx.tasks.set_remainders(SPACE, {("tsk_1", "g0/uses"): (left, left - 1)})
        return left > 0

    def run(number: int) -> None:
        barrier.wait()
        if store.write(take):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(64)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(won) == 1
    assert read(store, lambda seen: seen.tasks.remainders(SPACE, "tsk_1")) == {"g0/uses": 0}


def test_a_transaction_within_another_is_refused_and_the_outer_one_goes_on(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.identities.put_person(person(), expect=0)
        with pytest.raises(StoreUnavailableError):
            store.write(lambda inner: inner.identities.put_person(person("bob"), expect=0))

    store.write(work)
    assert list(read(store, lambda seen: seen.identities.persons(SPACE))) == ["ann"]


def test_a_snapshot_or_transaction_is_of_no_use_after_its_end(store: Store) -> None:
    with store.read() as seen:
        words = (seen.tasks, seen.actions, seen.audit, seen.identities, seen.tools, seen.revocation)
    kept = store.write(lambda tx: tx)
    store.write(lambda tx: tx.identities.put_person(person(), expect=0))
    reads: list[Callable[[], object]] = [
        lambda: words[0].task(SPACE, "tsk_1"),
        lambda: words[1].action(SPACE, "act_1"),
        words[2].count,
        lambda: words[3].persons(SPACE),
        lambda: words[4].tools(SPACE),
        lambda: words[5].kill_switch(SPACE),
        lambda: seen.identities.persons(SPACE),
        lambda: kept.identities.persons(SPACE),
        lambda: kept.identities.put_person(person("bob"), expect=0),
    ]
    for look in reads:
        with pytest.raises(StoreUnavailableError):
            look()
    assert list(read(store, lambda now: now.identities.persons(SPACE))) == ["ann"]


def test_an_error_within_a_snapshot_ends_it_and_no_other(store: Store) -> None:
    with pytest.raises(Interrupted), store.read():
        raise Interrupted
    assert read(store, lambda seen: seen.audit.count()) == 0


def test_a_closed_store_refuses_everything_and_can_be_closed_again(store: Store) -> None:
    store.close()
    with pytest.raises(StoreUnavailableError), store.read():
        pass
    with pytest.raises(StoreUnavailableError):
        store.write(lambda tx: tx.audit.count())
    with pytest.raises(StoreUnavailableError):
        store.last_instant()
    store.close()


def test_a_snapshot_that_is_open_when_the_store_closes_can_still_end(store: Store) -> None:
    with store.read() as seen:
        store.close()
        assert seen.audit.count() == 0
    with pytest.raises(StoreUnavailableError), store.read():
        pass


def test_a_fresh_store_says_what_it_is_and_that_its_reserve_is_whole(store: Store) -> None:
    assert store.describe()
    assert store.reserve_state() == "whole"
