"""Comparing rows with the log beside everything else: one comparison at a time, for all who ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.flows.audit.rows import compare_rows
from taskbound.wire.audit import CompareRows, RowsCompared

if TYPE_CHECKING:
    from taskbound.flows.audit.rows import Comparison
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


_WAIT: Final = 2.0
"""Seconds until an answer says how far it is."""


@dataclass(slots=True)
class Comparing:
    """A comparison that is under way, or the last one."""

    task: asyncio.Task[Comparison] | None = None
    done: int = 0
    total: int = 0

    def step(self, done: int, total: int) -> None:
        """So far it is; called in its thread."""
        self.done, self.total = done, total


async def compare_all_rows(daemon: Daemon, _connection: Connection, ask: CompareRows) -> Answer:
    """How far the comparison is, after a moment; what it found once it has ended."""
    known = daemon.comparing
    if known.task is None or (ask.anew and known.task.done()):
        known = daemon.comparing = Comparing()
        known.task = asyncio.create_task(asyncio.to_thread(_compare, daemon, known))
    await asyncio.wait([known.task], timeout=_WAIT)
    if not known.task.done():
        return RowsCompared(done=known.done, total=known.total)
    found = known.task.result()
    return RowsCompared(
        done=found.records,
        total=found.records,
        ended=True,
        actions=found.actions,
        tasks=found.tasks,
        found=found.found,
        differences=found.differences,
    )


def _compare(daemon: Daemon, known: Comparing) -> Comparison:
    with daemon.means.store.read() as snapshot:
        return compare_rows(snapshot, known.step)
