"""Two daemons on one store, with a broker each: one is killed with its broker while it mints or revokes.

1. Who was killed had it in hand: a mint is given only to the broker of the daemon where somebody waits, and
   while a revocation is begun the other broker is stopped.
2. What was under way is gone from the target, and its row says so, within `_WITHIN` seconds (T2).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.soaks.found import Found
from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.target import CredentialRows, ListCredentials, ListTargets, TargetRows
from taskbound.wire.task import EndTask
from taskbound.wiring.home import make_home
from tests.peers.cutting import Cutting
from tests.peers.minter import minting
from tests.postgres import running
from tests.wiring.broking import Askers, House, add_target, answers_key, key_of, roles, settle_agent
from tests.wiring.running import DEADLINE, client, daemon, signer, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.minter import Orders


_WITHIN: Final = 15.0
_ORIGIN: Final = "example.com/log"
_LIVE: Final = ("journaled", "minting", "active", "revoking")


@dataclass
class _Pair:
    """The one that is killed, the other one, and the database where both mint."""

    one: House
    other: House
    way: Cutting
    orders: Orders
    flags: tuple[str, ...]

    def kill_at(self, word: bytes, *, mints: bool) -> float:
        """Seconds from the kill at this word until nothing is left (rule 2)."""
        task = self.one.start_task()
        self.one.askers = Askers(self.one.socket)
        struck = threading.Event()
        began = 0.0

        def strike() -> None:
            nonlocal began
            began = time.perf_counter()
            self.one.process.process.send_signal(signal.SIGKILL)
            self.one.kill_broker()
            struck.set()

        try:
            if mints:
                self.way.at(word, "after", strike)
                self.one.askers.get()
                _require(struck)
            else:
                self.one.askers.get().minted()
                with self._stopped(), client(self.one.socket) as asked:  # 1
                    self.way.at(word, "before", strike)
                    asked.ask(EndTask(task=task), Done)
                    _require(struck)
            until(self.is_gone, f"what a killed broker had in hand at {word.decode()} is gone")
            seconds = time.perf_counter() - began
        finally:
            self.one.askers.close()
        if mints:
            with client(self.other.socket) as asked:
                asked.ask(EndTask(task=task), Done)
        self.start_again()
        return seconds

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        brokers = self.other.brokers()
        for each in brokers:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in brokers:
                os.kill(each, signal.SIGCONT)

    def is_gone(self) -> bool:
        with client(self.other.socket) as asked:
            rows = asked.ask(ListCredentials(states=_LIVE), CredentialRows).rows
        return not rows and not roles(self.orders)

    def start_again(self) -> None:
        self.one.process.wait()
        self.one.process = daemon(self.one.home, *self.flags).__enter__()
        until(lambda: _connected(self.one), "its broker is there again")


def _require(struck: threading.Event) -> None:
    if not struck.wait(DEADLINE):
        raise AssertionError("it never came to where it was to be killed")


def _connected(one: House) -> bool:
    with client(one.socket) as asked:
        return asked.ask(ListTargets(), TargetRows).broker


@contextmanager
def _pair() -> Iterator[_Pair]:
    """Both brokers have one key: whoever declares a target seals its admin access to that."""
    with minting() as orders, running() as server, tempfile.TemporaryDirectory(prefix="tb-") as folder:
        base = Path(folder)
        for name in ("w", "s", "a", "b"):
            (base / name).mkdir(mode=0o700)
        store, listens = server.url(server.database()), base / "s" / "signer.sock"
        flags = ("--store", store, "--signer", str(listens), "--origin", _ORIGIN)
        homes = [base / "a" / "home", base / "b" / "home"]
        for home in homes:
            make_home(home)
        with (
            Cutting(base / "w", orders.server.folder) as way,
            signer(base / "s" / "keys", listens, "--create", origin=_ORIGIN),
        ):
            one = House(homes[0], daemon(homes[0], *flags).__enter__(), None)  # type: ignore[arg-type] # set before use
            try:
                with client(one.socket) as asked:
                    asked.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
                    asked.ask(ListTargets(), TargetRows)
                    until(lambda: answers_key(one.broker), "the broker says its key")
                    shutil.copytree(one.home / "broker", homes[1] / "broker", ignore=_sockets)
                    add_target(asked, way.folder, key_of(one.broker))
                    until(lambda: _is_ready(asked.ask(ListTargets(), TargetRows)), "the target is ready")
                settle_agent(one.socket, base / "monitor")
                with daemon(homes[1], *flags) as process:
                    other = House(homes[1], process, one.askers)
                    until(lambda: _connected(other), "the other broker is there")
                    yield _Pair(one, other, way, orders, flags)
            finally:
                if one.process.process.poll() is None:
                    one.process.end()


def _sockets(folder: str, names: list[str]) -> set[str]:
    return {one for one in names if (Path(folder) / one).is_socket()}


def _is_ready(seen: TargetRows) -> bool:
    return {one.state for one in seen.rows} == {"ready"}


def soak_pairs(count: int, seed: int) -> Found:
    """So many kills, at mints and revocations by turns."""
    del seed
    minted, revoked = [], []
    with _pair() as both:
        for number in range(count):
            if number % 2:
                revoked.append(both.kill_at((b"NOLOGIN", b"DROP ROLE")[number // 2 % 2], mints=False))
            else:
                minted.append(both.kill_at((b"CREATE ROLE", b"COMMIT")[number // 2 % 2], mints=True))
    said = (
        f"{count} kills of a daemon with its broker: gone after {max(minted):.1f} s at most where it minted,"
        f" {max(revoked):.1f} s where it revoked"
    )
    if max(*minted, *revoked) > _WITHIN:
        raise AssertionError(f"a gate was missed: {said}")
    return Found(counted=said)
