"""Bundles as they are kept, and what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.policy import InForce


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A bundle that somebody proposed."""

    namespace: str
    digest: str
    archive: bytes
    """Its kept form; empty where only its row was asked for."""
    author: str
    at: Instant
    note: str
    record: int
    """The number of the record in which its author stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleActivation:
    """A bundle was put in force."""

    namespace: str
    force: InForce
    how: str
    """`activated`, `rolled-back` or `rebased`."""
    by: str
    at: Instant
    record: int
    """The number of the record that says so."""


class PolicyReader(Protocol):
    """Reads bundles of one namespace at a time."""

    def bundle(self, namespace: str, digest: str) -> StoredBundle | None:
        """The bundle of this digest, as its bytes are kept: whoever uses them compares."""

    def bundles(self, namespace: str) -> tuple[StoredBundle, ...]:
        """Every bundle without its archive, newest first."""

    def in_force(self, namespace: str) -> InForce:
        """What is in force; in an untouched namespace the base alone, epoch 0."""

    def activations(self, namespace: str) -> tuple[BundleActivation, ...]:
        """How that came about, newest first."""

    def governed(self) -> tuple[str, ...]:
        """Every namespace in which a bundle was put in force, in order."""


class PolicyWriter(PolicyReader, Protocol):
    """Writes them; nothing is ever changed but what is in force."""

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> InForce:
        """What is in force, locked against change until the end of the transaction.

        Who `moves` it MUST wait for all others that hold it, and its records MUST come behind theirs.
        """

    def insert_bundle(self, bundle: StoredBundle) -> None:
        """Keep it. MUST raise `ConflictError` when there is one of its digest."""

    def put_in_force(self, activation: BundleActivation, *, expect: int) -> None:
        """Make it what is in force. MUST raise `ConflictError` when the epoch there is not `expect`."""
