from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.rows import RowCache, look_up
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.revocation import KillSwitch
from taskbound.ports.store import AmbiguousCommitError, ConflictError
from tests.contracts.store.rows import NOW, SPACE, WRITER, agent, append, event, open_chain, task, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from taskbound.ports.store import Transaction


class Heard(driver.Connection):
    """Keeps what is read, and answers a commit as it is told to."""

    reads: list[str]
    lost: driver.Error | None = None

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        if "SELECT" in text:
            Heard.reads.append(text)
        done = super().execute(text, values)
        if text == "COMMIT" and Heard.lost is not None:
            lost, Heard.lost = Heard.lost, None
            raise lost
        return done


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    Heard.reads = []
    Heard.lost = None
    opened = SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(factory=Heard))
    open_chain(opened)
    opened.write(fill)
    yield opened
    opened.close()


def fill(tx: Transaction) -> None:
    tx.identities.put_agent(agent(), expect=0)
    tx.tools.put_tool(tool(), expect=0)
    tx.tasks.put_task(task(), expect=0)
    tx.tasks.open_limits(SPACE, "tsk_1", {"uses": 5})


def lock(tx: Transaction) -> tuple[object, ...]:
    return (
        tx.revocation.lock_kill_switch(SPACE),
        tx.identities.lock_agents(SPACE, ["coder", "nobody"]),
        tx.tools.lock_tools(SPACE, [tool().name, "none"]),
        tx.tasks.lock_heads(SPACE, ["tsk_1", "tsk_9"]),
        tx.tasks.lock_remainders(SPACE, ["tsk_1", "tsk_9"]),
    )


def grow(tx: Transaction) -> None:
    tx.audit.append(SPACE, WRITER, [event(1)], NOW)


def reads_of(store: SqlStore, work: Callable[[Transaction], object]) -> int:
    Heard.reads = []
    store.write(work)
    return len(Heard.reads)


def test_what_one_transaction_has_read_the_next_does_not_read_again(store: SqlStore, tmp_path: Path) -> None:
    assert reads_of(store, lock) == 5
    assert reads_of(store, lock) == 0
    fresh = SqlStore(tmp_path / "t.db", reserve=0)
    assert store.write(lock) == fresh.write(lock)
    fresh.close()


def test_where_a_chain_stands_is_known_to_who_appends_to_it(store: SqlStore) -> None:
    append(store, event(1))
    assert reads_of(store, grow) == 0
    assert store.write(lambda tx: tx.audit.count()) == 3


CHANGES: dict[str, Callable[[Transaction], None]] = {
    "agents": lambda tx: tx.identities.put_agent(agent(version=2), expect=1),
    "tools": lambda tx: tx.tools.put_tool(tool(version=2), expect=1),
    "tools of a server": lambda tx: tx.tools.drop_server(SPACE, tool().server),
    "tasks": lambda tx: tx.tasks.put_task(task(version=2), expect=1),
    "a task that was not there": lambda tx: tx.tasks.put_task(task("tsk_9"), expect=0),
    "limits": lambda tx: tx.tasks.open_limits(SPACE, "tsk_9", {"uses": 1}),
    "remainders": lambda tx: tx.tasks.set_remainders(SPACE, {("tsk_1", "uses"): (5, 4)}),
    "the kill switch": lambda tx: tx.revocation.put_kill_switch(
        SPACE, KillSwitch(stopped=True, epoch=1, reason="x"), expect=0
    ),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
@pytest.mark.parametrize("by", ["this handle", "another handle"])
def test_what_was_written_is_seen_by_the_next_transaction_whoever_wrote_it(
    store: SqlStore, tmp_path: Path, name: str, by: str
) -> None:
    before = store.write(lock)
    other = SqlStore(tmp_path / "t.db", reserve=0)
    (store if by == "this handle" else other).write(CHANGES[name])
    seen = store.write(lock)
    fresh = SqlStore(tmp_path / "t.db", reserve=0)
    assert seen == fresh.write(lock) != before
    other.close()
    fresh.close()


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_was_written_is_seen_within_its_own_transaction_and_gone_when_that_fails(
    store: SqlStore, name: str
) -> None:
    before = store.write(lock)
    within: list[object] = []

    def work(tx: Transaction) -> None:
        lock(tx)
        CHANGES[name](tx)
        within.append(lock(tx))
        raise ConflictError("this shall fail")

    with pytest.raises(ConflictError):
        store.write(work)
    assert within[0] != before
    assert store.write(lock) == before


def test_what_the_caller_does_with_an_answer_is_not_known_to_anybody(store: SqlStore) -> None:
    def work(tx: Transaction) -> None:
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"]
        left["uses"] = 900  # type: ignore[index]  # a caller that does what it must not

    before = store.write(lock)
    store.write(work)
    assert store.write(lock) == before


def test_after_a_commit_without_an_answer_nothing_is_known(store: SqlStore) -> None:
    store.write(lock)
    Heard.lost = driver.OperationalError("the connection is gone")
    with pytest.raises(AmbiguousCommitError):
        store.write(lambda tx: tx.tasks.set_remainders(SPACE, {("tsk_1", "uses"): (5, 4)}))
    assert reads_of(store, lock) == 5
    assert store.write(lambda tx: tx.tasks.lock_remainders(SPACE, ["tsk_1"])) == {"tsk_1": {"uses": 4}}


def test_a_snapshot_reads_for_itself(store: SqlStore) -> None:
    store.write(lock)
    Heard.reads = []
    with store.read() as seen:
        assert seen.tasks.remainders(SPACE, "tsk_1") == {"uses": 5}
        assert set(seen.tasks.heads(SPACE, ["tsk_1"])) == {"tsk_1"}
    assert len(Heard.reads) == 3


def test_a_write_whose_table_can_not_be_told_forgets_everything() -> None:
    known = RowCache(version=1)
    known.agents[SPACE, "coder"] = 1
    known.records[""] = 7
    known.forget("UPDATE actions SET state = ?")
    assert known.records == {"": 7}
    known.forget("WITH some AS (SELECT 1) UPDATE agents SET version = 2")
    assert not known.agents
    assert not known.records


def test_what_is_known_is_bounded_and_what_was_asked_is_answered_whole() -> None:
    rows: dict[tuple[str, str], int | None] = {}

    def read(missing: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(missing, 1)

    for start in range(0, 5000, 100):
        names = [str(number) for number in range(start, start + 100)]
        assert look_up(rows, SPACE, names, read) == dict.fromkeys(names, 1)
        assert len(rows) <= 2048
