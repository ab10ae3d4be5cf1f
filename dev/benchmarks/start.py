"""Row 6: how long the daemon takes until it answers, with 10⁵ actions and with none.

From the start of the process to the word on its pipe that it is ready: modules loaded, database opened
and looked at, the first record durable, the socket bound. By turns on a full and an empty data
directory, beside a Python that loads the same modules and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.benchmarks.durable import fill
from dev.benchmarks.ground import Ground
from dev.benchmarks.inputs.cases import typical
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import Timed
from taskbound.adapters.store.sql import SqlStore
from taskbound.wiring.store import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_ACTIONS: Final = 100_000
_QUICK: Final = 10_000
_MODULE: Final = "taskbound.wiring.daemon"


def measure_start(*, quick: bool) -> Section:
    """The section."""
    actions = _QUICK if quick else _ACTIONS
    with tempfile.TemporaryDirectory(prefix="tb-bench-") as folder:
        homes = {"empty": Path(folder) / "empty", "full": Path(folder) / "full"}
        for name, home in homes.items():
            home.mkdir(mode=0o700)
            store = SqlStore(home / DATABASE)
            ground = Ground.over(store)
            ground.settle_in()
            fill(ground, ground.start(typical().scope).id, actions if name == "full" else 64)
            store.close()
        things: dict[str, Callable[[], float]] = {
            "a Python that loads the same modules": _load,
            "the daemon, 64 actions": lambda: _start(homes["empty"]),
            f"the daemon, {actions:,} actions": lambda: _start(homes["full"]),
        }
        timed = {name: Timed() for name in things}
        for _ in range(3 if quick else 9):
            for name, work in things.items():
                timed[name].seconds.append(work())
    base = next(iter(timed.values())).median
    rows = tuple(
        (name, f"{one.median * 1000:,.0f}", f"{max(one.seconds) * 1000:,.0f}", f"{one.median / base:.2f}")
        for name, one in timed.items()
    )
    return Section(
        name="startup",
        title="From start to ready",
        method=_METHOD,
        tables=(Table(head=("what", "p50 ms", "longest ms", "ratio"), rows=rows),),
        numbers={name: one.median for name, one in timed.items()},
    )


def _load() -> float:
    """The seconds until the daemon's modules are loaded."""
    return _until_ready(lambda fd: ["-c", f"import {_MODULE}, os; os.write({fd}, b'ready')"])


def _start(home: Path) -> float:
    """The seconds until the daemon is ready; it is ended then."""
    told = ["-m", _MODULE, "--home", str(home), "--log-level", "error", "--ready-fd"]
    return _until_ready(lambda fd: [*told, str(fd)])


def _until_ready(words: Callable[[int], list[str]]) -> float:
    listening, speaking = os.pipe()
    began = time.perf_counter()
    command = [sys.executable, "-P", "-E", *words(speaking)]
    with subprocess.Popen(command, pass_fds=(speaking,)) as process:
        os.close(speaking)
        said = os.read(listening, 64)
        took = time.perf_counter() - began
        os.close(listening)
        process.terminate()
    if said.strip() != b"ready":
        raise RuntimeError("the process did not become ready")
    return took
