from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.schema.target import LIVING, UNFINISHED
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.clock import Instant
from taskbound.core.credential import LIVE, CredentialState
from taskbound.core.decision import ActHistory, Presentation
from taskbound.core.task import TaskState
from tests.contracts.store.rows import NOW, SPACE, action, append, decided, event, insert, open_chain, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from taskbound.ports.store import Snapshot, Transaction

BIG = ("actions", "acts", "records", "places", "tasks", "remainders", "credentials", "revocations")


class Spy(driver.Connection):
    """Keeps the text of each statement."""

    heard: list[str]

    def execute(self, text: str, values: Any = ()) -> driver.Cursor:
        Spy.heard.append(text)
        return super().execute(text, values)

    def executemany(self, text: str, rows: Any) -> driver.Cursor:
        Spy.heard.append(text)
        return super().executemany(text, rows)


def scans(text: str, connection: driver.Connection) -> list[str]:
    values = [None] * len(re.findall(r"\?\d*", text))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values[: numbered(text)]).fetchall()
    words = [str(row[3]) for row in plan]
    names = "|".join((*BIG, "a", "t", "r", "p"))
    found = [one for one in words if re.match(rf"SCAN ({names})\b(?! USING)", one)]
    if "LIMIT" in text:  # a page that sorts has read all of them
        found += [one for one in words if "TEMP B-TREE" in one]
    return found


def numbered(text: str) -> int:
    numbers = [int(one) for one in re.findall(r"\?(\d+)", text)]
    return max(numbers) if numbers else text.count("?")


READS: dict[str, Callable[[Snapshot], object]] = {
    "task": lambda seen: seen.tasks.task(SPACE, "tsk_1"),
    "tasks": lambda seen: seen.tasks.tasks(SPACE),
    "tasks of a state": lambda seen: seen.tasks.tasks(SPACE, states={TaskState.RUNNING}),
    "tasks of an agent": lambda seen: seen.tasks.tasks(SPACE, agent="coder", before="tsk_1"),
    "tasks of an agent and state": lambda seen: seen.tasks.tasks(
        SPACE, agent="coder", states={TaskState.RUNNING}
    ),
    "due": lambda seen: seen.tasks.due(Instant(NOW)),
    "heads": lambda seen: seen.tasks.heads(SPACE, ["tsk_1"]),
    "children": lambda seen: seen.tasks.children(SPACE, "tsk_1"),
    "remainders": lambda seen: seen.tasks.remainders(SPACE, "tsk_1"),
    "count of tasks": lambda seen: seen.tasks.count(SPACE, TaskState.RUNNING),
    "action": lambda seen: seen.actions.action(SPACE, "act_1"),
    "actions": lambda seen: seen.actions.actions(SPACE, before="act_1"),
    "permitted actions": lambda seen: seen.actions.actions(SPACE, decision="permit"),
    "actions of a task": lambda seen: seen.actions.actions(SPACE, task="tsk_1", before="act_1"),
    "refused actions": lambda seen: seen.actions.actions(SPACE, decision="refuse"),
    "act": lambda seen: seen.actions.act(SPACE, "root", "key"),
    "count of actions": lambda seen: seen.actions.count(SPACE, "tsk_1"),
    "open permits": lambda seen: seen.actions.open_permits(SPACE),
    "open permits of a connection": lambda seen: seen.actions.open_permits(SPACE, connection="con_1"),
    "open permits of a task": lambda seen: seen.actions.open_permits(SPACE, task="tsk_1"),
    "unknown outcomes of an act": lambda seen: seen.actions.unknowns(SPACE, "root", "key"),
    "any unknown outcome": lambda seen: seen.actions.has_unknown(SPACE),
    "namespaces": lambda seen: seen.actions.namespaces(),
    "count of records": lambda seen: seen.audit.count(),
    "size of the log": lambda seen: seen.audit.size(),
    "records": lambda seen: seen.audit.records(0, 10),
    "following": lambda seen: seen.audit.following(3, 10),
    "last placed": lambda seen: seen.audit.last_placed(),
    "entries": lambda seen: seen.revocation.entries(NOW),
    "pending": lambda seen: seen.audit.pending(10),
    "place": lambda seen: seen.audit.place(SPACE, "act_1"),
    "credential": lambda seen: seen.credentials.credential(SPACE, "crd_1"),
    "credentials": lambda seen: seen.credentials.credentials(SPACE, agent="coder", before="crd_1"),
    "credentials of a task": lambda seen: seen.credentials.credentials(SPACE, task="tsk_1", states=LIVE),
    "credentials of a target": lambda seen: seen.credentials.credentials(
        SPACE, target="db", states=set(CredentialState)
    ),
    "living credentials of a target": lambda seen: seen.credentials.credentials(
        SPACE, target="db", states=LIVE
    ),
    "credentials under way": lambda seen: seen.credentials.credentials(
        SPACE, states={*LIVE, CredentialState.REVOKING}
    ),
    "due credentials": lambda seen: seen.credentials.due(SPACE, "db", Instant(NOW), limit=9),
    "due beside agents": lambda seen: seen.credentials.due_beside(
        SPACE, "db", Instant(NOW), {"helper"}, limit=9
    ),
    "due living credentials": lambda seen: seen.credentials.due_alive(SPACE, "db", Instant(NOW), limit=9),
    "alive in a target": lambda seen: seen.credentials.alive_in(SPACE, "db", limit=5),
    "overdue credentials": lambda seen: seen.credentials.overdue(SPACE, Instant(NOW), limit=9),
    "tasks of living credentials": lambda seen: seen.credentials.living_tasks(SPACE),
}
FOUND: dict[str, str] = {
    "credential": "sqlite_autoindex_credentials_1 (namespace=? AND id=?)",
    "credentials": "sqlite_autoindex_credentials_1 (namespace=?)",
    "credentials of a task": "credentials_by_task (namespace=? AND task=?)",
    "credentials of a target": "credentials_by_target (namespace=? AND target=?)",
    "living credentials of a target": "credentials_unfinished (namespace=?)",
    "credentials under way": "credentials_unfinished (namespace=?)",
    "due credentials": "credentials_due (namespace=? AND target=? AND due>? AND due<?)",
    "due beside agents": "credentials_due (namespace=? AND target=? AND due>? AND due<?)",
    "due living credentials": "credentials_living (namespace=? AND target=? AND due>? AND due<?)",
    "alive in a target": "credentials_living (namespace=? AND target=? AND due>?)",
    "overdue credentials": "credentials_revoking (namespace=? AND ended<?)",
}
"""By which index credentials are found."""


@pytest.fixture
def spied(tmp_path: Path) -> SqlStore:
    Spy.heard = []
    store = SqlStore(tmp_path / "t.db", reserve=0, machine=Machine(factory=Spy))
    open_chain(store)
    insert(store, *(action(n) for n in range(20)))
    return store


@pytest.mark.parametrize("name", sorted(READS))
def test_no_read_looks_at_every_row_of_a_table_that_grows(spied: SqlStore, tmp_path: Path, name: str) -> None:
    Spy.heard = []
    with spied.read() as seen:
        READS[name](seen)
    texts = [one for one in Spy.heard if "FROM" in one]
    spied.close()
    connection = driver.connect(tmp_path / "t.db")
    found = {text: scans(text, connection) for text in texts}
    connection.close()
    assert texts
    assert {text: plan for text, plan in found.items() if plan} == {}


@pytest.mark.parametrize("name", [name for name in READS if name.startswith("open permits")])
def test_open_permits_are_found_among_those_that_are_open(spied: SqlStore, tmp_path: Path, name: str) -> None:
    Spy.heard = []
    with spied.read() as seen:
        READS[name](seen)
    (text,) = [one for one in Spy.heard if "FROM actions" in one]
    spied.close()
    connection = driver.connect(tmp_path / "t.db")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?")).fetchall()
    assert [row[3] for row in plan] == ["SEARCH a USING INDEX actions_open (namespace=?)"]


@pytest.mark.parametrize("name", FOUND)
def test_credentials_are_found_by_an_index_that_has_them_in_their_order(
    spied: SqlStore, tmp_path: Path, name: str
) -> None:
    Spy.heard = []
    with spied.read() as seen:
        READS[name](seen)
    (text,) = [one for one in Spy.heard if "FROM credentials" in one]
    spied.close()
    connection = driver.connect(tmp_path / "t.db")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * numbered(text)).fetchall()
    connection.close()
    assert str(plan[0][3]) == f"SEARCH credentials USING INDEX {FOUND[name]}"
    assert not [row for row in plan if "TEMP B-TREE" in str(row[3])]


def decide_and_report(tx: Transaction) -> None:
    many = [action(n, act=str(n), key=f"key {n}") for n in range(100, 164)]
    names = [Presentation(connection="con_1", request=one.request) for one in many]
    names += [Presentation(connection="tsk_1", request="", key=one.key) for one in many]
    keys = [(one.root, one.act_key) for one in many]
    tx.revocation.lock_kill_switch(SPACE)
    tx.identities.lock_agents(SPACE, ["coder"])
    tx.tools.lock_tools(SPACE, ["git__log"])
    tx.tasks.lock_heads(SPACE, ["tsk_1"])
    tx.tasks.lock_remainders(SPACE, ["tsk_1"])
    tx.actions.lock_priors(SPACE, names)
    tx.actions.lock_acts(SPACE, keys)
    tx.tasks.set_remainders(SPACE, {("tsk_1", f"g{n}/uses"): (5, 4) for n in range(3)})
    tx.actions.put_acts(SPACE, {key: ActHistory(attempts=1) for key in keys})
    tx.actions.insert_actions(many)
    tx.audit.append(SPACE, "wrt_a", [decided(one) for one in many], NOW)
    tx.actions.lock_permits(SPACE, [one.id for one in many])
    tx.actions.set_outcomes(SPACE, [outcome(one) for one in many])


def test_a_group_of_any_size_takes_the_same_few_statements_and_scans_nothing(
    spied: SqlStore, tmp_path: Path
) -> None:
    spied.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {f"g{n}/uses": 5 for n in range(3)}))
    append(spied, event(1))
    Spy.heard = []
    spied.write(decide_and_report)
    texts = [one for one in Spy.heard if not one.startswith("PRAGMA")]
    spied.close()
    assert len(texts) == 17
    connection = driver.connect(tmp_path / "t.db")
    found = {text: scans(text, connection) for text in texts if text not in {"BEGIN IMMEDIATE", "COMMIT"}}
    connection.close()
    assert {text: plan for text, plan in found.items() if plan} == {}


def test_the_states_by_which_credentials_are_indexed_are_those_that_live_and_those_under_way() -> None:
    def listed(states: Collection[CredentialState]) -> str:
        return ", ".join(f"'{one}'" for one in sorted(one.value for one in states))

    assert listed(LIVE) == LIVING
    assert listed({*LIVE, CredentialState.REVOKING}) == UNFINISHED
