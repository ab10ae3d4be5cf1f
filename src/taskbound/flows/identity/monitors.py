"""Delivers checkpoints and news to the monitors of agents.

A monitor that has not taken its items for 15 minutes is overdue: its agents start no tasks (design 8). News
is sent after what it reports is durable. A refusal of news is recorded and stops nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import Delivery
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import AgentState
from taskbound.core.identity.person_key import PersonKeyState
from taskbound.ports.monitor import MonitorUnreachableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.means import Adapters
    from taskbound.ports.audit import StoredCheckpoint


OVERDUE: Final = 15 * 60 * 1_000_000
"""µs that something may wait for a monitor before no new task starts."""
EVERY: Final = 60 * 1_000_000
"""µs between two checkpoints for one monitor."""


class MonitorOverdueError(DeniedError):
    """The agent's monitor has not taken its items for 15 minutes."""

    code = "monitor-overdue"
    remedy = "mend the monitor; see `taskbound doctor`"


@dataclass(slots=True)
class _State:
    size: int = 0
    """Size of the last checkpoint that was brought."""
    at: int = 0
    """When."""
    waiting: int = 0
    """Since when something waits, 0 when nothing does."""
    failed: bool = False


class Deliveries:
    """Tracks deliveries to each monitor; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._states: dict[str, _State] = {}

    def require_current(self, address: str, now: Instant) -> None:
        state = self._states.get(address)
        if state is not None and state.waiting and now - state.waiting >= OVERDUE:
            raise MonitorOverdueError(f"monitor `{address}` has taken nothing for 15 minutes")

    def delivered_at(self) -> Instant:
        """Returns when a monitor last took a checkpoint, 0 if none did since this start."""
        return Instant(max((state.at for state in self._states.values()), default=0))

    def bring(self, checkpoint: StoredCheckpoint) -> int:
        with self._adapters.store.read() as snapshot:
            monitors = snapshot.identities.monitors()  # not the agents: this is asked twice a second
        message = json.dumps(
            {"kind": "taskbound-checkpoint", "size": checkpoint.size, "note": checkpoint.note}
        ).encode()
        return sum(
            self._bring_one(space, address, checkpoint, message)
            for address, space in sorted(monitors.items())
        )

    def _bring_one(self, space: str, address: str, checkpoint: StoredCheckpoint, message: bytes) -> int:
        state = self._states.setdefault(address, _State())
        now = self._adapters.clock.now()
        if checkpoint.size <= state.size or (not state.failed and now - state.at < EVERY):
            return 0
        state.waiting = state.waiting or now
        try:
            self._adapters.monitor.deliver(address, message)
        except MonitorUnreachableError as error:
            self._record(space, address, state, failed=True, detail=error.message)
            return 0
        state.size, state.at, state.waiting = checkpoint.size, now, 0
        self._record(space, address, state, failed=False, detail="")
        return 1

    def _record(self, space: str, address: str, state: _State, *, failed: bool, detail: str) -> None:
        if state.failed is failed:
            return
        state.failed = failed
        event = Delivery(
            monitor=address,
            subject="checkpoint",
            outcome="failed" if failed else "delivered",
            detail=detail,
        )
        self._adapters.store.write(
            lambda tx: tx.audit.append(space, self._adapters.writer, [event], self._adapters.clock.now())
        )


def tell(adapters: Adapters, namespace: str, news: Mapping[str, object], also: Collection[str] = ()) -> None:
    """Sends one JSON object to the monitors of active agents and of those that `also` names."""
    with adapters.store.read() as snapshot:
        agents = snapshot.identities.agents(namespace)
    told = {one.monitor for one in agents if one.state is AgentState.ACTIVE or one.name in also}
    message = json.dumps({**news, "namespace": namespace}, ensure_ascii=True).encode()
    failed: list[Event] = []
    for address in sorted(told - {""}):
        try:
            adapters.monitor.deliver(address, message)
        except MonitorUnreachableError as error:
            failed.append(Delivery(monitor=address, subject="news", outcome="failed", detail=error.message))
    if failed:
        adapters.store.write(
            lambda tx: tx.audit.append(namespace, adapters.writer, failed, adapters.clock.now())
        )


def tell_key(adapters: Adapters, key: PersonKey) -> None:
    """Alerts that a key waits for a voucher, was enrolled or withdrawn; ignores mere proposals."""
    if key.state is PersonKeyState.PROPOSED:
        return
    news = {
        "kind": "taskbound-person-key",
        "person": key.person,
        "key": key.id,
        "fingerprint": key.fingerprint,
        "state": key.state.value,
        "vouched_by": key.enrolled_by,
        "usable_from": key.usable_from,
        "say": f"taskbound person key withdraw {key.id}",
    }
    tell(adapters, key.namespace, news)
