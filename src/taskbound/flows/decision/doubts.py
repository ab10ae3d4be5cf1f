"""Acts whose permit is open and whose holder is lost, before anybody gave the holder up (design 4.9, law 7).

1. From the instant of the loss such an act counts as unknown, so that a repeat is held where a repeat
   after an unknown outcome is; when the holder is back within its grace, it counts as before.
2. Nothing is written for it: what is in doubt follows from open permits, and is read in the
   transaction that settles. A holder is in doubt until the store has recorded that it was given up.
3. An open permit of a holder that is there is no outcome: it counts as an attempt, and a second one is a
   new use, which the limits pay for.
4. A holder's name is a digest, and then that of the daemon which it was opened at.
5. Who asked over a network is no connection's (`core.decision.holder`): whether it is there nobody knows, and
   its act is in doubt from the end of its permit on, whichever daemon permitted it.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.decision.holder import MOST_OPEN, due_of, is_afar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.clock import Instant
    from taskbound.ports.store import Snapshot


HOLDER: Final = len("con_") + 26
"""Characters of a holder's name before that of its daemon (rule 4)."""

Holder = tuple[str, str]
"""(namespace, connection)."""


class Doubts:
    """Lost holders of one daemon; told from any thread, asked in the worker's."""

    def __init__(self) -> None:
        """Start with nobody lost."""
        self._guard = threading.Lock()
        self._lost: set[Holder] = set()
        self._read: dict[str, frozenset[tuple[str, str]]] = {}
        """By namespace: (root, act key) of what is in doubt, as it was last read."""

    def lose(self, *holders: Holder) -> None:
        """These were lost (rule 1)."""
        with self._guard:
            self._lost.update(holders)
            self._read.clear()

    def settle(self, *holders: Holder) -> None:
        """These are back, or what they held has an outcome (rule 2)."""
        with self._guard:
            self._lost.difference_update(holders)
            self._read.clear()

    def lost(self) -> frozenset[Holder]:
        """Every lost holder."""
        with self._guard:
            return frozenset(self._lost)

    def granted(self, holders: Iterable[Holder]) -> None:
        """These were given permits just now: what was read of a lost one among them is old."""
        if not self._lost:
            return
        with self._guard:
            if not self._lost.isdisjoint(holders):
                self._read.clear()

    def acts(self, snapshot: Snapshot, namespace: str) -> frozenset[tuple[str, str]]:
        """(root, act key) of every act of the namespace that is in doubt."""
        if not self._lost:
            return frozenset()
        with self._guard:
            lost = {name for space, name in self._lost if space == namespace}
            known = self._read.get(namespace)
        if known is not None or not lost:
            return known or frozenset()
        permits = snapshot.actions.open_permits(namespace)
        found = frozenset((one.root, one.act_key) for one in permits if one.connection in lost)
        with self._guard:
            if lost == {name for space, name in self._lost if space == namespace}:
                self._read[namespace] = found
        return found


def daemon_of(connection: str) -> str:
    """The name of the daemon that a connection was opened at (rule 4)."""
    return connection[HOLDER:]


def strangers(snapshot: Snapshot) -> frozenset[Holder]:
    """Whoever holds an open permit or a question, and is a gateway's connection."""
    permits = {
        (space, one.connection)
        for space in snapshot.actions.namespaces()
        for one in snapshot.actions.open_permits(space)
    }
    asked = {
        (one.question.namespace, one.waiter.connection)
        for one in snapshot.approvals.open_approvals()
        if one.waiter.connection  # nobody waits for what outlives its call
    }
    return frozenset(one for one in permits | asked if not is_afar(one[1]))


class Overdue(NamedTuple):
    """Who asked over a network, as of now (rule 5)."""

    doubted: frozenset[Holder]
    """Who is in doubt."""
    over: frozenset[Holder]
    """Who is to be given up."""
    crowded: frozenset[tuple[str, str]]
    """(namespace, task) of which too many permits are without an outcome."""


def overdue(snapshot: Snapshot, now: Instant) -> Overdue:
    """What is to be seen to; a question is given up when nobody has come back for it in time."""
    doubted: set[Holder] = set()
    over: set[Holder] = set()
    held: Counter[tuple[str, str]] = Counter()
    for space in snapshot.actions.namespaces():
        for one in snapshot.actions.open_permits(space):
            if not is_afar(one.connection):
                continue
            held[space, one.task] += 1
            if now >= one.until:
                doubted.add((space, one.connection))
                if now >= due_of(one.until):
                    over.add((space, one.connection))
    over |= {
        (one.question.namespace, one.waiter.connection)
        for one in snapshot.approvals.open_approvals()
        if is_afar(one.waiter.connection) and now >= one.waiter.until
    }
    crowded = frozenset(task for task, many in held.items() if many >= MOST_OPEN)
    return Overdue(doubted=frozenset(doubted), over=frozenset(over), crowded=crowded)
