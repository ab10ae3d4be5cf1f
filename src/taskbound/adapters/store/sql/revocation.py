"""The kill switch and the entries of the feed, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.revocation import KillSwitch
from taskbound.core.revocation.feed import About, Entry, Thing, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.adapters.store.sql.rows.link import Link


_READ: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ?"
_TOUCH: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_WRITE: Final = (
    "UPDATE kill_switches SET stopped = ?, epoch = ?, reason = ? WHERE namespace = ? AND epoch = ?"
)
_ENTRIES: Final = "SELECT place, at, namespace, about, id, turn FROM revocations WHERE at >= ?"
_ENTER: Final = (
    "INSERT INTO revocations (place, at, namespace, about, id, turn) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_FORGET: Final = (
    "DELETE FROM revocations WHERE place IN (SELECT place FROM revocations WHERE at < ? ORDER BY at LIMIT ?)"
)


class SqlRevocation:
    """Reads the kill switch and entries through one connection, and changes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def kill_switch(self, namespace: str) -> KillSwitch:
        """How it stands; in an untouched namespace it is off, epoch 0."""
        return self._link.one(read_switch, _READ, (namespace,)) or KillSwitch()

    def entries(self, since: Instant) -> tuple[Entry, ...]:
        """Those of all namespaces that were said at this instant or later, in the order of their places."""
        found = self._link.all(_read_entry, _ENTRIES, (since,))
        return tuple(sorted(found, key=lambda one: one.place))

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Keep entries of records that this transaction gives their places."""
        rows = [
            (one.place, one.at, one.thing.namespace, one.thing.about.value, one.thing.id, one.turn.value)
            for one in entries
        ]
        if rows and self._link.change_many(_ENTER, rows, told=True) != len(rows):
            self._link.conflict("what a record ended")

    def forget_entries(self, before: Instant, *, limit: int) -> int:
        """Forget those that were said before this instant, so many at most; how many were."""
        return self._link.change(_FORGET, (before, limit), told=True)

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:  # noqa: ARG002 - one lock
        """How it stands; the transaction holds the one lock there is."""
        known = self._link.known
        if known is None:
            return self.kill_switch(namespace)
        switch = known.kill_switches.get(namespace)
        if switch is None:
            switch = known.kill_switches[namespace] = self.kill_switch(namespace)
        return switch

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        """Write it."""
        if expect == 0:
            self._link.change(_TOUCH, (namespace,))
        values = (int(switch.stopped), switch.epoch, switch.reason, namespace, expect)
        if self._link.change(_WRITE, values) != 1:
            self._link.conflict("the kill switch")


def read_switch(stopped: int, epoch: int, reason: str) -> KillSwitch:
    """The kill switch, from its columns."""
    return KillSwitch(stopped=bool(stopped), epoch=epoch, reason=reason)


def _read_entry(place: int, at: int, namespace: str, about: str, name: str, turn: str) -> Entry:
    thing = Thing(namespace=namespace, about=About(about), id=name)
    return Entry(place=place, at=Instant(at), thing=thing, turn=Turn(turn))
