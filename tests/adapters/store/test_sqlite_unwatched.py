from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.action import ActionState
from taskbound.ports.store import ConflictError
from tests.adapters.store.test_sqlite_migrations import WITHOUT_0050, make
from tests.contracts.store.rows import SPACE, action, read, tool

if TYPE_CHECKING:
    from pathlib import Path


def test_0050_no_tool_of_before_is_unwatched_and_a_held_action_may_become_so_once(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    make(path)
    store = SqlStore(path, reserve=0)
    old = replace(tool("git__log"), unwatched=False)
    store.write(lambda tx: tx.tools.put_tool(old, expect=0))
    held = action(decision="hold")
    store.write(lambda tx: tx.actions.insert_actions([held]))
    store.close()
    connection = driver.connect(os.fspath(path), isolation_level=None)
    (lift,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'actions_lift'").fetchone()
    connection.execute("DROP TRIGGER actions_lift")
    connection.execute(lift.replace("NOT IN ('permitted', 'unwatched')", "<> 'permitted'"))
    connection.execute(WITHOUT_0050)
    connection.execute("UPDATE alembic_version SET version_num = '0049'")
    connection.close()
    store = SqlStore(path, reserve=0)
    assert read(store, lambda seen: seen.tools.tool(SPACE, "git__log")) == old
    lifted = replace(held, state=ActionState.UNWATCHED, decision="permit")
    store.write(lambda tx: tx.actions.lift_actions([lifted]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.actions.lift_actions([lifted]))
    store.close()
