"""Holders of permits and questions that no daemon is there for: in doubt once seen, given up when seen again.

1. A connection's name ends with that of the daemon which it was opened at. While another process is present
   under that name, what the connection holds is that process's affair (`ports.store.presence`).
2. What is seen without one is in doubt at once, and given up at the next look, some seconds later, if neither
   its gateway nor its daemon has come back by then: the presence of a living one can be lost for a moment.
3. Whoever takes in a gateway of a daemon that is gone is present under that daemon's name as well, and so
   answers for all that it left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.flows.decision.doubts import daemon_of, strangers

if TYPE_CHECKING:
    from taskbound.flows.decision.doubts import Doubts, Holder
    from taskbound.ports.store import Store


class Strangers:
    """What one daemon has seen of them; used in the loop, but for what asks the store."""

    def __init__(self, store: Store, doubts: Doubts, name: str) -> None:
        """Have seen nobody, as the daemon of this name."""
        self._store = store
        self._doubts = doubts
        self._names = [name]
        self._seen: frozenset[Holder] = frozenset()

    def attend(self) -> None:
        """Be present under this daemon's own name, and others' that it answers for; from any thread."""
        for name in tuple(self._names):
            self._store.attend(name)

    def find(self) -> frozenset[Holder]:
        """Everybody whose daemon is not there, or this one; from any thread."""
        with self._store.read() as snapshot:
            found = strangers(snapshot)
        there = self._store.others({daemon_of(name) for _, name in found})  # 1
        return frozenset(one for one in found if daemon_of(one[1]) not in there)

    def see(self, found: frozenset[Holder], own: frozenset[str]) -> frozenset[Holder]:
        """Doubt what was found, but for this daemon's own connections; who is to be given up (rule 2)."""
        found = frozenset(one for one in found if one[1] not in own)
        known, self._seen = self._seen, found
        self._doubts.settle(*(one for one in known - found if one[1] not in own))
        self._doubts.lose(*(found - known))
        return found & known

    def name_of(self, start: str) -> str:
        """The name of a connection that begins so and is back; empty where nobody's does."""
        return next((name for _, name in self._seen if name.startswith(start)), "")

    def meet(self, holder: Holder) -> None:
        """This one's gateway is here now (rule 3)."""
        name = daemon_of(holder[1])
        if holder in self._seen and name and name not in self._names:
            self._names.append(name)
