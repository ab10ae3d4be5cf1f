"""From a task's end to nobody being in: how long it takes, also beside a target that hangs or was away.

1. Measured is from the order to end the task, which is before the end is durable, until the session that was
   open is cut and whoever has the password is refused: more than what the gates are for.
2. Beside a target that hangs with all that is due in it, another one's ends are measured again (I-59).
3. A target that was away long enough for waits to be the longest comes back at any moment of such a wait, and
   one that hung at any moment of an attempt, which gets no answer afterwards either; what was due there is
   gone within what is allowed from then on (T4).
4. A host's session is cut when its client ends with it, and its certificate is then refused at the first try;
   how long that try takes is the client's own time, and is not counted.
5. Of a Redis and its replica a session is open on each, of which one waits for what nobody says; both are cut
   and both nodes refuse the user when an end is over.
"""

from __future__ import annotations

import random
import select
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg

from dev.soaks.found import Found, Spread
from taskbound.wire.connection import Done
from taskbound.wire.target import CredentialRows, ListCredentials, ListTargets, TargetRows
from taskbound.wire.task import EndTask
from tests.peers.caching import ADMIN as CACHE_ADMIN
from tests.peers.caching import Cache
from tests.peers.cutting import Cutting, How
from tests.peers.hosting import hosting
from tests.peers.minter import Orders, minting
from tests.peers.redis import following
from tests.peers.resp import LostError, SaidNoError
from tests.wiring.broking import (
    Askers,
    Declared,
    House,
    add_target,
    declared_cache,
    declared_host,
    house,
    key_of,
    settle_agent,
)
from tests.wiring.running import DEADLINE, client, until

if TYPE_CHECKING:
    from collections.abc import Iterator


_P50, _P99, _MOST = 0.25, 2.0, 5.0
_DELAY: Final = 1.0
"""Seconds that a target which hangs may cost another one."""
_BACK: Final = 5.0
"""Seconds from a target's return until what was due there is gone."""
_HELD: Final = 8
"""Credentials in the target that hangs or is away: more than it has workers."""
_ATTEMPTS: Final = {"away": 5, "hangs": 2}
"""From so many in vain on waits are the longest, or an attempt takes longer than them."""
_WOKEN: Final = 2
"""Returns of a target that hung."""
_BESIDE: Final = 30
"""Ends that are measured beside a target that hangs."""
_HOSTS: Final = 40
"""Ends that are measured on a host: of what one program asks for."""
_FRESH: Final = 50
"""Credentials that one program asks for."""
_OTHER: Final = "parcels-db"
_TOOL: Final = f"{_OTHER}__credential/reader"
_AGENT: Final = "other"
_SCOPE: Final[dict[str, Any]] = {"grants": [{"tool": _TOOL, "others": "any"}]}


class _Way(Cutting):
    """A way to a server that can hang, and be away.

    What was begun while it hangs stays without an answer afterwards too, as where the way itself was gone.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self._mode: Literal["open", "hangs", "away"] = "open"
        super().__init__(folder, server)

    def turn(self, mode: Literal["open", "hangs", "away"]) -> None:
        """From now on: accept and say nothing, or end each connection, or pass on what comes."""
        self._mode = mode

    def _cut(self, piece: bytes) -> How | None:
        if self._mode == "open":
            return super()._cut(piece)
        return "mute" if self._mode == "hangs" else "before"


@dataclass
class _Two:
    """Two targets with an agent each; the way to the other one is in a soak's hand."""

    there: House
    orders: Orders
    way: _Way
    other: Askers

    def end_one(self, *, busy: bool) -> float:
        """Seconds from the end of a task to its session being cut and its login refused (rule 1)."""
        task = self.there.start_task()
        _, minted = self.there.askers.get().minted()
        with closing(self.orders.login(minted)) as session, client(self.there.socket) as one:
            if busy:
                session.execute("BEGIN")
                session.execute("UPDATE orders SET tenant = tenant WHERE id = 1")
            began = time.perf_counter()
            one.ask(EndTask(task=task), Done)
            if not select.select([session.fileno()], [], [], DEADLINE)[0]:
                raise AssertionError("the session goes on")
            try:
                session.execute("SELECT 1")
            except psycopg.OperationalError:
                pass
            else:
                raise AssertionError("the session still answers")
            try:
                self.orders.login(minted).close()
            except psycopg.OperationalError:
                return time.perf_counter() - began
        raise AssertionError("the login lets somebody in after its session was cut")

    def ends(self, count: int) -> Spread:
        """Of so many ends, every other one of a session in a transaction."""
        found = []
        for number in range(count):
            if number % _FRESH == _FRESH - 1:
                self.there.askers.close()
                self.there.askers = Askers(self.there.socket)
            found.append(self.end_one(busy=bool(number % 2)))
        return Spread.of(found)

    def leave_due(self, mode: Literal["hangs", "away"]) -> None:
        """Let a task of the other target end with all that it has, while that one is so."""
        task = self.there.start_task(_AGENT, _SCOPE)
        for got in [self.other.get() for _ in range(_HELD)]:
            got.minted()
        self.way.turn(mode)
        with client(self.there.socket) as one:
            one.ask(EndTask(task=task), Done)

    def left(self) -> list[int]:
        """Attempts of what is being revoked in the other target."""
        with client(self.there.socket) as one:
            asked = ListCredentials(target=_OTHER, states=("journaled", "minting", "active", "revoking"))
            return [row.attempts for row in one.ask(asked, CredentialRows).rows]

    def come_back(self, mode: Literal["hangs", "away"], chance: random.Random) -> float:
        """Seconds from the return of a target that was so to nothing being due there (rule 3)."""
        self.leave_due(mode)
        enough = _ATTEMPTS[mode]
        until(lambda: max(self.left()) >= enough, "waits are long, or patience is all that passes")
        threading.Event().wait(chance.random() * _BACK)
        self.way.turn("open")
        began = time.perf_counter()
        until(lambda: not self.left(), "what was due in a target that is back is gone")
        return time.perf_counter() - began


@contextmanager
def _two() -> Iterator[_Two]:
    with minting() as orders, tempfile.TemporaryDirectory(prefix="tb-") as folder:
        base = Path(folder)
        (base / "w").mkdir(mode=0o700)
        with _Way(base / "w", orders.server.folder) as way, house(base, orders.server.folder) as there:
            with client(there.socket) as one:
                add_target(one, way.folder, key_of(there.broker), _OTHER)
                until(lambda: _ready(one.ask(ListTargets(), TargetRows)), "both targets are ready")
            settle_agent(there.socket, base / "other", _AGENT, _SCOPE)
            other = Askers(there.socket, _AGENT, _TOOL)
            try:
                yield _Two(there, orders, way, other)
            finally:
                way.turn("open")
                other.close()


def _ready(seen: TargetRows) -> bool:
    return {one.state for one in seen.rows} == {"ready"}


def _on_a_host(count: int) -> Spread:
    """Seconds from the end of a task to its session on a host being cut (rule 4)."""
    found = []
    with (
        hosting() as host,
        tempfile.TemporaryDirectory(prefix="tb-") as folder,
        house(Path(folder), declared_host(host)) as there,
    ):
        for _ in range(count):
            task = there.start_task()
            _, minted = there.askers.get().minted()
            holder = host.holder(minted)
            with host.sshd.session(holder, "sleep 600") as session, client(there.socket) as one:
                began = time.perf_counter()
                one.ask(EndTask(task=task), Done)
                session.wait(DEADLINE)
                found.append(time.perf_counter() - began)
            if host.sshd.is_let_in(holder):
                raise AssertionError("the certificate lets somebody in after its session was cut")
    return Spread.of(found)


def _in_a_cache(count: int) -> Spread:
    """Seconds from the end of a task to nobody being in a Redis or its replica (rule 5)."""
    found = []
    with following() as nodes, tempfile.TemporaryDirectory(prefix="tb-") as folder:
        cache = Cache(list(nodes))
        declared = Declared(declared_cache([one.address for one in nodes]), CACHE_ADMIN)
        with house(Path(folder), declared) as there:
            for number in range(count):
                if number % _FRESH == _FRESH - 1:
                    there.askers.close()
                    there.askers = Askers(there.socket, tool=declared.tool)
                found.append(_end_in_a_cache(there, cache))
    return Spread.of(found)


def _end_in_a_cache(there: House, cache: Cache) -> float:
    task = there.start_task()
    _, minted = there.askers.get().minted()
    primary, replica = (cache.login(minted, one) for one in cache.nodes)
    with primary, replica, client(there.socket) as one:
        primary.say("BLPOP", "orders:none", "0")
        began = time.perf_counter()
        one.ask(EndTask(task=task), Done)
        for line in (primary, replica):
            try:
                heard = line.hear(DEADLINE)
            except LostError:
                continue
            raise AssertionError(f"a session that is over hears {heard}")
        for node in cache.nodes:
            try:
                cache.login(minted, node).close()
            except SaidNoError:
                continue
            raise AssertionError("a node lets somebody in after its session was cut")
        return time.perf_counter() - began


def soak_ends(count: int, seed: int) -> Found:
    """So many ends, some more beside a target that hangs, and returns of one that was away."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    with _two() as both:
        alone = both.ends(count)
        both.leave_due("hangs")
        beside = both.ends(min(count, _BESIDE))
        left = len(both.left())
        both.way.turn("open")
        until(lambda: not both.left(), "what was due in a target that hung is gone")
        returns = [both.come_back("away", chance) for _ in range(max(2, count // 50))]
        woken = [both.come_back("hangs", chance) for _ in range(_WOKEN)]
        until(lambda: not both.orders.roles(), "nothing is left")
    hosts, caches = _on_a_host(min(count, _HOSTS)), _in_a_cache(count)
    said = (
        f"{count:,} ends: {alone}; beside a target that hangs with {left} due: {beside};"
        f" {len(returns)} returns of one that was away: {max(returns):.1f} s at most;"
        f" {len(woken)} of one that hung: {max(woken):.1f} s at most; on a host: {hosts};"
        f" in a Redis and its replica: {caches}"
    )
    met = (
        alone.p50 <= _P50
        and alone.p99 <= _P99
        and alone.most <= _MOST
        and left == _HELD
        and beside.most <= alone.p50 + _DELAY
        and max(returns + woken) <= _BACK
        and all(one.p50 <= _P50 and one.p99 <= _P99 and one.most <= _MOST for one in (hosts, caches))
    )
    if not met:
        raise AssertionError(f"a gate was missed: {said}")
    return Found(counted=said)
