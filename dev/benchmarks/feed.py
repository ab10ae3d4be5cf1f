"""An end, from the answer to whoever asked for it until a reader of the feed refuses, over a daemon's socket.

Real daemons. *Alone* nothing else is done; *beside calls* sixteen callers of a gateway ask for actions as
fast as they are answered, and each is decided and recorded durably; *beside readers* as many others as the
line says follow the feed as well, each told whenever something ends. With SQLite there is one daemon, with
PostgreSQL two, and what ends at one is heard of the other. The reader asks on and on, as an enforcement point
does (`sdk/feed`), here in the process that measures; all of them share the cores. *Stale* says how often the
reader could not be rested on, each time that it was looked at meanwhile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import percentile
from taskbound import __version__
from taskbound.core.revocation import About, Thing
from taskbound.sdk.client import AsyncClient, Client
from taskbound.sdk.feed import FeedFollower, FeedReader, RevokedError, StaleFeedError
from taskbound.wire.action import Decide, Outcome, Permitted, Released
from taskbound.wire.connection import Done, Open
from taskbound.wire.task import EndTask
from taskbound.wire.token import FeedRows, ReadFeed
from taskbound.wiring.home import find_socket, make_home
from tests.postgres import running
from tests.wiring.running import AGENT, client, daemon, settle_in, signer, start_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

    from taskbound.wire.envelope import Push


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_CALLERS: Final = 16
_READERS: Final = 100
_ENDS: Final = 200
_QUICK: Final = 20
_P99: Final = 0.99
_AIM: Final = 1.0
"""Seconds: what the 99th of a hundred is to take at most."""
_CONTEXT: Final = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class _Heard:
    """What was timed of one arrangement."""

    waits: list[float] = field(default_factory=list)
    looks: int = 0
    stale: int = 0
    calls: float = 0.0
    """Decisions a second meanwhile."""


def measure_feed(*, quick: bool) -> Section:
    """How long an end is not yet heard of."""
    ends = _QUICK if quick else _ENDS
    found: dict[str, _Heard] = {}
    with _embedded() as (near, task):
        _arrangements(found, "SQLite", near, near, task, ends)
    with _shared() as (near, far, task):
        _arrangements(found, "PostgreSQL", near, far, task, ends)
    worst = max(percentile(one.waits, _P99) for one in found.values())
    return Section(
        name="feed",
        title="An end, until the feed has told it",
        method=_METHOD,
        tables=(_table(found),),
        aims=(
            Aim(
                words="an end is heard within 1 s, the 99th of a hundred",
                measured=f"{worst * 1000:.0f} ms where it took longest",
                reached=worst <= _AIM,
            ),
        ),
        numbers={
            f"{name}_{what}": value
            for name, one in found.items()
            for what, value in (("p50", median(one.waits)), ("p99", percentile(one.waits, _P99)))
        },
    )


def _table(found: dict[str, _Heard]) -> Table:
    return Table(
        head=("store", "decisions a second", "p50", "p99", "longest", "stale"),
        rows=tuple(
            (
                name,
                f"{one.calls:,.0f}",
                f"{median(one.waits) * 1000:.0f} ms",
                f"{percentile(one.waits, _P99) * 1000:.0f} ms",
                f"{max(one.waits) * 1000:.0f} ms",
                f"{one.stale} of {one.looks:,}",
            )
            for name, one in found.items()
        ),
    )


def _arrangements(found: dict[str, _Heard], store: str, near: Path, far: Path, task: str, ends: int) -> None:
    found[f"{store}, alone"] = _timed(near, far, ends)
    with _callers(near, task) as counted:
        began, before = time.monotonic(), counted()
        heard = _timed(near, far, ends)
        heard.calls = (counted() - before) / (time.monotonic() - began)
    found[f"{store}, beside calls"] = heard
    with _followers(far):
        found[f"{store}, beside {_READERS} readers"] = _timed(near, far, ends)


def _timed(near: Path, far: Path, ends: int) -> _Heard:
    """End tasks at one daemon, and wait until a reader of the other one refuses."""
    heard, reader = _Heard(), FeedReader()

    def fetch(ask: ReadFeed) -> FeedRows:
        return reading.ask(ask, FeedRows)

    with client(far) as reading, client(near) as person:
        follower = FeedFollower(reader, fetch)
        follower.start()
        try:
            _until_fresh(reader)
            for _ in range(ends):
                _end_one(person, reader, heard)
        finally:
            follower.stop()
    return heard


def _end_one(person: Client, reader: FeedReader, heard: _Heard) -> None:
    task = start_task(person)
    thing = Thing(namespace="default", about=About.TASK, id=task)
    person.ask(EndTask(task=task, how="completed", reason=""), Done)
    began = time.monotonic()
    while True:
        heard.looks += 1
        try:
            reader.require_clear([thing])
        except RevokedError:
            heard.waits.append(time.monotonic() - began)
            return
        except StaleFeedError:
            heard.stale += 1
        time.sleep(0.001)


def _until_fresh(reader: FeedReader) -> None:
    while reader.age() > 0:
        time.sleep(0.01)


@contextmanager
def _embedded() -> Iterator[tuple[Path, str]]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        make_home(home)
        with daemon(home):
            yield find_socket(home), settle_in(find_socket(home), Path(name))


@contextmanager
def _shared() -> Iterator[tuple[Path, Path, str]]:
    with ExitStack() as open_, tempfile.TemporaryDirectory() as name, running() as server:
        folder = Path(name)
        homes, apart = [folder / "one", folder / "two"], folder / "apart"
        for one in homes:
            make_home(one)
        apart.mkdir(mode=0o700)
        place = ("--signer", str(apart / "signer.sock"), "--origin", "example.com/log")
        open_.enter_context(signer(apart / "keys", apart / "signer.sock", "--create"))
        store = server.url(server.database())
        for one in homes:
            open_.enter_context(daemon(one, "--store", store, *place))
        near, far = (find_socket(one) for one in homes)
        yield near, far, settle_in(near, folder)


@contextmanager
def _callers(socket: Path, task: str) -> Iterator[Callable[[], int]]:
    """Callers in a process of their own; how many decisions they have had is asked of what is given."""
    counted, over = _CONTEXT.Value("q", 0), _CONTEXT.Event()
    process = _CONTEXT.Process(target=_call, args=(socket, task, counted, over), daemon=True)
    process.start()
    try:
        while not counted.value:
            time.sleep(0.05)
        yield lambda: counted.value
    finally:
        over.set()
        process.join(30)


def _call(socket: Path, task: str, counted: Synchronized[int], over: Event) -> None:
    asyncio.run(_calling(socket, task, counted, over))


async def _calling(socket: Path, task: str, counted: Synchronized[int], over: Event) -> None:
    hello = Open(role="gateway", version=__version__, agent=AGENT, task=task)
    gateway, _ = await AsyncClient.connect(socket, hello, pushed=_ignore, lost=_pass)
    numbers = count()

    async def caller() -> None:
        while not over.is_set():
            number = next(numbers)
            text = msgspec.Raw(b'{"text":"%d"}' % number)
            permit = await gateway.ask(
                Decide(tool="echo__say", arguments=text, request=str(number)), Permitted
            )
            told = Outcome(action=permit.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
            await gateway.ask(told, Released)
            counted.value += 1

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    gateway.close()


@contextmanager
def _followers(socket: Path) -> Iterator[None]:
    """Readers in a process of their own, once each has heard what is kept."""
    over, begun = _CONTEXT.Event(), _CONTEXT.Value("q", 0)
    process = _CONTEXT.Process(target=_follow, args=(socket, begun, over), daemon=True)
    process.start()
    try:
        while begun.value < _READERS:
            time.sleep(0.05)
        yield
    finally:
        over.set()
        process.join(30)


def _follow(socket: Path, begun: Synchronized[int], over: Event) -> None:
    asyncio.run(_following(socket, begun, over))


async def _following(socket: Path, begun: Synchronized[int], over: Event) -> None:
    async def follower() -> None:
        hello = Open(role="cli", version=__version__, agent="")
        link, _ = await AsyncClient.connect(socket, hello, pushed=_ignore, lost=_pass)
        page = await link.ask(ReadFeed(), FeedRows)
        begun.value += 1
        while not over.is_set():
            page = await link.ask(ReadFeed(after=page.through, mark=page.mark, wait=2_000), FeedRows)
        link.close()

    await asyncio.gather(*(follower() for _ in range(_READERS)))


def _ignore(_: Push) -> None:
    pass


def _pass() -> None:
    pass
