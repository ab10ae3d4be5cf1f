"""The kill switch, and the last hour's feed entries (`core.revocation.feed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.revocation import Entry, KillSwitch


class RevocationReads(Protocol):
    """Reads the kill switch and entries."""

    def kill_switch(self, namespace: str) -> KillSwitch:
        """Returns the switch; off with epoch 0 if never thrown."""

    def entries(self, since: Instant) -> tuple[Entry, ...]:
        """Returns entries of all namespaces since this instant, by place."""


class RevocationWrites(RevocationReads, Protocol):
    """Writes the kill switch and entries."""

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """With `moves` exclusive: earlier holders' records precede the change, later holders see it."""

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        """Writes it. MUST raise `ConflictError` if the epoch is not `expect`."""

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Inserts entries placed in this transaction. MUST raise `ConflictError` for a taken place."""

    def forget_entries(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` entries from before this instant; returns their number."""
