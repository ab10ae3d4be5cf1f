"""What a broker tells of what stands in a real database, and of what it can't see."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.target import PostgresAccess
from taskbound.core.target.kind import ExistingAccess, LoginOwner, Reach
from taskbound.ports.target import Discovery
from taskbound.surfaces.broker import discovering
from taskbound.surfaces.broker.discovering import MOST
from tests.sqlite import sqlite_store
from tests.stories.minting import SPACE
from tests.surfaces.broker.brokering import Brokering, declared_at

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.wire.target import TellDiscovered
    from tests.peers.minter import Orders


class Crowd:
    """A target in which so many logins stand, and that nobody can mint in."""

    def __init__(
        self,
        count: int,
        rights: tuple[str, ...] = (),
        gate: threading.Event | None = None,
        *,
        name: str = "r",
        notes: tuple[str, ...] = (),
    ) -> None:
        self.looks: list[Collection[str]] = []
        self._gate = gate
        self._notes = notes
        self._found = tuple(
            ExistingAccess(
                name=f"{name}{one}", what="login", whose=LoginOwner.OTHERS, reach=Reach.DATA, rights=rights
            )
            for one in range(count)
        )

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        self.looks.append(marks)
        assert (most, patience) == (MOST, 5.0)
        if self._gate is not None:
            self._gate.wait(20)
        return Discovery(found=self._found, count=len(self._found), notes=self._notes)


def seen(broker: Brokering, *looks: str, target: str = "orders-db") -> list[TellDiscovered]:
    for one in looks or ("one",):
        broker.work.discoveries.want(SPACE, target, one)
    assert broker.work.settle(patience=20)
    found = [told for space, told in broker.daemon.seen if space == SPACE]
    broker.daemon.seen.clear()
    return found


def test_what_stands_in_the_database_is_told_and_what_was_minted_is_not(
    broker: Brokering, database: Orders
) -> None:
    broker.ready(database)
    row = broker.ask()
    broker.round()
    (told,) = seen(broker)
    names = {one.name: one for one in told.rows}
    assert (told.look, told.code, told.count) == ("one", "", len(names))
    assert {"owner", "minter"} <= names.keys()
    assert broker.open(row).open["PGUSER"] not in names
    assert (names["owner"].reach, names["minter"].whose) == ("all", "admin")


def test_a_target_that_cannot_be_reached_hides_no_other(
    broker: Brokering, database: Orders, tmp_path: Path
) -> None:
    broker.ready(database)
    broker.declare(declared_at(tmp_path, "lost"))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / ".s.PGSQL.5432"))
        deaf.listen()
        broker.work.discoveries.want(SPACE, "lost", "lost")
        broker.work.discoveries.want(SPACE, "orders-db", "fine")
        assert broker.work.settle(patience=20)
    told = [one for _, one in broker.daemon.seen]
    assert [one.look for one in told] == ["fine", "lost"]
    assert (told[1].code, told[1].rows) == ("target-unreached", ())
    assert told[1].trouble == "no server answers at that host and port in time"


def test_a_kind_that_cannot_show_it_and_a_name_that_is_none_are_said_to_be() -> None:
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: object()})
    broker.declare(declared_at(Path("/nowhere")))
    assert [one.code for one in seen(broker)] == ["not-showing"]
    assert [one.code for one in seen(broker, target="none")] == ["target-replaced"]


def test_an_admin_access_that_opens_nothing_is_said_without_its_words(
    broker: Brokering, database: Orders
) -> None:
    broker.declare(
        declared_at(database.server.folder), PostgresAccess(user="minter", password="a-wrong-word")
    )
    (told,) = seen(broker)
    assert told.code == "target-unreached"
    assert "a-wrong-word" not in repr(told)


def test_who_asks_while_it_is_looked_through_gets_what_that_look_finds() -> None:
    gate = threading.Event()
    crowd = Crowd(3, gate=gate)
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: crowd})
    broker.declare(declared_at(Path("/nowhere")))
    for one in ("a", "b", "c"):
        broker.work.discoveries.want(SPACE, "orders-db", one)
    gate.set()
    assert broker.work.settle(patience=20)
    told = [one for _, one in broker.daemon.seen]
    assert ([one.look for one in told], len(crowd.looks)) == (["a", "b", "c"], 1)
    assert {one.count for one in told} == {3}


def test_what_is_told_is_bounded_in_rows_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: Crowd(MOST + 9, ("x" * 5_000,) * 40)})
    broker.declare(declared_at(Path("/nowhere")))
    (told,) = seen(broker)
    assert 100 < len(told.rows) < MOST
    assert (told.count, len(told.rows[0].rights), len(told.rows[0].rights[0])) == (MOST + 9, 12, 1_000)
    monkeypatch.setattr(discovering, "_LINES", 1)
    (told,) = seen(broker)
    assert len(told.rows) == MOST


def test_what_was_cut_says_so() -> None:
    lines = tuple(f"{one}" * 1_001 for one in range(13))
    crowd = Crowd(2, lines, name="x" * 9_999, notes=lines)
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: crowd})
    broker.declare(declared_at(Path("/nowhere")))
    (told,) = seen(broker)
    assert told.rows[0].name == "x" * 256 + "… (10000 characters)"
    for some in (told.rows[0].rights, told.notes):
        assert some[0] == "0" * 999 + "…"
        assert (some[10][:2], some[11:]) == ("10", ("and 2 more",))


def test_what_is_as_long_as_it_may_be_is_told_whole() -> None:
    lines = tuple("x" * 1_000 for _ in range(12))
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: Crowd(1, lines, name="x" * 255)})
    broker.declare(declared_at(Path("/nowhere")))
    (told,) = seen(broker)
    assert (told.rows[0].name, told.rows[0].rights) == ("x" * 255 + "0", lines)


def test_whatever_an_adapter_raises_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def discover(self, *_: Any, **__: Any) -> Discovery:
            raise ValueError("the canary's word")

    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: Broken()})
    broker.declare(declared_at(Path("/nowhere")))
    (told,) = seen(broker)
    assert told.code == "target-unavailable"
    assert "canary" not in repr(told) + caplog.text


def test_a_daemon_that_does_not_hear_ends_nothing() -> None:
    crowd = Crowd(1)
    broker = Brokering(sqlite_store(), plugs={"postgres": lambda *_: crowd})
    broker.declare(declared_at(Path("/nowhere")))
    broker.daemon.deaf = True
    assert seen(broker) == []
    broker.daemon.deaf = False
    assert len(seen(broker, "again")) == 1
