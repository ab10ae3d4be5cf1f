"""A SQLite connection in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql.action import SqlActions, WaitingActions
from taskbound.adapters.store.sql.approval import SqlApprovals
from taskbound.adapters.store.sql.audit import Growth, SqlAudit
from taskbound.adapters.store.sql.credential import SqlCredentials
from taskbound.adapters.store.sql.identity import (
    SqlAccounts,
    SqlAnswered,
    SqlIdentities,
    SqlServices,
    SqlTrusts,
    SqlWorkloads,
)
from taskbound.adapters.store.sql.policy import SqlPolicy, SqlRevocation
from taskbound.adapters.store.sql.rows import Link
from taskbound.adapters.store.sql.sqlite.driver import driver, translate
from taskbound.adapters.store.sql.task import SqlAmendments, SqlTasks, SqlUnclaimed
from taskbound.adapters.store.sql.token import SqlAuthorizations, SqlClaims, SqlSharedClaims, SqlTokens
from taskbound.adapters.store.sql.tool import SqlTargets, SqlTools
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.adapters.store.sql.rows import Value


_UNKEPT = (driver.Error, OverflowError, UnicodeError)


class SqliteLink(Link):
    """Runs statements on one connection until its transaction ends."""

    __slots__ = ("_connection",)

    def __init__(self, connection: driver.Connection) -> None:
        super().__init__()
        self._connection: driver.Connection | None = connection

    def end(self) -> None:
        """Makes the link unusable."""
        self._connection = None

    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Returns all rows."""
        try:
            return self._live().execute(text, values).fetchall()
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change(self, text: str, values: Sequence[Value] = (), *, told: bool = False) -> int:
        """Returns how many rows changed; with `told` the caller invalidates cached rows itself."""
        if self.known is not None and not told:
            self.known.forget(text)
        try:
            return self._live().execute(text, values).rowcount
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change_many(self, text: str, rows: Iterable[Sequence[Value]], *, told: bool = False) -> int:
        """Runs one statement for each row; returns the total of changed rows. `told` as in `change`."""
        if self.known is not None and not told:
            self.known.forget(text)
        try:
            return self._live().executemany(text, rows).rowcount
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def _live(self) -> driver.Connection:
        if self._connection is None:
            raise StoreUnavailableError("this snapshot or transaction has ended")
        return self._connection


class SqlTransaction:
    """All table groups over one connection, as a snapshot or a transaction."""

    __slots__ = ("_link", "_waiting", "actions", "growth", "tasks")

    def __init__(self, link: SqliteLink) -> None:
        self._link = link
        self._waiting = WaitingActions(link)
        self.growth = Growth()
        self.tasks = SqlTasks(link)
        """Tasks, templates, limits and runs."""
        self.actions = SqlActions(link, self._waiting)
        """Actions and what is known of acts."""

    @property
    def identities(self) -> SqlIdentities:
        """Persons and agents."""
        return SqlIdentities(self._link)

    @property
    def accounts(self) -> SqlAccounts:
        """People's accounts at issuers."""
        return SqlAccounts(self._link)

    @property
    def workloads(self) -> SqlWorkloads:
        """Agents' selectors, keys and issuers."""
        return SqlWorkloads(self._link)

    @property
    def services(self) -> SqlServices:
        """Enforcement points and downstream systems."""
        return SqlServices(self._link)

    @property
    def trusts(self) -> SqlTrusts:
        """Trust domains."""
        return SqlTrusts(self._link)

    @property
    def tools(self) -> SqlTools:
        """Servers and pinned tools."""
        return SqlTools(self._link)

    @property
    def authorizations(self) -> SqlAuthorizations:
        """OAuth clients."""
        return SqlAuthorizations(self._link)

    @property
    def amendments(self) -> SqlAmendments:
        """Amendments and their answers."""
        return SqlAmendments(self._link)

    @property
    def targets(self) -> SqlTargets:
        """Systems in which credentials are minted."""
        return SqlTargets(self._link)

    @property
    def credentials(self) -> SqlCredentials:
        """Credentials of tasks."""
        return SqlCredentials(self._link)

    @property
    def unclaimed(self) -> SqlUnclaimed:
        """Tasks that no connection has claimed yet."""
        return SqlUnclaimed(self._link)

    @property
    def answered(self) -> SqlAnswered:
        """Answers by idempotency key."""
        return SqlAnswered(self._link)

    @property
    def claims(self) -> SqlClaims:
        """Claims that serve once."""
        return SqlClaims(self._link)

    @property
    def shared_claims(self) -> SqlSharedClaims:
        """Claims kept for services."""
        return SqlSharedClaims(self._link)

    @property
    def tokens(self) -> SqlTokens:
        """Tokens and signing keys."""
        return SqlTokens(self._link)

    @property
    def approvals(self) -> SqlApprovals:
        """Approval questions and answers."""
        return SqlApprovals(self._link)

    @property
    def audit(self) -> SqlAudit:
        """The log."""
        return SqlAudit(self._link, self._waiting, self.growth)

    @property
    def policy(self) -> SqlPolicy:
        """Policy bundles."""
        return SqlPolicy(self._link)

    @property
    def revocation(self) -> SqlRevocation:
        """The kill switch."""
        return SqlRevocation(self._link)

    def finish(self) -> None:
        """Writes buffered actions; raises the first failure, also one that the work swallowed."""
        self._waiting.write()
        if self._link.failure is not None:
            raise self._link.failure
