from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.flows.action import explain
from taskbound.flows.audit.sequencing import CheckpointSigner, Sequencer
from tests.world import World, id_of

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "taskbound.test/log"


def place(world: World) -> None:
    """Give every record its place in the log."""
    key = Ed25519Key.from_seed(bytes(range(32)))
    signer = CheckpointSigner(origins=[ORIGIN], key=key, heads=MemorySignedHeads(), verify=verify_ed25519)
    Sequencer(world.adapters, signer, ORIGIN).extend()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ('arguments = CAST(\'{"amount":1,"to":"eve"}\' AS BLOB)', "digest is of another action"),
        ('arguments = CAST(\'{"to":1,"to":2}\' AS BLOB)', "arguments can't be read"),
        ("decision = 'refuse', code = 'outside-scope', state = 'refused'", "another decision"),
        ("grant_id = 'g1'", "another grant"),
        ("attempt = 7", "another attempt"),
        ("connection = 'con_x'", "another connection"),
        ("record = (SELECT min(number) FROM records)", "of something else"),
        ("record = NULL", "holds no record"),
    ],
)
def test_a226_an_action_whose_row_was_edited_is_not_explained_as_if_it_were_not(
    tmp_path: Path, edit: str, words: str
) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    action = id_of(world.ask(world.settle_in()))
    place(world)
    world.clock.advance(61)
    assert explain(world.adapters, "default", action).replay == "same"
    connection = driver.connect(tmp_path / "t.db")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # who edits rows takes their guard away first
    text = f"UPDATE actions SET {edit} WHERE id = ?"  # noqa: S608 -- each edit stands above
    changed = connection.execute(text, (action,)).rowcount
    connection.commit()
    connection.close()
    assert changed == 1
    replay = explain(world.adapters, "default", action).replay
    assert replay.startswith("different: ")
    assert words in replay
    store.close()
