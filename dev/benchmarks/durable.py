"""Row 2 and 3: durable decisions a second, against the bare commit shape on the same disk.

Callers are tasks of one asyncio loop; each asks again once it has its answer. Ours goes the daemon's own way:
its lane of calls, its worker, the flows, the store. Every call is another act, as most of an agent's calls
are, and none is presented twice. The bare shape (`bare_lane.py`) has as many callers, one writer thread, and
rows of the same size. The two take turns; a hundred calls before each turn are thrown away.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from dev.benchmarks.bare_lane import BareLane
from dev.benchmarks.ground import TOOL, Ground, call_of
from dev.benchmarks.inputs.cases import typical
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import micro, percentile, rate
from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.adapters.keys.socket import SocketTokenSigner
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.decision import Permit, Settled
from taskbound.core.identity import PeerProof
from taskbound.flows.audit.sequencing import CheckpointSigner, Sequencer
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.daemon import Daemon
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.api.server.place import Installation
from taskbound.surfaces.api.server.worker import WaitingCall
from taskbound.wire.action import Decide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


ORIGIN: Final = "taskbound.benchmark/log"
CALLERS: Final = (1, 16, 64)
LARGE: Final = 1_000_000
_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_HALF: Final = 0.5
_MOST_OF_EMPTY: Final = 0.7
_P99: Final = 0.99
_GROUP: Final = 64
_REQUESTS = count(1)


@dataclass(slots=True)
class _Turns:
    """What was measured at one number of callers."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tb-bench-") as folder:
        yield Path(folder)


def sequencer_of(ground: Ground) -> Sequencer:
    """What gives records their places, with a signer in this process."""
    signer = CheckpointSigner(
        origins=[ORIGIN],
        key=Ed25519Key.from_seed(bytes(range(32))),
        heads=MemorySignedHeads(),
        verify=verify_ed25519,
    )
    return Sequencer(ground.adapters, signer, ORIGIN)


def fill(ground: Ground, task: str, actions: int) -> float:
    """Decide so many calls in groups of 64, by flows and store, in this thread; the seconds it took."""
    began = time.perf_counter()
    sequencer = sequencer_of(ground)
    for start in range(0, actions, _GROUP):
        calls = [
            call_of(task, {"amount": number, "to": "bob"}, request=str(next(_REQUESTS)))
            for number in range(start, min(start + _GROUP, actions))
        ]
        ground.decisions.decide(calls)
        if start % (_GROUP * 64) == 0:
            sequencer.extend()
    while sequencer.extend():
        pass
    return time.perf_counter() - began


def measure_durable(*, quick: bool) -> Section:
    """The section on an empty store."""
    with _folder() as folder:
        store = SqlStore(folder / "ours.db")
        ground = Ground.over(store)
        ground.settle_in()
        task = ground.start(typical().scope).id
        fill(ground, task, _GROUP)
        sizes = _row_sizes(store)
        found = asyncio.run(_compare(ground, task, folder, sizes, quick=quick))
        store.close()
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for callers in CALLERS:
        bare, ours = found["bare", callers], found["ours", callers]
        rows.append(_row(callers, bare, ours))
        numbers |= {
            f"{callers}.bare": bare.rate,
            f"{callers}.ours": ours.rate,
            f"{callers}.cpu": median(ours.cpu),
        }
    head = (
        "callers",
        "bare/s",
        "ours/s",
        "ratio",
        "bare CPU µs",
        "ours CPU µs",
        "ours p50 µs",
        "ours p99 µs",
    )
    aims = tuple(_aim(callers, found["bare", callers], found["ours", callers]) for callers in CALLERS)
    return Section(
        name="durable",
        title="Durable decisions a second, empty store",
        method=f"{_METHOD}\nRows: an action {sizes[0]} bytes, a record {sizes[1]}.",
        tables=(Table(head=head, rows=tuple(rows)),),
        aims=aims,
        numbers=numbers,
    )


def measure_large(*, quick: bool, actions: int = LARGE) -> Section:
    """The section on a store that holds many actions, against an empty one by turns."""
    with _folder() as folder:
        grounds, tasks = {}, {}
        for name in ("empty", "large"):
            grounds[name] = Ground.over(SqlStore(folder / f"{name}.db"))
            grounds[name].settle_in()
            tasks[name] = grounds[name].start(typical().scope).id
        took = fill(grounds["large"], tasks["large"], actions)
        size = (folder / "large.db").stat().st_size / 2**20
        found = asyncio.run(_by_size(grounds, tasks, quick=quick))
        for one in grounds.values():
            one.adapters.store.close()
    rows, aims, numbers = [], [], {"fill.seconds": took}
    for callers in CALLERS:
        empty, large = found["empty", callers], found["large", callers]
        share = large.rate / empty.rate
        rows.append(
            (
                str(callers),
                rate(empty.rate),
                rate(large.rate),
                f"{share:.0%}",
                micro(median(empty.cpu)),
                micro(median(large.cpu)),
                micro(percentile(large.waits, _P99)),
            )
        )
        numbers |= {f"{callers}.empty": empty.rate, f"{callers}.large": large.rate}
        aims.append(
            Aim(
                words=f"after {actions:,} actions at least 70 % of the empty rate, {callers} at once",
                measured=f"{share:.0%}",
                reached=share >= _MOST_OF_EMPTY,
                reason="see the section",
            )
        )
    head = ("callers", "empty/s", "large/s", "share", "empty CPU µs", "large CPU µs", "large p99 µs")
    return Section(
        name="large",
        title=f"Durable decisions a second after {actions:,} actions",
        method=(
            f"The store was filled in {took:.0f} s by the real flows and the real store, in groups of"
            f" {_GROUP}, without the loop, and every record got its place; the file has {size:,.0f} MiB."
            " An empty store has its turns in between.\n"
        ),
        tables=(Table(head=head, rows=tuple(rows)),),
        aims=tuple(aims),
        numbers=numbers,
    )


def _row(callers: int, bare: _Turns, ours: _Turns) -> tuple[str, ...]:
    return (
        str(callers),
        rate(bare.rate),
        rate(ours.rate),
        f"{ours.rate / bare.rate:.2f}",
        micro(median(bare.cpu)),
        micro(median(ours.cpu)),
        micro(median(ours.waits)),
        micro(percentile(ours.waits, _P99)),
    )


def _aim(callers: int, bare: _Turns, ours: _Turns) -> Aim:
    share = ours.rate / bare.rate
    spent = (median(ours.cpu) - median(bare.cpu)) * 1e6
    return Aim(
        words=f"at least half of the bare commit shape, {callers} at once",
        measured=f"{share:.2f}",
        reached=share >= _HALF,
        reason=(
            f"a decision takes {spent:.0f} µs more of the processor than the bare shape, in one thread;"
            " ADR 0023 says for what"
        ),
    )


async def _compare(
    ground: Ground, task: str, folder: Path, sizes: tuple[int, int], *, quick: bool
) -> dict[tuple[str, int], _Turns]:
    loop = asyncio.get_running_loop()
    bare = BareLane(folder / "bare.db", loop, action=sizes[0], record=sizes[1])
    daemon = _daemon(ground, loop)
    try:
        asks = {"bare": _bare_ask(bare), "ours": _our_ask(daemon, task)}
        return await _by_turns(asks, quick=quick)
    finally:
        daemon.worker.stop()
        bare.stop()


async def _by_size(
    grounds: dict[str, Ground], tasks: dict[str, str], *, quick: bool
) -> dict[tuple[str, int], _Turns]:
    loop = asyncio.get_running_loop()
    daemons = {name: _daemon(one, loop) for name, one in grounds.items()}
    try:
        return await _by_turns(
            {name: _our_ask(daemon, tasks[name]) for name, daemon in daemons.items()}, quick=quick
        )
    finally:
        for one in daemons.values():
            one.worker.stop()


async def _by_turns(
    asks: dict[str, Callable[[int], Awaitable[object]]], *, quick: bool
) -> dict[tuple[str, int], _Turns]:
    turns, seconds = (5, 0.5) if quick else (11, 1.0)
    found = {(name, callers): _Turns() for name in asks for callers in CALLERS}
    for callers in CALLERS:
        for _ in range(turns):
            for name, ask in asks.items():
                await asyncio.gather(*(ask(one % callers) for one in range(100)))
                await _turn(ask, callers, seconds, found[name, callers])
    return found


async def _turn(ask: Callable[[int], Awaitable[object]], callers: int, seconds: float, turns: _Turns) -> None:
    done = 0
    clock = time.perf_counter
    began, processor = clock(), time.process_time()
    end = began + seconds

    async def caller(number: int) -> None:
        nonlocal done
        while (asked := clock()) < end:
            await ask(number)
            turns.waits.append(clock() - asked)
            done += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    turns.rates.append(done / (clock() - began))
    turns.cpu.append((time.process_time() - processor) / done)


def _bare_ask(bare: BareLane) -> Callable[[int], Awaitable[object]]:
    async def ask(caller: int) -> None:
        del caller
        if not await bare.put(f"act_{secrets.token_hex(13)}"):
            raise RuntimeError("the counter of the bare shape is empty")

    return ask


def _our_ask(daemon: Daemon, task: str) -> Callable[[int], Awaitable[object]]:
    peer = Peer(proof=PeerProof(uid=1000, pid=os.getpid(), started=1), ancestry=((os.getpid(), 1),))
    connections = [
        Connection(
            name=f"con_{number:026d}",
            role="gateway",
            namespace="default",
            agent="coder",
            peer=peer,
            push=lambda _: None,
            task=task,
        )
        for number in range(max(CALLERS))
    ]

    async def ask(caller: int) -> None:
        number = next(_REQUESTS)
        arguments = msgspec.Raw(b'{"amount":%d,"to":"bob"}' % number)
        decide = Decide(tool=TOOL, arguments=arguments, request=str(number))
        answer = await daemon.calls.put(WaitingCall(connection=connections[caller], ask=decide))
        if not (isinstance(answer, Settled) and isinstance(answer.decision, Permit)):
            raise RuntimeError(f"a call was not permitted: {answer}")  # noqa: TRY004 - a wrong answer, not a type

    return ask


def _daemon(ground: Ground, loop: asyncio.AbstractEventLoop) -> Daemon:
    place = Installation(home="", pid=os.getpid(), owner_uid=1000)
    daemon = Daemon(ground.adapters, sequencer_of(ground), SocketTokenSigner(Path("no-signer")), loop, place)
    daemon.worker.start()
    return daemon


def _row_sizes(store: SqlStore) -> tuple[int, int]:
    """Bytes of an action's row and of its record, on average."""
    link = store._writer  # noqa: SLF001 - to count what the store itself wrote
    if link is None:
        raise RuntimeError("the store has no writer")
    names = [row[1] for row in link.execute("PRAGMA table_info(actions)")]
    size = " + ".join(f"coalesce(length({name}), 0)" for name in names)
    action = link.execute(f"SELECT avg({size}) FROM actions").fetchone()[0]  # noqa: S608 - our own columns
    record = link.execute("SELECT avg(length(body)) FROM records").fetchone()[0]
    return round(action), round(record)
