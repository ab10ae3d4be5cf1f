"""A broker whose store may be restored, replaced or put back, and a memory that may be written on."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskbound.core.credential import CredentialState, acknowledge
from taskbound.core.errors import UnavailableError
from taskbound.surfaces.broker.memory import EMPTY, Memory
from taskbound.wire.target import TellFailed
from tests.peers.rack import Rack
from tests.sqlite import sqlite_store
from tests.stories.minting import Minting
from tests.surfaces.broker.brokering import Brokering, Paper, declared_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Readable, Snapshot

S = CredentialState
FEWER = "the store has fewer records than the broker saw"
OTHER = "the store is another installation's than the one that the broker saw"
GONE = "what the broker remembered of the store has gone"
DOUBT = {"ended": 0, "since": 7, "why": "count"}
UNTOLD = {"ended": 0, "epoch": 1, "since": 7, "targets": 1, "why": "count"}


@dataclass
class Place:
    """Where a store is; another one may be put there."""

    store: Readable

    def read(self) -> AbstractContextManager[Snapshot]:
        return self.store.read()

    def last_instant(self) -> Instant:
        return self.store.last_instant()


@contextmanager
def copied(store: Readable) -> Iterator[Place]:
    """A copy of this store, as it is now."""
    instant = store.last_instant()
    with store.read() as snapshot:

        class Copy:
            def read(self) -> AbstractContextManager[Snapshot]:
                return nullcontext(snapshot)

            def last_instant(self) -> Instant:
                return instant

        yield Place(Copy())


@dataclass
class Full(Paper):
    """Paper that takes so many writings, and then none."""

    takes: int = 0
    writings: int = 0

    def write(self, data: bytes) -> None:
        self.writings += 1
        if self.writings > self.takes:
            raise UnavailableError("the disk is full")
        super().write(data)


class Standing(Brokering):
    """A broker of racks that are ready, each by its host; its memory may be shown another store."""

    def __init__(self, *names: str, paper: Paper | None = None) -> None:
        self.racks = {name: Rack() for name in names or ("orders-db",)}
        store = sqlite_store()
        self.place = Place(store)
        plugs = {"postgres": lambda file, _: self.racks[file.name]}
        super().__init__(store, plugs=plugs, paper=paper, seen=self.place)
        for name in self.racks:
            self.declare(declared_at(Path(f"/run/{name}"), name, renewable=True))
        self.settle()

    @property
    def rack(self) -> Rack:
        return self.racks["orders-db"]

    def had(self) -> Credential:
        """One that somebody has."""
        row = self.ask()
        self.round()
        assert self.row(row.id).state is S.ACTIVE
        self.world.move(row.id, acknowledge)
        return self.row(row.id)

    def restore(self) -> None:
        """As if the store had been put back from a copy of it, while the broker was down."""
        written = json.loads(self.paper.data or b"")
        put(self.paper, count=written["count"] + 10**6)
        self.start()

    def replace(self) -> None:
        """Show the broker the store of another installation."""
        self.place.store = Minting(sqlite_store()).adapters.store

    def looked(self, rounds: int = 2) -> None:
        """Have the targets looked through so often, and what is due told."""
        for _ in range(rounds):
            self.later(5)
            self.round()
        self.work.round()

    def records(self) -> list[dict[str, Any]]:
        return self.world.world.events("store-reconciled")

    def refused(self) -> str:
        """Why nothing is minted now."""
        row = self.ask()
        self.round()
        assert self.row(row.id).state is not S.ACTIVE
        return [one.code for one in self.daemon.told if isinstance(one, TellFailed)][-1]


def put(paper: Paper, **changes: Any) -> None:
    """Write what is remembered with something else in it."""
    value = json.loads(paper.data or EMPTY) | changes
    paper.data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def remembered(paper: Paper) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(paper.data or b"")
    return found


def memory_of(world: Minting, paper: Paper, store: Readable | None = None) -> Memory:
    return Memory(paper, store or world.adapters.store, world.adapters.clock)
