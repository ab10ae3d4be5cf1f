"""Where everything is kept: snapshots to read, transactions to write.

Duties of every store:

1. `write` runs the work in one transaction: all of it becomes durable (synced to disk) before `write`
   returns, or none of it ever shows. Work MUST be free of effects other than through its transaction: it may
   run more than once.
2. Transactions are serial. Rows that a transaction has locked do not change
   under it; keys are locked in their own order.
3. A compare-and-set that meets another row than expected raises
   `ConflictError` and nothing of the transaction stays, even if the work swallows it.
4. An ambiguous commit raises `AmbiguousCommitError`, never success: it is looked up.
5. A full disk raises `FullDiskError`; with `reserve=True` the work may use the space kept for ending things.
6. A snapshot sees one state of the whole store, that of its beginning, and later ones never an older.
   Snapshots and transactions are of no use after their end, and no transaction is begun within another.
7. Everything belongs to a namespace; no query crosses it.
8. At most one process of a database leads, as far as it knows; what it writes is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from taskbound.ports.store.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from taskbound.core.clock import Instant
    from taskbound.ports.store.snapshot import Snapshot
    from taskbound.ports.store.transaction import Transaction


T = TypeVar("T")


class Readable(Protocol):
    """One database, for a process that only reads it (duties 6 and 7)."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """A snapshot, for the length of the context. Safe from any thread."""

    def last_instant(self) -> Instant:
        """The latest instant that any record holds, 0 in an empty store (law 10)."""


class Store(Readable, Presence, Protocol):
    """One database; the module's docstring holds its duties."""

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """What the work returns, once it is durable. Safe from any thread; one at a time.

        Raises:
            ConflictError: A compare-and-set missed.
            AmbiguousCommitError: Nobody knows whether it is durable.
            FullDiskError: There is no space.
            StoreUnavailableError: Anything else is in the way.
        """

    def leads(self) -> bool:
        """Whether this process gives records their places now; takes that on when nobody else does.

        Raises:
            StoreUnavailableError: Nobody can tell.
        """

    def describe(self) -> str:
        """Kind, library version and place, in words."""

    def reserve_state(self) -> str:
        """`whole`, or why the space that is kept for ending things is not there."""

    def close(self) -> None:
        """Let go of everything; the store can't be used afterwards."""
