"""Ten thousand live credentials: how a daemon and a broker start with them, and how they are revoked at once.

1. Rows are written to the store and logins made by the adapter directly: only what comes of them is measured.
   Each fourth row has a login in the database, which is more than grants to each login would fit in
   (`core.target.postgres`: they are in groups).
2. Memory is looked at after a broker has looked through the target, and compared with what 100 take. What is
   more is page caches of the store: 30,000 rows take 2 MiB more than 10,000 do.
3. Decisions are made at a steady pace with 100, with all, and while all is revoked: what others are compared
   with is how long they take with 100. How they compare with those just before is told too.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dev.soaks.found import Found, Spread
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import Credential, CredentialState, end_in_target, name_of
from taskbound.core.target import parse_target_file
from taskbound.ports.target import MintOrder
from taskbound.wire.action import Decide, Outcome, Permitted, Released
from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.target import (
    CredentialRows,
    ListCredentials,
    ListTargets,
    RevokeCredentials,
    RevokingCredentials,
    TargetRows,
)
from taskbound.wiring.home import find_socket, make_home
from tests.peers.minter import PATIENCE, READERS, minting
from tests.wiring.broking import (
    TARGET,
    House,
    add_target,
    answers_key,
    declared_at,
    key_of,
    raw_bytes,
    roles,
)
from tests.wiring.running import AGENT, client, daemon, settle_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from taskbound.ports.store import Transaction
    from tests.peers.minter import Orders


_START: Final = 5.0
"""Seconds from a daemon's start to its first decision."""
_MORE: Final = 16 * 1024
"""KiB that all of them may take more than `_FEW`: page caches of the store, which have a bound (`driver`)."""
_SLOWER: Final = 2.0
_FEW: Final = 100
_EACH: Final = 4
"""One of so many has a login in the database."""
_PACE: Final = 0.04
"""Seconds from one decision to the next."""
_BEFORE: Final = 1_000
_AT_ONCE: Final = 1_000
_SETTLED: Final = 4.0
"""Seconds from a start until the broker has looked through the target."""
_PATIENCE: Final = 600.0
_UNTIL_TOLD: Final = 1_000_000
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_LIVE: Final = ("journaled", "minting", "active", "revoking")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """How a start went."""

    seconds: float
    daemon: int
    """KiB."""
    broker: int

    def __str__(self) -> str:
        memory = f"daemon {self.daemon / 1024:.0f} MiB, broker {self.broker / 1024:.0f} MiB"
        return f"serving in {self.seconds:.1f} s, {memory}"


class _Deciding:
    """A gateway that has something decided at a steady pace (rule 3): a process that no broker is beneath."""

    def __init__(self, socket: Path) -> None:
        there = multiprocessing.get_context("spawn")
        self._end, other = there.Pipe()
        self._process = there.Process(target=_decide, args=(other, socket), daemon=True)
        self._process.start()
        self._hear()

    def some(self, most: int) -> list[float]:
        """How long each of so many took."""
        self.begin(most)
        return self._hear()

    def begin(self, most: int = _UNTIL_TOLD) -> None:
        """Let it decide until `stop` or so many."""
        self._end.send(most)

    def stop(self) -> list[float]:
        """How long each took since `begin`."""
        self._end.send(0)
        return self._hear()

    def _hear(self) -> list[float]:
        if not self._end.poll(_PATIENCE):
            raise AssertionError("the gateway says nothing")
        found: list[float] = self._end.recv()
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._end.close()


def _decide(end: Connection, socket: Path) -> None:
    """What the gateway's process does."""
    number = 0
    end.send([])
    while True:
        most, found = end.recv(), list[float]()
        with client(socket, "gateway", AGENT) as one:
            while len(found) < most:
                number += 1
                text = msgspec.Raw(b'{"text":"%d"}' % number)
                began = time.perf_counter()
                permit = one.ask(Decide(tool="echo__say", arguments=text, request=str(number)), Permitted)
                found.append(time.perf_counter() - began)
                done = Outcome(action=permit.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
                one.ask(done, Released)
                if end.poll(_PACE):
                    end.recv()
                    break
        end.send(found)


@dataclass(slots=True)
class _Many:
    """A daemon with its broker, which is started and ended, and what is in its store."""

    home: Path
    orders: Orders
    task: str
    chance: random.Random
    gateway: _Deciding
    rows: int = 0
    logins: int = 0

    @property
    def socket(self) -> Path:
        return find_socket(self.home)

    def write(self, count: int) -> None:
        """So many more live credentials, each fourth with a login (rule 1)."""
        now = Instant(time.time_ns() // 1_000)
        identity = parse_target_file(raw_bytes(declared_at(self.orders.server.folder))).identity("default")
        rows = [self._row(identity, now) for _ in range(count)]
        store = SqlStore(self.home / "taskbound.db")
        try:
            with store.read() as seen:
                mark = seen.targets.mark()
            for start in range(0, count, _AT_ONCE):
                store.write(partial(_insert, rows[start : start + _AT_ONCE]))
        finally:
            store.close()
        target = self.orders.target()
        for row in rows[::_EACH]:
            order = MintOrder(name=name_of(mark, row.id), ends=end_in_target(row.ends), context={})
            target.mint(order, READERS, patience=PATIENCE)
            self.logins += 1
        self.rows += count

    def _row(self, identity: str, now: Instant) -> Credential:
        word = "".join(self.chance.choices(_LETTERS, k=35))
        ends = Instant(now + seconds(3_500))
        return Credential(
            namespace="default",
            id=f"crd_{word}",
            target=TARGET,
            kind="reader",
            identity=identity,
            task=self.task,
            agent=AGENT,
            action=f"act_{word}",
            arguments=b"{}",
            recipient="",
            state=CredentialState.ACTIVE,
            made=now,
            ends=ends,
            due=ends,
            shown=now,
            acknowledged=True,
        )

    @contextmanager
    def started(self) -> Iterator[_Start]:
        """A daemon with its broker, and how they started (rule 2)."""
        began = time.perf_counter()
        with daemon(self.home) as process:
            self.gateway.some(1)
            took = time.perf_counter() - began
            until(self._connected, "the broker is there")
            threading.Event().wait(_SETTLED)
            brokers = House(self.home, process, None).brokers()  # type: ignore[arg-type] # nobody asks
            own = _memory(process.process.pid)
            yield _Start(seconds=took, daemon=own, broker=sum(map(_memory, brokers)))

    def _connected(self) -> bool:
        with client(self.socket) as one:
            return one.ask(ListTargets(), TargetRows).broker

    def revoke_all(self) -> tuple[float, float]:
        """Seconds until all are being revoked, and until all are gone."""
        began = time.perf_counter()
        with client(self.socket) as one:
            while one.ask(RevokeCredentials(target=TARGET), RevokingCredentials).more:
                pass
            written = time.perf_counter() - began
            asked, pause = ListCredentials(target=TARGET, states=_LIVE, limit=1), threading.Event()
            while one.ask(asked, CredentialRows).rows:
                if time.perf_counter() - began > _PATIENCE:
                    raise AssertionError(f"not all of them are gone after {_PATIENCE} s")
                pause.wait(1.0)
        return written, time.perf_counter() - began


def _insert(rows: Sequence[Credential], tx: Transaction) -> None:
    tx.credentials.insert_credentials(rows)


def _memory(pid: int) -> int:
    """KiB of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} says nothing of its memory")


@contextmanager
def _many(seed: int) -> Iterator[_Many]:
    with minting() as orders, tempfile.TemporaryDirectory(prefix="tb-") as folder:
        base = Path(folder)
        home = base / "home"
        make_home(home)
        with daemon(home):
            place = find_socket(home)
            with client(place) as one:
                one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
                one.ask(ListTargets(), TargetRows)
                broker = place.with_name("broker.sock")
                until(lambda: answers_key(broker), "the broker says its key")
                add_target(one, orders.server.folder, key_of(broker))
                until(lambda: _is_ready(one.ask(ListTargets(), TargetRows)), "the target is ready")
            task = settle_in(place, base, known=True)
        chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
        with closing(_Deciding(place)) as gateway:
            yield _Many(home, orders, task, chance, gateway)


def _is_ready(seen: TargetRows) -> bool:
    return {one.state for one in seen.rows} == {"ready"}


def soak_many(count: int, seed: int) -> Found:
    """So many live credentials."""
    with _many(seed) as house:
        house.write(_FEW)
        with house.started() as few:
            alone = Spread.of(house.gateway.some(_BEFORE))
        house.write(count - _FEW)
        with house.started() as whole:
            among = Spread.of(house.gateway.some(_BEFORE))
            house.gateway.begin()
            written, gone = house.revoke_all()
            took = house.gateway.stop()
            beside = Spread.of(took)
            left = len(roles(house.orders))
    slower = f"{beside.p99 / alone.p99:.1f} times that with {_FEW}, {beside.p99 / among.p99:.1f} that before"
    said = (
        f"{_FEW} live: {few}; {house.rows:,} with {house.logins:,} logins: {whole}; all revoked:"
        f" written in {written:.0f} s, gone in {gone:.0f} s, {house.rows / gone:.0f} a second;"
        f" decisions with {_FEW} live: {alone}; with all: {among}; meanwhile, {len(took):,}: {beside},"
        f" the p99 is {slower}"
    )
    met = (
        left == 0
        and whole.seconds <= _START
        and whole.daemon <= few.daemon + _MORE
        and whole.broker <= few.broker + _MORE
        and max(among.p99, beside.p99) <= alone.p99 * _SLOWER
    )
    if not met:
        raise AssertionError(f"a gate was missed: {said}")
    return Found(counted=said)
