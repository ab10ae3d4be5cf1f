"""Row 5: the daemon's memory with 10,000 running tasks.

A real daemon process. An agent's call belongs to its one running task, so there are as many agents as tasks,
each registered, activated, given a task through the socket, and used once through a decision by a gateway's
connection of its own. Memory is the process's proportional set size as the kernel tells it; the signer is
another process.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dev.benchmarks.page import Aim, Section, Table
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done, Open
from taskbound.wire.identity import (
    AcknowledgeMonitor,
    ActivateAgent,
    AgentDetail,
    RegisterAgent,
    ShowAgent,
    TestMonitor,
)
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wiring.home import find_socket
from tests.surfaces.cli.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_CONTEXT: Final = multiprocessing.get_context("spawn")
_AIM: Final = 150.0
_TASKS: Final = 10_000
_QUICK: Final = 1_000
_WEEK: Final = 604_800
_SCOPE: Final = msgspec.Raw(
    b'{"grants":[{"arguments":{"path":{"below":"/srv"}},"others":"any","tool":"fs__read","uses":100}]}'
)


def measure_population(*, quick: bool) -> Section:
    """The section."""
    count = _QUICK if quick else _TASKS
    place = Installation()
    try:
        place.prepare()
        found = _measure(place, count)
    finally:
        place.end()
    last = found[-1][1]
    aim = Aim(
        words=f"the daemon's memory with {_TASKS:,} running tasks is at most 150 MB",
        measured=f"{last:.0f} MB" + (f" ({count:,} tasks)" if quick else ""),
        reached=last <= _AIM,
        reason=f"{found[0][1]:.0f} MB of it are there before anything is asked",
    )
    rows = tuple((words, f"{size:.1f}", f"{took:.0f}") for words, size, took in found)
    return Section(
        name="memory",
        title=f"The daemon's memory with {count:,} running tasks",
        method=_METHOD,
        tables=(Table(head=("after", "MB", "seconds"), rows=rows),),
        aims=(aim,),
        numbers={words: size for words, size, _ in found},
    )


def _measure(place: Installation, count: int) -> list[tuple[str, float, float]]:
    pid = place.status().pid
    path = find_socket(place.home)
    found = [("start, with nothing asked yet", _megabytes(pid), 0.0)]

    def note(words: str, work: Callable[[], None]) -> None:
        began = time.perf_counter()
        work()
        found.append((words, _megabytes(pid), time.perf_counter() - began))

    telling, hearing = _CONTEXT.Pipe()
    gateway = _CONTEXT.Process(target=_gateways, args=(path, hearing), daemon=True)
    gateway.start()
    with Client(path, Open(role="cli", version=__version__)) as person:
        ceiling = person.ask(ShowAgent(name="helper"), AgentDetail).ceiling
        names = [f"helper-{number}" for number in range(count)]

        def register() -> None:
            for name in names:
                _register(person, place, name, ceiling)

        def start() -> None:
            for name in names:
                order = StartTask(agent=name, purpose="look", seconds=_WEEK, scope=_SCOPE)
                person.ask(order, TaskDetail)

        note(f"{count:,} agents were registered and activated", register)
        note(f"{count:,} tasks run", start)
        if place.status().running_tasks != count:
            raise RuntimeError("not every task runs")
        note("each was used through a decision", lambda: _tell(telling, " ".join(names)))
    _tell(telling, "")
    gateway.join()
    return found


def _register(person: Client, place: Installation, name: str, ceiling: msgspec.Raw) -> None:
    monitor = f"file:{place.monitor}"
    person.ask(
        RegisterAgent(name=name, owner="alice", approvers=("alice",), monitor=monitor, ceiling=ceiling),
        Done,
    )
    before = place.monitor.stat().st_size
    person.ask(TestMonitor(name=name), Done)
    with place.monitor.open(encoding="utf-8") as lines:
        lines.seek(before)
        code = next(one["code"] for one in map(json.loads, lines) if "code" in one)
    person.ask(AcknowledgeMonitor(name=name, code=code), Done)
    person.ask(ActivateAgent(name=name), Done)


def _tell(telling: Connection, word: str) -> None:
    telling.send_bytes(word.encode())
    said = telling.recv_bytes()
    if said != b"done":
        raise RuntimeError(said.decode())


def _gateways(path: Path, hearing: Connection) -> None:
    """A process of its own for the gateways: a person's acts come from outside of it."""
    while names := hearing.recv_bytes().decode().split():
        for number, name in enumerate(names):
            with Client(path, Open(role="gateway", version=__version__, agent=name)) as gateway:
                _decide(gateway, number)
        hearing.send_bytes(b"done")
    hearing.send_bytes(b"done")


def _decide(gateway: Client, number: int) -> None:
    arguments = msgspec.Raw(b'{"path":"/srv/%d"}' % number)
    gateway.ask(Decide(tool="fs__read", arguments=arguments, request="1"), Permitted)


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("Pss:")) * 1024 / 1e6
