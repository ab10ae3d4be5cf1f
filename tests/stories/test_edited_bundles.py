from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.flows.audit.sequencing import CheckpointSigner, Sequencer
from tests.stories.test_bundles import LARGE, propose, put_in_force
from tests.stories.test_compared_rows import compare
from tests.stories.test_edited_rows import ORIGIN, place
from tests.world import ANN, World, code_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task

LIKE = "WHERE CAST(body AS TEXT) LIKE"


def live_through(store: SqlStore) -> tuple[World, Task, str, str]:
    """One bundle was taken back and is in force again, another one only proposed."""
    world = World(store=store)
    task = world.settle_in()
    never = put_in_force(world)
    world.bundles.roll_back("default", "", "", ANN)
    world.bundles.roll_back("default", never, "", ANN)
    large = propose(world, LARGE, note="later")
    place(world)
    return world, task, never, large


def edit(path: Path, *statements: str) -> None:
    connection = driver.connect(path)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # who edits rows takes their guard away first
    for one in statements:
        assert connection.execute(one).rowcount > 0, one
    connection.commit()
    connection.close()


def test_bundles_that_nobody_edited_are_what_the_log_says_with_a_place_and_without(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world, _, _, large = live_through(store)
    assert compare(world).differences == ()
    world.bundles.roll_back("default", None, "", ANN)
    assert large
    assert compare(world).differences == ()
    store.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE bundles SET author = 'eve' WHERE note = 'later'", "no record in the log says"),
        ("UPDATE bundles SET archive = x'7b7d' WHERE note = 'later'", "is kept damaged"),
        ("UPDATE bundles SET record = 1 WHERE note = 'later'", "no record in the log says"),
        ("UPDATE bundles SET note = 'sooner' WHERE note = 'later'", "another note than its record"),
        ("UPDATE bundles SET digest = 'x' WHERE note = 'later'", "was recorded, and is not there"),
        ("DELETE FROM bundles WHERE note = 'later'", "was recorded, and is not there"),
        ("UPDATE activations SET actor = 'eve' WHERE epoch = 2", "activation 2 in default is not as"),
        ("UPDATE activations SET digest = 'x' WHERE epoch = 1", "activation 1 in default is not as"),
        ("UPDATE activations SET how = 'activated' WHERE epoch = 3", "activation 3 in default is not as"),
        ("UPDATE activations SET record = 1 WHERE epoch = 3", "activation 3 in default is not as"),
        ("DELETE FROM activations WHERE epoch = 2", "activation 2 in default was recorded, and is not"),
        ("UPDATE bundles_in_force SET digest = ''", "is not what was put in force last"),
        ("UPDATE bundles_in_force SET epoch = 1", "is not what was put in force last"),
        ("DELETE FROM bundles_in_force", "is not what was put in force last"),
    ],
)
def test_each_edited_row_of_a_bundle_is_named(tmp_path: Path, statement: str, words: str) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world, *_ = live_through(store)
    edit(tmp_path / "t.db", statement)
    assert any(words in one for one in compare(world).differences), compare(world).differences
    store.close()


@pytest.mark.parametrize("kind", ["policy-activated", "policy-proposed"])
def test_a_record_that_is_not_in_the_signed_tree_puts_nothing_in_force(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.db"
    store = SqlStore(path, reserve=0)
    world = World(store=store)
    task = world.settle_in()
    never, large = put_in_force(world), propose(world, LARGE)
    place(world)
    key = Ed25519Key.from_seed(bytes(range(32)))
    signer = CheckpointSigner(origins=[ORIGIN], key=key, heads=MemorySignedHeads(), verify=verify_ed25519)
    assert Sequencer(world.adapters, signer, ORIGIN).sign() is not None
    body = f"body = CAST(replace(CAST(body AS TEXT), '{never}', '{large}') AS BLOB)"
    other = 'body = CAST(replace(CAST(body AS TEXT), \'"by":"ann"\', \'"by":"eve"\') AS BLOB)'
    if kind == "policy-activated":
        edit(
            path,
            f"UPDATE records SET {body} {LIKE} '%\"policy-activated\"%'",  # noqa: S608  # words of ours
            f"UPDATE activations SET digest = '{large}'",  # noqa: S608  # a digest of ours
            f"UPDATE bundles_in_force SET digest = '{large}'",  # noqa: S608  # as above
        )
    else:
        edit(
            path,
            f"UPDATE records SET {other} {LIKE} '%\"policy-proposed\"%'",  # noqa: S608  # words of ours
            "UPDATE bundles SET author = 'eve'",
        )
    assert code_of(world.beside().ask(task)) == "damaged-bundle"
    store.close()
