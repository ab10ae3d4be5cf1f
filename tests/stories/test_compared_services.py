from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.identity.services import remove_service
from tests.stories.test_services import FIRST, SECOND, There
from tests.tokens import es256
from tests.world import ANN, World

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Store

THIRD = es256("third", seed=33)


def live_through(world: World) -> None:
    """Services that were changed and removed, and keys that were too."""
    there = There(world)
    world.settle_in()
    register_person(world.adapters, "default", "eve", uid=1009, actor=ANN)
    there.add()
    there.key(FIRST)
    there.drop(there.key(SECOND))
    there.set(tools=("ledger__book", "pay__*"))
    there.add("gone")
    there.key(THIRD, "gone")
    remove_service(world.adapters, "default", "gone", actor=ANN, owns=True)
    there.add("gone", tools=("echo__say",))


def differences(store: Store) -> tuple[str, ...]:
    with store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences


def test_services_that_nobody_edited_are_what_the_log_says(store: Store) -> None:
    live_through(World(store=store))
    assert differences(store) == ()


SERVICE = "UPDATE services SET {} WHERE name = 'payments'"
KEY = "UPDATE service_keys SET {} WHERE removed = 0"
SWAPPED = "public = (SELECT public FROM service_keys WHERE removed != 0)"
COPIED = """
    INSERT INTO services SELECT namespace, 'ghost', owner, audience || '/', tools, added, version
    FROM services WHERE name = 'payments'
"""
FORGOTTEN = "DELETE FROM services WHERE name = 'payments'"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SERVICE.format("owner = 'eve'"), "service payments has another owner than its records"),
        (SERVICE.format("audience = 'https://evil.example'"), "has another audience than"),
        (SERVICE.format("""tools = '["bank__*"]'"""), "another list of what it enforces than"),
        (SERVICE.format("name = 'other'"), "service other is there, and no record added it"),
        (FORGOTTEN, "service payments was added, and is not there"),
        (COPIED, "service ghost is there, and no record added it"),
        ("UPDATE service_keys SET removed = 0", "is not as its records leave it"),
        (KEY.format("removed = 9"), "of service payments is not as its records leave it"),
        (KEY.format("service = 'gone'"), "of service gone is not as its records leave"),
        (KEY.format("kid = 'k' || kid"), "is there, and no record added it"),
        (KEY.format("kid = 'k' || kid"), "was recorded, and is not there"),
        (KEY.format(SWAPPED), "is not the key of its public half"),
        (KEY.format("public = x'00'"), "is not the key of its public half"),
        (KEY.format("namespace = 'elsewhere'"), "of a service was recorded, and is not"),
    ],
)
def test_i47_what_was_edited_of_a_service_is_found(tmp_path: Path, text: str, words: str) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    live_through(World(store=store))
    connection = driver.connect(tmp_path / "t.db")
    assert connection.execute(text).rowcount > 0
    connection.commit()
    connection.close()
    assert any(words in one for one in differences(store))
    store.close()
