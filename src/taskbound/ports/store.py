"""The store: snapshots to read, transactions to write, and its errors.

A process is present under its names until it ends, however it ends. Present processes agree on one value. A
present process MAY be missed for a moment, so a caller that acts on absence must look twice.

- `write` runs the work in one transaction, durable (synced) before it returns, or without any effect. Work
  MUST have no other effects, as it may run more than once.
- Transactions are serializable; locked rows do not change, and keys are locked in their own order.
- A failed compare-and-set raises `ConflictError` and rolls back, even if the work swallows it. An ambiguous
  commit raises `AmbiguousCommitError`, never success. A full disk raises `FullDiskError`; `reserve=True` may
  use the space kept for ending things.
- A snapshot is one state of the whole store at its beginning, never older than an earlier one. Snapshots and
  transactions are invalid after their end and do not nest.
- Everything belongs to a namespace; no query crosses it. At most one process of a database leads, as far as
  it knows; its writes are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager

    from taskbound.core.clock import Instant
    from taskbound.ports.action import ActionReads, ActionWrites
    from taskbound.ports.approval import ApprovalReads, ApprovalWrites
    from taskbound.ports.audit import AuditReads, AuditWrites
    from taskbound.ports.credential import CredentialReads, CredentialWrites
    from taskbound.ports.identity import (
        AccountReads,
        AccountWrites,
        AnsweredWrites,
        IdentityReads,
        IdentityWrites,
        ServiceReads,
        ServiceWrites,
        TrustReads,
        TrustWrites,
        WorkloadReads,
        WorkloadWrites,
    )
    from taskbound.ports.policy import PolicyReader, PolicyWriter
    from taskbound.ports.revocation import RevocationReads, RevocationWrites
    from taskbound.ports.target import TargetReads, TargetWrites
    from taskbound.ports.task import (
        AmendmentReads,
        AmendmentWrites,
        TaskReads,
        TaskWrites,
        UnclaimedReads,
        UnclaimedWrites,
    )
    from taskbound.ports.token import (
        AuthorizationReads,
        AuthorizationWrites,
        ClaimWrites,
        SharedClaimReads,
        SharedClaimWrites,
        TokenReads,
        TokenWrites,
    )
    from taskbound.ports.tool import ToolReads, ToolWrites


class StoreUnavailableError(UnavailableError):
    """The store cannot be read or written now."""

    code = "store-unavailable"


class UnreadableStoreError(StoreUnavailableError):
    """This account may not read the database."""

    code = "store-unreadable"
    remedy = (
        "put the database into a folder whose group may read it (`--database` and `--readers` of the daemon),"
        " or use PostgreSQL: see deploy/README.md"
    )


class ConflictError(UnavailableError):
    """A row changed since it was read; run the work again."""

    code = "conflict"


class AmbiguousCommitError(UnavailableError):
    """The commit may or may not have happened; look it up."""

    code = "ambiguous-commit"


class FullDiskError(UnavailableError):
    """There is no space for the record, so nothing is allowed."""

    code = "full-disk"
    remedy = "free space on the disk that holds the data directory; tasks can still be ended"


class StoreBehindError(StoreUnavailableError):
    """The store lacks what was seen of it: it was restored, replaced or truncated."""

    code = "store-behind"
    remedy = (
        "keep everything as it is, and look at what happened; then `taskbound db reconcile` goes on with what"
        " is there, and `taskbound db restore` with a copy: see docs/guides/backups.md"
    )


class ForeignDatabaseError(UnavailableError):
    """The database is not Taskbound's."""

    code = "foreign-database"
    remedy = "name another data directory with `--home`"


class OtherRulesError(StoreUnavailableError):
    """Another daemon on this database has other base rules, thus another version."""

    code = "other-rules"
    remedy = "end the daemons of the other version first"


class NewerDatabaseError(UnavailableError):
    """A newer version made the database."""

    code = "newer-database"
    remedy = "use that version, or a newer one"


class OlderDatabaseError(StoreUnavailableError):
    """The database has no tables of Taskbound, or those from before the first release."""

    code = "older-database"
    remedy = (
        "a PostgreSQL database without tables gets them by `taskbound db upgrade`; what a version before the"
        " first release made is not upgraded: use a new data directory or database"
    )


class AffectedLibraryError(UnavailableError):
    """The SQLite library can lose committed writes (WAL reset, fixed in 3.51.3, 3.50.7 and 3.44.6)."""

    code = "affected-sqlite"
    remedy = (
        "install what the extra `server` brings, whose `pysqlite3` has a fixed library: from a checkout"
        " `pip install '.[server]'`"
    )


class Snapshot(Protocol):
    """One state of the store, for reading."""

    @property
    def identities(self) -> IdentityReads:
        pass

    @property
    def accounts(self) -> AccountReads:
        pass

    @property
    def workloads(self) -> WorkloadReads:
        pass

    @property
    def authorizations(self) -> AuthorizationReads:
        pass

    @property
    def services(self) -> ServiceReads:
        pass

    @property
    def trusts(self) -> TrustReads:
        pass

    @property
    def tasks(self) -> TaskReads:
        pass

    @property
    def unclaimed(self) -> UnclaimedReads:
        pass

    @property
    def tools(self) -> ToolReads:
        pass

    @property
    def actions(self) -> ActionReads:
        pass

    @property
    def credentials(self) -> CredentialReads:
        pass

    @property
    def targets(self) -> TargetReads:
        pass

    @property
    def amendments(self) -> AmendmentReads:
        pass

    @property
    def shared_claims(self) -> SharedClaimReads:
        pass

    @property
    def tokens(self) -> TokenReads:
        pass

    @property
    def approvals(self) -> ApprovalReads:
        pass

    @property
    def audit(self) -> AuditReads:
        pass

    @property
    def policy(self) -> PolicyReader:
        pass

    @property
    def revocation(self) -> RevocationReads:
        pass


class Presence(Protocol):
    """Presence of processes on the database; thread-safe."""

    def attend(self, name: str) -> None:
        """Registers presence under this name too; the caller repeats it, as presence can be lost."""

    def agree(self, what: str) -> None:
        """Registers the value until the process ends; raises OtherRulesError if another process differs."""

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Returns the names that another process is present under; raises StoreUnavailableError."""


T = TypeVar("T")


class Readable(Protocol):
    """One database, for a process that only reads (duties 6 and 7)."""

    def read(self) -> AbstractContextManager[Snapshot]:
        """Returns a context with a snapshot; thread-safe."""

    def last_instant(self) -> Instant:
        """Returns the latest recorded instant, 0 in an empty store (law 10)."""


class Store(Readable, Presence, Protocol):
    """One database; the module's docstring has its duties."""

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """Thread-safe; raises ConflictError, AmbiguousCommitError, FullDiskError or StoreUnavailableError."""

    def leads(self) -> bool:
        """Whether this process sequences records; takes the lead if free. Raises StoreUnavailableError."""

    def describe(self) -> str:
        pass

    def reserve_state(self) -> str:
        """Returns `whole`, or why the reserve for ending tasks is missing."""

    def close(self) -> None:
        pass


class Transaction(Protocol):
    """One transaction, for reading under lock and writing."""

    @property
    def identities(self) -> IdentityWrites:
        pass

    @property
    def accounts(self) -> AccountWrites:
        pass

    @property
    def workloads(self) -> WorkloadWrites:
        pass

    @property
    def authorizations(self) -> AuthorizationWrites:
        pass

    @property
    def services(self) -> ServiceWrites:
        pass

    @property
    def trusts(self) -> TrustWrites:
        pass

    @property
    def tasks(self) -> TaskWrites:
        pass

    @property
    def unclaimed(self) -> UnclaimedWrites:
        pass

    @property
    def tools(self) -> ToolWrites:
        pass

    @property
    def actions(self) -> ActionWrites:
        pass

    @property
    def targets(self) -> TargetWrites:
        pass

    @property
    def credentials(self) -> CredentialWrites:
        pass

    @property
    def amendments(self) -> AmendmentWrites:
        pass

    @property
    def answered(self) -> AnsweredWrites:
        pass

    @property
    def claims(self) -> ClaimWrites:
        pass

    @property
    def shared_claims(self) -> SharedClaimWrites:
        pass

    @property
    def tokens(self) -> TokenWrites:
        pass

    @property
    def approvals(self) -> ApprovalWrites:
        pass

    @property
    def audit(self) -> AuditWrites:
        pass

    @property
    def policy(self) -> PolicyWriter:
        pass

    @property
    def revocation(self) -> RevocationWrites:
        pass
