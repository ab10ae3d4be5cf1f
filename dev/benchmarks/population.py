"""Row 5: the daemon's memory with 10,000 running tasks.

A real daemon process; every task is started through its socket, has a connection of a gateway that
stays open, and is used once through a decision. An agent's call belongs to its one running task, so
each task is started, bound by a first decision, and paused for the next one's turn; at the end all are
resumed and used once more. Memory is the process's proportional set size as the kernel tells it; the
signer is another process.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dev.benchmarks.page import Aim, Section, Table
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done, Open
from taskbound.wire.task import PauseTask, ResumeTask, StartTask, TaskDetail
from taskbound.wiring.home import find_socket
from tests.surfaces.cli.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

__all__ = ["measure_population"]

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
    _allow_files()
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
        reason="see the section",
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

    tasks: list[str] = []
    telling, hearing = _CONTEXT.Pipe()
    agent = _CONTEXT.Process(target=_gateways, args=(path, hearing), daemon=True)
    agent.start()
    with Client(path, Open(role="cli", version=__version__)) as person:

        def start() -> None:
            order = StartTask(agent="helper", purpose="look", seconds=_WEEK, scope=_SCOPE)
            for number in range(count):
                tasks.append(person.ask(order, TaskDetail).row.task)
                _tell(telling, "bind")
                if number < count - 1:
                    person.ask(PauseTask(task=tasks[-1]), Done)

        def resume() -> None:
            for task in tasks[:-1]:
                person.ask(ResumeTask(task=task), Done)

        note("all were started and bound, all but one paused", start)
        note("all are running", resume)
        if place.status().running_tasks != count:
            raise RuntimeError("not every task runs")
        note("each was used once more while all run", lambda: _tell(telling, "use"))
    _tell(telling, "end")
    agent.join()
    return found


def _tell(telling: Connection, word: str) -> None:
    telling.send_bytes(word.encode())
    said = telling.recv_bytes()
    if said != b"done":
        raise RuntimeError(said.decode())


def _gateways(path: Path, hearing: Connection) -> None:
    """A process of its own that holds every gateway's connection: a person's acts come from outside of it."""
    _allow_files()
    gateways: list[Client] = []
    while (word := hearing.recv_bytes()) != b"end":
        if word == b"bind":
            gateways.append(Client(path, Open(role="gateway", version=__version__, agent="helper")))
            _decide(gateways[-1], len(gateways), "first")
        else:
            for number, gateway in enumerate(gateways):
                _decide(gateway, number, "second")
        hearing.send_bytes(b"done")
    hearing.send_bytes(b"done")


def _decide(gateway: Client, number: int, request: str) -> None:
    arguments = msgspec.Raw(b'{"path":"/srv/%d"}' % number)
    gateway.ask(Decide(tool="fs__read", arguments=arguments, request=f'"{request}"'), Permitted)


def _allow_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("Pss:")) * 1024 / 1e6
