"""The kill switch in the store, and the entries of the feed (`core.revocation.feed`) of its last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.revocation import Entry, KillSwitch


class RevocationReads(Protocol):
    """Reads the kill switch, and entries."""

    def kill_switch(self, namespace: str) -> KillSwitch:
        """How it stands; in an untouched namespace it is off, epoch 0."""

    def entries(self, since: Instant) -> tuple[Entry, ...]:
        """Those of all namespaces that were said at this instant or later, in the order of their places."""


class RevocationWrites(RevocationReads, Protocol):
    """Changes it, and writes entries with their records' places."""

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """How it stands, locked against change until the end of the transaction.

        With `moves` it is locked for who changes it, alone: whoever has locked it before has their records
        before that of the change, and whoever locks it after sees the change.
        """

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        """Write it. MUST raise `ConflictError` when the epoch in the store is not `expect`."""

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Keep entries of records that this transaction gives their places.

        MUST raise `ConflictError` when there is one of such a place.
        """

    def forget_entries(self, before: Instant, *, limit: int) -> int:
        """Forget those that were said before this instant, so many at most; how many were."""
