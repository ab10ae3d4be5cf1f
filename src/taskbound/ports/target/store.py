"""Targets in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.target import TargetState


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """A target as a person declared it."""

    namespace: str
    name: str
    file: bytes
    """Its file as canonical JSON (`core.target.parse_target_file`)."""
    identity: str
    """Digest of the target's identity."""
    state: TargetState
    sealed: str
    """Its admin access as only the broker can read it: a JWE."""
    number: int = 1
    """How many admin accesses it had."""
    trouble: str = ""
    """Why the last preflight failed, in our words; empty where it didn't."""
    begun: Instant | None = None
    """When the last preflight began: its canaries were made at this instant (`Credential.made`)."""
    tested: Instant | None = None
    """When the last preflight was over."""
    version: int = 1


class TargetReads(Protocol):
    """Reads them."""

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target of this name."""

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        """Every target, by name."""

    def all_targets(self) -> tuple[StoredTarget, ...]:
        """Those of every namespace, by namespace and name."""

    def mark(self) -> str:
        """What tells this installation's names apart (`core.credential.name`); empty before there is one."""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        """Whether the log has the record of this epoch, which a broker found at this instant."""


class TargetWrites(TargetReads, Protocol):
    """Writes them."""

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target, which nobody else changes until this transaction is over."""

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Write it over the row of this version; 0 for one that must not exist.

        MUST raise `ConflictError` if that is not the row's.
        """

    def drop_target(self, namespace: str, name: str) -> None:
        """Take it away. Its server and tools are taken away by `ToolWrites.drop_server`."""

    def put_mark(self, mark: str) -> None:
        """Keep the mark. MUST raise `ConflictError` where there is one."""

    def put_epoch(self, epoch: int, since: Instant) -> None:
        """Keep that its record is written. MUST raise `ConflictError` where it is kept already."""
