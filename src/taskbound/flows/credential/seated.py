"""Credentials of servers whose egress is gone together with its daemon: found by who holds their action.

1. An action that was permitted to a connection of the egress names it as its holder (`SEAT`). What was
   acknowledged there ends with that connection (`surfaces.api.injecting`), and the daemon that it was
   opened at sees to that as long as it is there.
2. Where that daemon is not there any more, any other one does: a holder that is none of its own
   connections, and of no daemon that is present, is lost. Nobody comes back to such a connection.
3. What is not of the egress is looked at once: `plain` remembers it for as long as it lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.credential import CredentialState
from taskbound.flows.decision.doubts import daemon_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot

__all__ = ["SEAT", "Seated", "find_lost_seats", "find_seated"]

SEAT: Final = "egr_"
"""What the name of each connection of the egress begins with."""
_PAGE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Seated:
    """One credential that an egress said to have."""

    credential: str
    task: str
    connection: str


def find_lost_seats(means: Means, namespace: str, own: Collection[str], plain: set[str]) -> frozenset[Seated]:
    """Those whose holder is lost (rule 2).

    Args:
        means: What flows are given.
        namespace: Whose.
        own: Names of the connections that this daemon has, or that may come back to it.
        plain: Ids that are known to be nothing of the egress'; changed.
    """
    found = [one for one in find_seated(means, namespace, plain) if one.connection not in own]
    there = means.store.others({daemon_of(one.connection) for one in found}) if found else frozenset[str]()
    return frozenset(one for one in found if daemon_of(one.connection) not in there)


def find_seated(means: Means, namespace: str, plain: set[str]) -> tuple[Seated, ...]:
    """Every credential that an egress said to have, and that lives (rules 1 and 3)."""
    found: list[Seated] = []
    known: set[str] = set()
    with means.store.read() as snapshot:
        for row in _active(snapshot, namespace):
            holder = "" if row.id in plain or not row.acknowledged else _holder(snapshot, row)
            if holder.startswith(SEAT):
                found.append(Seated(credential=row.id, task=row.task, connection=holder))
            elif row.acknowledged:
                known.add(row.id)
    plain.clear()
    plain |= known
    return tuple(found)


def _holder(snapshot: Snapshot, row: Credential) -> str:
    action = snapshot.actions.action(row.namespace, row.action) if row.action else None
    return action.connection if action is not None else ""


def _active(snapshot: Snapshot, namespace: str) -> Iterator[Credential]:
    before = ""
    while page := snapshot.credentials.credentials(
        namespace, states={CredentialState.ACTIVE}, limit=_PAGE, before=before
    ):
        yield from page
        before = page[-1].id
