from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.task import Template
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.task.delegate import drop_template, save_template
from tests.world import ANN, SCOPE, World, scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Store


def live_through(world: World) -> None:
    """Actions, persons of whom two are one human, templates of which one is gone, and pinned tools."""
    task = world.settle_in()
    world.ask(task)
    world.ask(task, arguments={"to": "mallory", "amount": 1})
    for number, name in enumerate(("eve", "kim", "lee")):
        register_person(world.adapters, "default", name, uid=1009 + number, actor=ANN)
    link_persons(world.adapters, "default", "ann", "kim", linked=True, actor=ANN, owns=True)
    link_persons(world.adapters, "default", "kim", "lee", linked=True, actor=ANN, owns=True)
    link_persons(world.adapters, "default", "lee", "ann", linked=False, actor=ANN, owns=True)
    for name in ("daily", "gone"):
        save_template(world.adapters, _template(name), ANN)
    drop_template(world.adapters, "default", "gone", ANN)


def _template(name: str) -> Template:
    return Template(
        namespace="default", name=name, scope=scope_of(SCOPE), seconds=600, purpose="daily payments"
    )


def differences(store: Store) -> tuple[str, ...]:
    with store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences


def test_rows_of_people_and_tools_that_were_not_edited_are_what_the_log_says(store: Store) -> None:
    live_through(World(store=store))
    assert differences(store) == ()


EDITS = [
    ("UPDATE actions SET arguments = CAST('{}' AS BLOB) WHERE decision = 'permit'", "another arguments than"),
    ("UPDATE actions SET arguments = CAST('{}' AS BLOB) WHERE decision = 'refuse'", "another arguments than"),
    ("UPDATE persons SET uid = 4711 WHERE name = 'eve'", "person eve has another account"),
    ("UPDATE persons SET state = 'gone' WHERE name = 'eve'", "person eve has another state"),
    (
        "UPDATE persons SET grantable = (SELECT ceiling FROM agents) WHERE name = 'eve'",
        "person eve has another right to grant",
    ),
    ("UPDATE persons SET human = '' WHERE name = 'kim'", "person kim has another link to others"),
    ("UPDATE persons SET name = 'mallory' WHERE name = 'eve'", "mallory is there, and no record registered"),
    ("DELETE FROM persons WHERE name = 'eve'", "person eve was registered, and is not there"),
    ("UPDATE templates SET seconds = 9999", "template daily is not as its last record"),
    ("UPDATE templates SET scope = (SELECT ceiling FROM agents)", "template daily is not as its last record"),
    ("UPDATE templates SET heartbeat = 60", "template daily is not as its last record"),
    ("UPDATE templates SET grace = 60", "template daily is not as its last record"),
    ("UPDATE templates SET holds = 'outlive-the-call'", "template daily is not as its last record"),
    ("UPDATE templates SET name = 'other'", "template other is there, and no record saved it"),
    ("DELETE FROM templates", "template daily was saved, and is not there"),
    (
        "UPDATE tools SET definition = (SELECT definition FROM tools WHERE name = 'bank__look')",
        "its digest names",
    ),
    ("UPDATE tools SET digest = 'x' WHERE name = 'bank__pay'", "bank__pay has another definition"),
    ("UPDATE tools SET identity = 'x' WHERE name = 'bank__pay'", "bank__pay has another server"),
    ("UPDATE tools SET owner = 'eve' WHERE name = 'bank__pay'", "bank__pay has another owner"),
    ("UPDATE tools SET idempotent = 1 WHERE name = 'bank__pay'", "bank__pay has another declaration"),
    ("UPDATE tools SET effect = 'read-only' WHERE name = 'bank__pay'", "bank__pay has another declaration"),
    ("UPDATE tools SET unwatched = 1 WHERE name = 'bank__pay'", "bank__pay has another declaration"),
    (
        "INSERT INTO tool_approvers VALUES ('default', 'bank__pay', '[\"eve\"]')",
        "bank__pay has other approvers",
    ),
    ("DELETE FROM tools WHERE name = 'bank__pay'", "bank__pay was pinned, and is not there"),
    ("UPDATE tools SET name = 'bank__burn' WHERE name = 'bank__pay'", "bank__burn is there, and no record"),
]


@pytest.mark.parametrize(("text", "words"), EDITS, ids=[text for text, _ in EDITS])
def test_edited_column_is_found(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    live_through(World(store=store))
    connection = driver.connect(path)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    assert connection.execute(text).rowcount >= 1
    connection.commit()
    connection.close()
    assert any(words in one for one in differences(store))
    store.close()
