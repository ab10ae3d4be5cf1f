"""Durable decisions a second on PostgreSQL: one daemon's writer and two, against the bare commit shape.

A server of our own from the system's package, with `fsync` on, on the disk that the temporary folder is on.
Each writer is a process, as each daemon is; it decides groups one after another, ours through the flows and
the store (`postgres_writer.py`), the bare one through the driver alone: lock the task and the counter, take,
insert actions and records of about the same size, pipelined, commit. All writers take from one task and one
counter.
Bare and ours take turns. Client and server share the processor.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from dev.benchmarks.ground import Ground
from dev.benchmarks.inputs.cases import typical
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import micro, rate
from taskbound.adapters.store.postgres import PostgresStore
from tests.postgres import Server, running

GROUPS: Final = (1, 16, 64)
WRITERS: Final = (1, 2)
_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What the writers of one turn did together."""

    rate: float
    """Decisions a second."""
    cpu: float
    """Seconds of a writer's processor for each."""
    half: float
    most: float
    """Seconds of a group: half of them took less, and 99 of a hundred."""


def measure_postgres(*, quick: bool) -> Section:
    """The section."""
    turns, seconds = (3, 1.0) if quick else (7, 2.0)
    found: dict[tuple[str, int, int], list[_Turn]] = {}
    with running(memory=False) as server:
        name = server.database()
        store = PostgresStore(server.url(name))
        ground = Ground.over(store)
        ground.settle_in()
        task = ground.start(typical().scope).id
        with server.connect(name) as admin:
            version = admin.execute("SHOW server_version").fetchone()
        for group in GROUPS:
            for writers in WRITERS:
                for _ in range(turns):
                    for kind in ("bare", "ours"):
                        one = _turn(server, name, kind, task, group=group, writers=writers, seconds=seconds)
                        found.setdefault((kind, group, writers), []).append(one)
        store.close()
    return _section(found, str(version[0]) if version else "")


def _turn(  # noqa: PLR0913 - what a turn differs by
    server: Server, name: str, kind: str, task: str, *, group: int, writers: int, seconds: float
) -> _Turn:
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dev.benchmarks.postgres_writer",
                kind,
                server.url(name, "owner" if kind == "bare" else "daemon"),
                task,
                str(group),
                str(seconds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(writers)
    ]
    for one in processes:
        _line(one)  # it is ready
    for one in processes:
        if one.stdin is not None:
            one.stdin.write("go\n")
            one.stdin.flush()
    told = [tuple(map(float, _line(one).split())) for one in processes]
    for one in processes:
        one.communicate()
    return _Turn(
        rate=sum(count / took for count, took, *_ in told),
        cpu=sum(cpu for _, _, cpu, *_ in told) / sum(count for count, *_ in told),
        half=median(half for *_, half, _ in told),
        most=max(most for *_, most in told),
    )


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise RuntimeError("a writer without an output")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a writer ended with {process.wait()}")
    return line


def _why(each: float, cpu: str) -> str:
    """Why it is less than half, of µs that a decision takes a writer."""
    return (
        f"of {each:.0f} µs a decision, its writer computes {cpu}; the rest is the server's: 30 columns and "
        "seven indexes an action, and the chain"
    )


def _section(found: dict[tuple[str, int, int], list[_Turn]], version: str) -> Section:
    rows, aims = [], []
    numbers: dict[str, float] = {}
    for group in GROUPS:
        for writers in WRITERS:
            bare, ours = (
                median(one.rate for one in found[kind, group, writers]) for kind in ("bare", "ours")
            )
            turns = found["ours", group, writers]
            times = [micro(median(getattr(one, name) for one in turns)) for name in ("half", "most", "cpu")]
            rows.append((str(group), str(writers), rate(bare), rate(ours), f"{ours / bare:.2f}", *times))
            numbers |= {f"{group}.{writers}.bare": bare, f"{group}.{writers}.ours": ours}
            if group == max(GROUPS):
                aims.append(
                    Aim(
                        words=f"at least half of the bare commit shape, groups of {group}, {writers} writing",
                        measured=f"{ours / bare:.2f}",
                        reached=ours / bare >= _HALF,
                        reason=_why(writers * 1e6 / ours, times[2]),
                    )
                )
    return Section(
        name="postgres",
        title="Durable decisions a second on PostgreSQL",
        method=f"{_METHOD}\nPostgreSQL {version}; folder {Path(tempfile.gettempdir()).name}.",
        tables=(
            Table(
                head=(
                    "group",
                    "writers",
                    "bare/s",
                    "ours/s",
                    "ratio",
                    "group p50 µs",
                    "p99 µs",
                    "CPU µs each",
                ),
                rows=tuple(rows),
            ),
        ),
        aims=tuple(aims),
        numbers=numbers,
    )
