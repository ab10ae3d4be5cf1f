"""Telling those who watch over agents what happened to people: news beside the checkpoints.

1. News is told after what it tells of is durable. A monitor that takes none stops nothing, and that is
   recorded; the log that its checkpoints vouch for holds the same.
2. Each address is told once, whatever number of agents it watches.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskbound.core.audit import Delivery
from taskbound.core.identity import AgentState
from taskbound.core.identity.person_key import PersonKeyState
from taskbound.ports.monitor import MonitorUnreachableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.audit import Event
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.means import Means


def tell(means: Means, namespace: str, news: Mapping[str, object], also: Collection[str] = ()) -> None:
    """Bring news to the monitor of every active agent of the namespace.

    Args:
        means: What flows are given.
        namespace: Where it happened.
        news: What; it becomes one JSON object.
        also: Agents that are told though they are active no more.
    """
    with means.store.read() as snapshot:
        agents = snapshot.identities.agents(namespace)
    told = {one.monitor for one in agents if one.state is AgentState.ACTIVE or one.name in also}
    message = json.dumps({**news, "namespace": namespace}, ensure_ascii=True).encode()
    failed: list[Event] = []
    for address in sorted(told - {""}):
        try:
            means.monitor.deliver(address, message)
        except MonitorUnreachableError as error:
            failed.append(Delivery(monitor=address, subject="news", outcome="failed", detail=error.message))
    if failed:
        means.store.write(lambda tx: tx.audit.append(namespace, means.writer, failed, means.clock.now()))


def tell_key(means: Means, key: PersonKey) -> None:
    """Tell that a key waits for a voucher, was enrolled or was withdrawn; of a mere proposal nothing."""
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
    tell(means, key.namespace, news)
