"""The port of the store: a snapshot to read, a transaction to write, its errors.

Of `presence`:

1. A process is present under its names until it ends, whatever ends it, and no longer.
2. Processes that are present at once have agreed on the same: whoever brings something else is refused.
3. One that is present MAY be missed for a moment, so that whoever acts on an absence looks twice.

Of `store`:

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
    """The store can't be read or written now."""

    code = "store-unavailable"


class UnreadableStoreError(StoreUnavailableError):
    """This account may not read the database."""

    code = "store-unreadable"
    remedy = (
        "put the database into a folder whose group may read it (`--database` and `--readers` of the daemon),"
        " or use PostgreSQL: see deploy/README.md"
    )


class ConflictError(UnavailableError):
    """A row is not what it was when it was read: run the work again."""

    code = "conflict"


class AmbiguousCommitError(UnavailableError):
    """The commit may or may not have happened: look it up, never assume."""

    code = "ambiguous-commit"


class FullDiskError(UnavailableError):
    """There is no space to record what would be allowed, so nothing is."""

    code = "full-disk"
    remedy = "free space on the disk that holds the data directory; tasks can still be ended"


class StoreBehindError(StoreUnavailableError):
    """The store does not hold what was seen of it: it was put back from a copy, replaced, or lost its end."""

    code = "store-behind"
    remedy = (
        "keep everything as it is, and look at what happened; then `taskbound db reconcile` goes on with what"
        " is there, and `taskbound db restore` with a copy: see docs/guides/backups.md"
    )


class ForeignDatabaseError(UnavailableError):
    """The file is a database, but not one of Taskbound."""

    code = "foreign-database"
    remedy = "name another data directory with `--home`"


class OtherRulesError(StoreUnavailableError):
    """Another daemon on this database has other base rules: it is of another version."""

    code = "other-rules"
    remedy = "end the daemons of the other version first"


class NewerDatabaseError(UnavailableError):
    """The database was made by a newer version."""

    code = "newer-database"
    remedy = "use that version, or a newer one"


class OlderDatabaseError(StoreUnavailableError):
    """The database has no tables of Taskbound, or those of a version before the first release."""

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
    """One state of the store, to read."""

    @property
    def identities(self) -> IdentityReads:
        """Persons and agents."""

    @property
    def accounts(self) -> AccountReads:
        """People's accounts at issuers."""

    @property
    def workloads(self) -> WorkloadReads:
        """What proves agents."""

    @property
    def authorizations(self) -> AuthorizationReads:
        """Clients that people use."""

    @property
    def services(self) -> ServiceReads:
        """Enforcement points and systems downstream."""

    @property
    def trusts(self) -> TrustReads:
        """Trust domains, and their bundles."""

    @property
    def tasks(self) -> TaskReads:
        """Tasks, templates, limits and runs."""

    @property
    def unclaimed(self) -> UnclaimedReads:
        """Tasks that nobody has anything of yet."""

    @property
    def tools(self) -> ToolReads:
        """Servers and pinned tools."""

    @property
    def actions(self) -> ActionReads:
        """Actions and what is known of acts."""

    @property
    def credentials(self) -> CredentialReads:
        """Credentials of tasks."""

    @property
    def targets(self) -> TargetReads:
        """Systems in which credentials are minted."""

    @property
    def amendments(self) -> AmendmentReads:
        """Amendments that people are asked about, and their answers."""

    @property
    def shared_claims(self) -> SharedClaimReads:
        """Claims that are kept for services."""

    @property
    def tokens(self) -> TokenReads:
        """Tokens and the keys that sign them."""

    @property
    def approvals(self) -> ApprovalReads:
        """Questions about held actions, and their answers."""

    @property
    def audit(self) -> AuditReads:
        """The log."""

    @property
    def policy(self) -> PolicyReader:
        """Bundles, and which is in force."""

    @property
    def revocation(self) -> RevocationReads:
        """The kill switch."""


class Presence(Protocol):
    """Being there, and seeing who else is. Safe from any thread."""

    def attend(self, name: str) -> None:
        """Be present under this name too (rule 1); asked again now and then, since presence can be lost.

        Raises:
            StoreUnavailableError: Nobody can tell.
        """

    def agree(self, what: str) -> None:
        """Be present as one that goes by this (rule 2), until the end.

        Raises:
            OtherRulesError: Another process is present that goes by something else.
            StoreUnavailableError: Nobody can tell.
        """

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that another process is present under; none where there can be no other.

        Raises:
            StoreUnavailableError: Nobody can tell.
        """


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


class Transaction(Protocol):
    """One transaction: the same words, to read under lock and to write."""

    @property
    def identities(self) -> IdentityWrites:
        """Persons and agents."""

    @property
    def accounts(self) -> AccountWrites:
        """People's accounts at issuers."""

    @property
    def workloads(self) -> WorkloadWrites:
        """What proves agents."""

    @property
    def authorizations(self) -> AuthorizationWrites:
        """Clients that people use."""

    @property
    def services(self) -> ServiceWrites:
        """Enforcement points and systems downstream."""

    @property
    def trusts(self) -> TrustWrites:
        """Trust domains, and their bundles."""

    @property
    def tasks(self) -> TaskWrites:
        """Tasks, templates, limits and runs."""

    @property
    def unclaimed(self) -> UnclaimedWrites:
        """Tasks that nobody has anything of yet."""

    @property
    def tools(self) -> ToolWrites:
        """Servers and pinned tools."""

    @property
    def actions(self) -> ActionWrites:
        """Actions and what is known of acts."""

    @property
    def targets(self) -> TargetWrites:
        """Systems in which credentials are minted."""

    @property
    def credentials(self) -> CredentialWrites:
        """Credentials of tasks."""

    @property
    def amendments(self) -> AmendmentWrites:
        """Amendments that people are asked about, and their answers."""

    @property
    def answered(self) -> AnsweredWrites:
        """What was answered under a key."""

    @property
    def claims(self) -> ClaimWrites:
        """What was used once."""

    @property
    def shared_claims(self) -> SharedClaimWrites:
        """Claims that are kept for services."""

    @property
    def tokens(self) -> TokenWrites:
        """Tokens and the keys that sign them."""

    @property
    def approvals(self) -> ApprovalWrites:
        """Questions about held actions, and their answers."""

    @property
    def audit(self) -> AuditWrites:
        """The log."""

    @property
    def policy(self) -> PolicyWriter:
        """Bundles, and which is in force."""

    @property
    def revocation(self) -> RevocationWrites:
        """The kill switch."""
