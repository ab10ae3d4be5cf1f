"""Operations on the log: export, proof, tail, and comparison with the rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.audit.sequencing import NotCoveredError
from taskbound.surfaces.api.operations.show import BadFilterError
from taskbound.surfaces.api.server.operation import operation
from taskbound.wire import audit as wire
from taskbound.wire.audit import CompareRows, RowsCompared

if TYPE_CHECKING:
    from taskbound.flows.audit.rows import Comparison
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Answer


_PAGE: Final = 5000
_BYTES: Final = 2_000_000
"""Of records in one answer: escaped once more they still fit into a frame."""
_WAIT: Final = 60
_PROOF_WAIT: Final = 3.0
_KEY_WAIT: Final = 3.0
"""For the log's key: a daemon answers before it has asked its signer for the first time."""


@operation(wire.ExportAudit)
async def _export_audit(daemon: Daemon, _connection: Connection, ask: wire.ExportAudit) -> Answer:
    end = asyncio.get_running_loop().time() + _KEY_WAIT
    while not daemon.log_key and (left := end - asyncio.get_running_loop().time()) > 0:
        await daemon.wait_checkpoint(left)
    return await daemon.read(lambda: _page(daemon, ask.start, ask.limit))


def _page(daemon: Daemon, start: int, limit: int) -> wire.ExportPage:
    with daemon.adapters.store.read() as snapshot:
        size = snapshot.audit.size()
        records = snapshot.audit.records(max(0, start), max(1, min(limit, _PAGE)))
        checkpoint = snapshot.audit.checkpoint()
    taken: list[str] = []
    room = _BYTES
    for record in records:
        room -= len(record)
        if room < 0 and taken:
            break
        taken.append(record.decode())
    return wire.ExportPage(
        start=start,
        records=tuple(taken),
        size=size,
        checkpoint=checkpoint.note if checkpoint else "",
        key=daemon.log_key,
    )


@operation(wire.ProveRecord)
async def _prove_record(daemon: Daemon, connection: Connection, ask: wire.ProveRecord) -> Answer:
    """Returns an offline proof, after waiting for the checkpoint that covers the record."""
    end = asyncio.get_running_loop().time() + _PROOF_WAIT
    while True:
        try:
            return await daemon.read(lambda: _prove(daemon, connection.namespace, ask))
        except NotCoveredError:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                raise
            await daemon.wait_checkpoint(left)


def _prove(daemon: Daemon, namespace: str, ask: wire.ProveRecord) -> wire.ProofFile:
    index = ask.index
    if ask.action:
        with daemon.adapters.store.read() as snapshot:
            place = snapshot.audit.place(namespace, ask.action)
        if place is None:
            raise NotCoveredError(f"the record of action `{ask.action}` has no place in the log yet")
        index = place
    elif index < 0:
        raise BadFilterError("a proof is of an action, or of a record by its number from 0 on", where="index")
    proof, record = daemon.sequencer.prove(index)
    return wire.ProofFile(proof=proof.decode(), record=record.decode(), index=index)


@operation(wire.TailAudit)
async def _tail_audit(daemon: Daemon, _connection: Connection, ask: wire.TailAudit) -> Answer:
    """Returns the newest records, or those after an index, after waiting for at least one."""
    end = asyncio.get_running_loop().time() + max(0, min(ask.wait, _WAIT))
    while True:
        page = await daemon.read(lambda: _tail(daemon, ask))
        left = end - asyncio.get_running_loop().time()
        if page.records or left <= 0:
            return page
        await daemon.wait_checkpoint(left)


def _tail(daemon: Daemon, ask: wire.TailAudit) -> wire.ExportPage:
    limit = max(1, min(ask.limit, _PAGE))
    if ask.after >= 0:
        return _page(daemon, ask.after + 1, limit)
    with daemon.adapters.store.read() as snapshot:
        size = snapshot.audit.size()
    return _page(daemon, max(0, size - limit), limit)


_ROWS_WAIT: Final = 2.0
"""Seconds until an answer says how far it is."""


@dataclass(slots=True)
class LogComparison:
    """A comparison of log and rows: the running one, or the last one."""

    task: asyncio.Task[Comparison] | None = None
    done: int = 0
    total: int = 0

    def step(self, done: int, total: int) -> None:
        """Stores the progress; called in the comparison's thread."""
        self.done, self.total = done, total


@operation(CompareRows)
async def _compare_all_rows(daemon: Daemon, _connection: Connection, ask: CompareRows) -> Answer:
    known = daemon.comparing
    if known.task is None or (ask.anew and known.task.done()):
        known = daemon.comparing = LogComparison()
        known.task = asyncio.create_task(asyncio.to_thread(_compare, daemon, known))
    await asyncio.wait([known.task], timeout=_ROWS_WAIT)
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


def _compare(daemon: Daemon, known: LogComparison) -> Comparison:
    with daemon.adapters.store.read() as snapshot:
        return compare_rows(snapshot, known.step)
