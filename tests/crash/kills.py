"""Kills a writing process over and over, and looks at what it leaves. `dev/soak` runs more of the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from typing import TYPE_CHECKING, Any

from tests.crash.oracle import Acknowledged, require_whole
from tests.crash.worker import POINTS, Kill, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


_LIVES = 12
_STEPS = 150_000
_WRITES = 60


def kill_once(path: Path, seed: int, kill: Kill, told: Acknowledged) -> None:
    """Let a process write to the database, kill it, and require that what it leaves is whole.

    Args:
        path: The database; it may hold what earlier processes left.
        seed: Chooses what is written; no two processes of one database may have the same.
        kill: When it ends.
        told: All that was acknowledged so far; what this process is told is added.
    """
    hearing, telling = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=run, args=(path, seed, kill, telling))
    process.start()
    telling.close()
    left = kill.acknowledged
    while True:
        try:
            told.take(hearing.recv_bytes())
        except EOFError:
            break
        left -= 1
        if not left:
            os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    hearing.close()
    if process.exitcode != -signal.SIGKILL:
        raise AssertionError(f"the process ended by itself: {process.exitcode}")
    process.close()
    require_whole(path, told)


def run_until_killed(work: Callable[[], None]) -> None:
    """Let a process work until it is killed, and require that it was."""
    process = _CONTEXT.Process(target=work)
    process.start()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise AssertionError(f"the process ended by itself: {process.exitcode}")
    process.close()


def kill_at_random(folder: Path, rounds: int, seed: int = 0) -> int:
    """Kill so often, at points, within statements and from outside; how many writes were acknowledged.

    Each database lives through a dozen kills, some of them while it is made or mended.
    """
    chosen = random.Random(seed)  # noqa: S311  # a course of events that can be repeated
    told, acknowledged, path = Acknowledged(), 0, folder / "0.db"
    for number in range(rounds):
        if number % _LIVES == 0:
            acknowledged += told.count
            told, path = Acknowledged(), folder / f"{number}.db"
        try:
            kill_once(path, seed * 1_000_000 + number, _choose(chosen), told)
        except AssertionError as error:
            error.add_note(f"kill {number} of seed {seed}")
            raise
    return acknowledged + told.count


def _choose(chosen: random.Random) -> Kill:
    match chosen.randrange(4):
        case 0:
            return Kill(point=chosen.choice(POINTS), times=chosen.randint(1, _WRITES))
        case 1:
            return Kill(steps=chosen.randint(1, _STEPS))
        case 2 if chosen.random() < 1 / 4:
            return Kill(point=chosen.choice(("looked", "prepared")))
        case _:
            return Kill(acknowledged=chosen.randint(1, _WRITES))


def _server() -> Any:
    """Processes that are forked from one which has loaded all that they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.worker", "tests.crash.unclaimed"])
    return context


_CONTEXT = _server()
