"""A SQLite connection in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.store.sql.action import SqlActions, WaitingActions
from taskbound.adapters.store.sql.approval import SqlApprovals
from taskbound.adapters.store.sql.audit import LogProgress, SqlAudit
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
from taskbound.adapters.store.sql.rows import Link, Part
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
        self._connection = None

    def rows(self, text: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        try:
            return self._live().execute(text, values).fetchall()
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change(self, text: str, values: Sequence[Value] = (), *, told: bool = False) -> int:
        if self.known is not None and not told:
            self.known.forget(text)
        try:
            return self._live().execute(text, values).rowcount
        except _UNKEPT as error:
            raise self._fail(translate(error)) from error

    def change_many(self, text: str, rows: Iterable[Sequence[Value]], *, told: bool = False) -> int:
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

    identities = Part(SqlIdentities)
    accounts = Part(SqlAccounts)
    workloads = Part(SqlWorkloads)
    services = Part(SqlServices)
    trusts = Part(SqlTrusts)
    tools = Part(SqlTools)
    authorizations = Part(SqlAuthorizations)
    amendments = Part(SqlAmendments)
    targets = Part(SqlTargets)
    credentials = Part(SqlCredentials)
    unclaimed = Part(SqlUnclaimed)
    answered = Part(SqlAnswered)
    claims = Part(SqlClaims)
    shared_claims = Part(SqlSharedClaims)
    tokens = Part(SqlTokens)
    approvals = Part(SqlApprovals)
    policy = Part(SqlPolicy)
    revocation = Part(SqlRevocation)

    def __init__(self, link: SqliteLink) -> None:
        self._link = link
        self._waiting = WaitingActions(link)
        self.growth = LogProgress()
        self.tasks = SqlTasks(link)
        """Tasks, templates, limits and runs."""
        self.actions = SqlActions(link, self._waiting)
        """Actions and what is known of acts."""

    @property
    def audit(self) -> SqlAudit:
        return SqlAudit(self._link, self._waiting, self.growth)

    def finish(self) -> None:
        """Writes buffered actions; raises the first failure, also one that the work swallowed."""
        self._waiting.write()
        if self._link.failure is not None:
            raise self._link.failure
