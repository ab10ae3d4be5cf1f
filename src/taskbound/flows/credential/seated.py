"""Credentials of servers whose egress is gone together with its daemon: found by who holds their action.

1. An action that was permitted to a connection of the egress names it as its holder (`SEAT`). What was
   acknowledged there ends with that connection (`surfaces.api.injecting`), and the daemon that it was
   opened at sees to that as long as it is there.
2. Where that daemon is not there any more, any other one does: a holder that is none of its own
   connections, and of no daemon that is present, is lost. Nobody comes back to such a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.flows.decision.doubts import daemon_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.flows.means import Means
    from taskbound.ports.credential import HeldCredential


SEAT: Final = "egr_"
"""What the name of each connection of the egress begins with."""


def find_lost_seats(means: Means, namespace: str, own: Collection[str]) -> frozenset[HeldCredential]:
    """Those whose holder is lost (rule 2).

    Args:
        means: What flows are given.
        namespace: Whose.
        own: Names of the connections that this daemon has, or that may come back to it.
    """
    with means.store.read() as snapshot:
        found = snapshot.credentials.held_by(namespace, SEAT)
    others = [one for one in found if one.connection not in own]
    there = means.store.others({daemon_of(one.connection) for one in others}) if others else frozenset[str]()
    return frozenset(one for one in others if daemon_of(one.connection) not in there)
