"""The kill switch, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.revocation import KillSwitch

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link

__all__ = ["SqlRevocation", "read_switch"]

_READ: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ?"
_TOUCH: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_WRITE: Final = (
    "UPDATE kill_switches SET stopped = ?, epoch = ?, reason = ? WHERE namespace = ? AND epoch = ?"
)


class SqlRevocation:
    """Reads the kill switch through one connection, and changes it in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def kill_switch(self, namespace: str) -> KillSwitch:
        """How it stands; in an untouched namespace it is off, epoch 0."""
        return self._link.one(read_switch, _READ, (namespace,)) or KillSwitch()

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
