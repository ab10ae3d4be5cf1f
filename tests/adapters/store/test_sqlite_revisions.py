"""Databases of the last revisions, opened by this version: what they hold stays, and what is new works."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.migrations import newest_revision
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.action import ActionState
from taskbound.core.identity.service import Service
from taskbound.core.revocation.feed import About, Entry, Thing, Turn
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, SPACE, action, open_chain, read, task, tool
from tests.contracts.store.test_credential import row as credential
from tests.contracts.store.test_token import ONE

if TYPE_CHECKING:
    from pathlib import Path

BACK: Final = {
    "0047": ("ALTER TABLE credentials DROP COLUMN kept",),
    "0048": ("DROP TABLE epochs",),
    "0049": ("DROP INDEX credentials_living",),
    "0050": (
        "ALTER TABLE tools DROP COLUMN unwatched",
        "DROP TRIGGER actions_lift",
        """
        CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
        connection, request, idempotency, until ON actions
        WHEN OLD.decision <> 'hold' OR OLD.state <> 'held'
        OR NEW.decision <> 'permit' OR NEW.state <> 'permitted'
        BEGIN SELECT RAISE(ABORT, 'what was decided does not change'); END
        """,
    ),
    "0051": ("DROP TABLE revocations",),
    "0052": (
        "DROP TABLE services",
        "DROP TABLE service_keys",
        "ALTER TABLE tokens DROP COLUMN proven_by",
    ),
    "0053": ("DROP TABLE shared_claims", "DROP TABLE shared_tallies"),
    "0054": ("ALTER TABLE tasks DROP COLUMN for_token",),
}
"""What takes each revision back."""


def set_back(path: Path, before: str) -> None:
    """Make the database one of the revision before this one."""
    connection = driver.connect(os.fspath(path), isolation_level=None)
    for revision in sorted(BACK, reverse=True):
        if revision >= before:
            for statement in BACK[revision]:
                connection.execute(statement)
    connection.execute("UPDATE alembic_version SET version_num = ?", (f"{int(before) - 1:04}",))
    connection.close()


def made(path: Path) -> SqlStore:
    store = SqlStore(path, reserve=0)
    open_chain(store)
    return store


def test_what_takes_a_revision_back_is_known_of_the_newest() -> None:
    assert max(BACK) == newest_revision()


def test_0047_a_credential_of_before_has_nothing_kept_and_is_what_it_was(tmp_path: Path) -> None:
    whole = credential("a", kept="")
    store = made(tmp_path / "t.db")
    store.write(lambda tx: tx.credentials.insert_credentials([whole]))
    store.close()
    set_back(tmp_path / "t.db", "0047")
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert read(store, lambda seen: seen.credentials.credential(SPACE, whole.id)) == whole
    store.close()


def test_0048_no_epoch_of_before_has_a_record_and_one_can_get_it(tmp_path: Path) -> None:
    made(tmp_path / "t.db").close()
    set_back(tmp_path / "t.db", "0048")
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert not read(store, lambda seen: seen.targets.has_epoch(2, NOW))
    store.write(lambda tx: tx.targets.put_epoch(2, NOW))
    assert read(store, lambda seen: seen.targets.has_epoch(2, NOW))
    store.close()


def test_0049_credentials_of_before_are_found_by_the_index_of_what_lives(tmp_path: Path) -> None:
    store = made(tmp_path / "t.db")
    store.write(lambda tx: tx.credentials.insert_credentials([credential("a"), credential("b")]))
    store.close()
    set_back(tmp_path / "t.db", "0049")
    store = SqlStore(tmp_path / "t.db", reserve=0)
    alive = read(store, lambda seen: seen.credentials.alive_in(SPACE, credential("a").target, limit=9))
    assert {one.id for one in alive} == {credential("a").id, credential("b").id}
    store.close()


def test_0050_no_tool_of_before_is_unwatched_and_a_held_action_may_become_so_once(tmp_path: Path) -> None:
    old, held = replace(tool("git__log"), unwatched=False), action(decision="hold")
    store = made(tmp_path / "t.db")
    store.write(lambda tx: tx.tools.put_tool(old, expect=0))
    store.write(lambda tx: tx.actions.insert_actions([held]))
    store.close()
    set_back(tmp_path / "t.db", "0050")
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert read(store, lambda seen: seen.tools.tool(SPACE, "git__log")) == old
    lifted = replace(held, state=ActionState.UNWATCHED, decision="permit")
    store.write(lambda tx: tx.actions.lift_actions([lifted]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.lift_actions([lifted]))
    store.close()


def test_0051_the_feed_of_before_is_empty_and_goes_on_behind_the_log(tmp_path: Path) -> None:
    made(tmp_path / "t.db").close()
    set_back(tmp_path / "t.db", "0051")
    store = SqlStore(tmp_path / "t.db", reserve=0)
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == ()
    thing = Thing(namespace=SPACE, about=About.TASK, id="tsk_1")
    entry = Entry(place=1, at=NOW, thing=thing, turn=Turn.OVER)
    store.write(lambda tx: tx.revocation.put_entries([entry]))
    assert read(store, lambda seen: seen.revocation.entries(NOW)) == (entry,)
    store.close()


def test_0052_a_token_of_before_was_proven_by_no_key_of_a_service_which_there_can_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.db"
    store = made(path)
    before = replace(ONE, proven_by="")
    store.write(lambda tx: tx.tokens.insert(before))
    store.close()
    set_back(path, "0052")
    store = SqlStore(path, reserve=0)
    assert read(store, lambda seen: seen.tokens.token(SPACE, before.id)) == before
    one = Service(namespace=SPACE, name="x", owner="ann", audience="https://x.example", tools=(), added=NOW)
    store.write(lambda tx: tx.services.put_service(one, expect=0))
    assert read(store, lambda seen: seen.services.service(SPACE, "x")) == one
    store.close()


def test_0054_a_task_of_before_that_has_a_token_was_begun_for_one(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = made(path)
    own, alone = task(ONE.task), task("tsk_alone")
    store.write(lambda tx: tx.tasks.put_task(own, expect=0))
    store.write(lambda tx: tx.tasks.put_task(alone, expect=0))
    store.write(lambda tx: tx.tokens.insert(ONE))
    store.close()
    set_back(path, "0054")
    store = SqlStore(path, reserve=0)
    assert read(store, lambda seen: seen.tasks.task(SPACE, own.id)) == replace(own, for_token=True)
    assert read(store, lambda seen: seen.tasks.task(SPACE, alone.id)) == alone
    store.close()
