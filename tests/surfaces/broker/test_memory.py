"""What the broker remembers of a store, and what it does with one that knows less (I-15, F45)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.file import BrokerDirectory, create_broker_directory
from taskbound.core.credential import CredentialState, id_of, name_of
from taskbound.surfaces.broker.memory import EMPTY, Memory, StoreRestoredError
from taskbound.wire.target import TellFailed
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE, Minting
from tests.surfaces.broker.brokering import Brokering, Paper, declared_at
from tests.surfaces.broker.test_work import ours
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.broker.memory import MemoryStorage
    from tests.peers.minter import Orders

S = CredentialState


def memory_of(world: Minting, kept: MemoryStorage) -> Memory:
    return Memory(kept, world.adapters.store, world.adapters.clock)


def marked(world: Minting) -> str:
    with world.adapters.store.read() as seen:
        return seen.targets.mark()


def test_a_store_that_grew_is_the_one_that_was_seen() -> None:
    world, paper = Minting(sqlite_store()), Paper()
    world.ready()
    memory = memory_of(world, paper)
    for _ in range(2):
        memory.note(world.permit().record)
        assert (memory.trouble(), memory.marks) == ("", (marked(world),))
    assert memory_of(world, paper).trouble() == ""
    memory.note(0)
    assert memory_of(world, paper).trouble() == ""


def test_f45_a_store_of_another_mark_with_fewer_records_or_with_other_ones_is_not_believed() -> None:
    world, paper = Minting(sqlite_store()), Paper()
    world.ready()
    memory_of(world, paper).note(world.permit().record)
    data = paper.data or b""
    other = Minting(sqlite_store())
    assert "another installation" in memory_of(other, Paper(data)).trouble()
    data = data.replace(marked(world).encode(), marked(other).encode())
    assert "fewer records" in memory_of(other, Paper(data)).trouble()
    other.ready()
    while "fewer" in memory_of(other, Paper(data)).trouble():
        other.permit()
    memory = memory_of(other, Paper(data))
    assert "another record" in memory.trouble()
    with pytest.raises(StoreRestoredError):
        memory.note(0)
    assert memory.accept(targets=0, turn=0)
    assert (memory.trouble(), memory.marks) == ("", (marked(other),))


@pytest.mark.parametrize(
    "data",
    [None, b"", b"{", b"[]", EMPTY + b" ", EMPTY.replace(b"[]", b'["x"]'), EMPTY.replace(b"0,", b'"",')],
)
def test_a_memory_that_has_gone_or_can_t_be_read_believes_no_store(data: bytes | None) -> None:
    world = Minting(sqlite_store())
    memory = memory_of(world, Paper(data))
    assert "has gone" in memory.trouble()
    with pytest.raises(StoreRestoredError):
        memory.note(0)
    assert memory.accept(targets=0, turn=0)
    assert memory.trouble() == ""


def test_it_is_kept_beside_the_key_and_missed_when_it_has_gone(tmp_path: Path) -> None:
    create_broker_directory(tmp_path / "keys", EMPTY)
    world = Minting(sqlite_store())
    with BrokerDirectory(tmp_path / "keys") as kept:
        assert kept.read() == EMPTY
        memory_of(world, kept).note(0)
        assert marked(world).encode() in (kept.read() or b"")
    with BrokerDirectory(tmp_path / "keys") as kept:
        assert memory_of(world, kept).trouble() == ""
        (tmp_path / "keys" / "broker.json").unlink()
        assert "has gone" in memory_of(world, kept).trouble()


def test_i15_nothing_is_minted_by_a_restored_store_until_no_target_has_anything_of_ours(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    assert broker.row(row.id).state is S.ACTIVE
    after = Brokering(sqlite_store(), paper=broker.paper, key=broker.key)  # the store was lost, and made anew
    after.declare(declared_at(database.server.folder))
    after.work.round()
    assert after.work.settle(patience=20)
    assert ours(broker, database) == set()  # what the lost store had is ended
    failed = [one for one in after.daemon.told if isinstance(one, TellFailed)]
    assert [one.code for one in failed] == ["store-restored"]
    assert after.world.row().state.value == "refused"
    for _ in range(3):
        after.later(5)
        after.settle(1)
    after.world.targets.test(SPACE, "orders-db", ANN)
    after.settle()
    assert after.world.row().state.value == "ready", after.world.row().trouble
    assert after.desk.memory.marks == (marked(broker.world), marked(after.world))


def test_i14_a_sweep_ends_what_has_no_row_and_touches_nothing_else(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    kept = broker.ask()
    broker.round()
    mark = marked(broker.world)
    orphan = name_of(mark, "crd_" + "o" * 35)
    foreign = [
        f"tb_{mark}_x",
        f"tb_{mark}_" + "o" * 36,
        f"tb_{mark}",
        "tb_zzzzzzzz_" + "o" * 35,
        f"xtb_{mark}_" + "o" * 35,
    ]
    with database.owner() as owner:
        for name in (orphan, *foreign):
            owner.execute(f'CREATE ROLE "{name}" LOGIN; GRANT "{name}" TO minter WITH ADMIN OPTION'.encode())
    try:
        broker.work.push(SPACE, "", sweep=True)
        broker.settle(3)
        with database.owner() as owner:
            found = {str(one) for (one,) in owner.execute("SELECT rolname FROM pg_roles")}
        assert orphan not in found
        assert found >= {*foreign, name_of(mark, kept.id)}
        assert broker.row(id_of(mark, orphan)).state is S.REVOKED
    finally:
        with database.owner() as owner:
            for name in foreign:
                owner.execute(f'DROP ROLE "{name}"'.encode())


def test_a_target_is_looked_through_each_minute_and_when_a_person_wants_it(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    orphan = name_of(marked(broker.world), "crd_" + "p" * 35)
    make = f'CREATE ROLE "{orphan}" LOGIN; GRANT "{orphan}" TO minter WITH ADMIN OPTION'.encode()
    with database.owner() as owner:
        owner.execute(make)
    broker.later(55)
    broker.settle(2)
    assert ours(broker, database) == {orphan}
    broker.later(6)
    broker.settle(3)
    assert ours(broker, database) == set()


def test_what_has_a_mark_of_before_is_ended_by_the_broker_itself(broker: Brokering, database: Orders) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    after = Brokering(sqlite_store(), key=broker.key)
    after.desk.memory.note(0)
    after.paper.data = (after.paper.data or b"").replace(
        b'"marks":[', b'"marks":["' + marked(broker.world).encode() + b'",'
    )
    after.start()
    assert after.desk.memory.trouble() == ""
    after.declare(declared_at(database.server.folder))
    after.settle()
    assert (broker.row(row.id).state, ours(broker, database)) == (S.ACTIVE, set())


def restored(broker: Brokering) -> None:
    """As if the store had been put back from a copy: it has fewer records than the broker saw."""
    assert broker.paper.data is not None
    seen = json.loads(broker.paper.data) | {"count": 10**6}
    broker.paper.data = json.dumps(seen, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    broker.start()


def test_i15_what_a_restored_store_says_to_live_is_ended_and_what_is_no_name_of_ours_is_not(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    foreign = f"tb_{marked(broker.world)}_x"
    make = f'CREATE ROLE "{foreign}"; GRANT "{foreign}" TO minter WITH ADMIN OPTION'.encode()
    with database.owner() as owner:
        owner.execute(make)
    restored(broker)
    refused = broker.ask()
    broker.round()
    assert (broker.row(row.id).state, ours(broker, database)) == (S.ACTIVE, {foreign})
    assert "store-restored" in broker.row(refused.id).why
    for _ in range(2):
        broker.later(5)
        broker.round()
    assert broker.desk.memory.trouble() == ""
    after = broker.ask()
    broker.round()
    assert broker.row(after.id).state is S.ACTIVE
    with database.owner() as owner:
        owner.execute(f'DROP ROLE "{foreign}"'.encode())


def test_i15_a_restored_store_is_not_believed_while_a_target_can_t_be_looked_through(
    broker: Brokering, database: Orders, tmp_path: Path
) -> None:
    broker.ready(database)
    broker.declare(declared_at(tmp_path, "away"))
    broker.settle(2)
    restored(broker)
    for _ in range(3):
        broker.later(5)
        broker.round()
    assert "fewer records" in broker.desk.memory.trouble()
    broker.world.adapters.store.write(lambda tx: tx.targets.drop_target(SPACE, "away"))
    for _ in range(2):
        broker.later(5)
        broker.round()
    assert broker.desk.memory.trouble() == ""
