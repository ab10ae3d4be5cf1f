"""The kill switch in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.revocation import KillSwitch

__all__ = ["RevocationReads", "RevocationWrites"]


class RevocationReads(Protocol):
    """Reads the kill switch."""

    def kill_switch(self, namespace: str) -> KillSwitch:
        """How it stands; in an untouched namespace it is off, epoch 0."""


class RevocationWrites(RevocationReads, Protocol):
    """Changes it."""

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """How it stands, locked against change until the end of the transaction.

        With `moves` it is locked for who changes it, alone: whoever has locked it before has their records
        before that of the change, and whoever locks it after sees the change.
        """

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        """Write it. MUST raise `ConflictError` when the epoch in the store is not `expect`."""
