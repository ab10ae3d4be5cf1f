"""The person's view: decisions, tasks and records, read from the daemon and never from the gateway."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import parse_record
from taskbound.core.dataclass import dataclass
from taskbound.ports.process import send_signal, started_of
from taskbound.wire.action import ActionDetail, ActionRows, ExplainAction, ListActions, ShowAction
from taskbound.wire.audit import ExportAudit, ExportPage, TailAudit
from taskbound.wire.connection import Status, StatusReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.audit import Event
    from taskbound.sdk.client import Client


_PAGE: Final = 20
_PATIENCE: Final = 20.0


class Watch:
    """A view of the daemon over one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def newest(self) -> str:
        """Return the id of the newest action, or ''."""
        rows = self._client.ask(ListActions(limit=1), ActionRows).rows
        return rows[0].action if rows else ""

    def since(self, action: str) -> tuple[ActionDetail, ...]:
        """Return every action after this one, oldest first."""
        found = []
        for row in self._client.ask(ListActions(limit=_PAGE), ActionRows).rows:
            if row.action == action:
                break
            found.append(self.action(row.action))
        return tuple(reversed(found))

    def action(self, action: str) -> ActionDetail:
        return self._client.ask(ShowAction(action=action), ActionDetail)

    def replay(self, action: str) -> str:
        return self._client.ask(ExplainAction(action=action), ActionDetail).replay

    def size(self) -> int:
        return self._client.ask(ExportAudit(limit=1), ExportPage).size

    def find(self, start: int, wanted: Callable[[Event], bool]) -> Event | None:
        end = time.monotonic() + _PATIENCE
        while (left := end - time.monotonic()) > 0:
            ask = TailAudit(after=start - 1, limit=1000, wait=max(int(left), 1))
            page = self._client.ask(ask, ExportPage, patience=_PATIENCE + 5.0)
            for one in page.records:
                event = parse_record(one.encode()).event
                if wanted(event):
                    return event
            start += len(page.records)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoint:
    """A checkpoint as a monitor keeps it."""

    size: int
    note: str


def kept_checkpoints(monitor: Path) -> tuple[KeptCheckpoint, ...]:
    """Return the checkpoints in a monitor's file, oldest first."""
    found = []
    for line in monitor.read_text(encoding="utf-8").splitlines():
        value = json.loads(line)
        if isinstance(value, dict) and value.get("kind") == "taskbound-checkpoint":
            found.append(KeptCheckpoint(size=int(value["size"]), note=str(value["note"])))
    return tuple(found)


def end_daemon(client: Client, how: signal.Signals = signal.SIGTERM) -> int:
    pid = client.ask(Status(), StatusReport).pid
    process = (pid, started_of(pid))  # while it holds the connection, the number is its own
    client.close()
    send_signal(process, how)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if started_of(pid) != process[1]:
            return pid
        time.sleep(0.02)
    send_signal(process, signal.SIGKILL)
    return pid
