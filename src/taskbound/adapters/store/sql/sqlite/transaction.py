"""All words over one connection to SQLite: a snapshot of them, or a transaction."""

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
from taskbound.adapters.store.sql.policy import SqlPolicy
from taskbound.adapters.store.sql.revocation import SqlRevocation
from taskbound.adapters.store.sql.target import SqlTargets
from taskbound.adapters.store.sql.task import SqlAmendments, SqlTasks, SqlUnclaimed
from taskbound.adapters.store.sql.token import SqlAuthorizations, SqlClaims, SqlSharedClaims, SqlTokens
from taskbound.adapters.store.sql.tool import SqlTools

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.sqlite.link import SqliteLink


class SqlTransaction:
    """All words over one connection: a snapshot of them, or a transaction."""

    __slots__ = ("_link", "_waiting", "actions", "growth", "tasks")

    def __init__(self, link: SqliteLink) -> None:
        """Go through this link."""
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
        """What proves agents."""
        return SqlWorkloads(self._link)

    @property
    def services(self) -> SqlServices:
        """Enforcement points and systems downstream."""
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
        """Clients that people use."""
        return SqlAuthorizations(self._link)

    @property
    def amendments(self) -> SqlAmendments:
        """Amendments that people are asked about, and their answers."""
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
        """Tasks that nobody has anything of yet."""
        return SqlUnclaimed(self._link)

    @property
    def answered(self) -> SqlAnswered:
        """What was answered under a key."""
        return SqlAnswered(self._link)

    @property
    def claims(self) -> SqlClaims:
        """What was used once."""
        return SqlClaims(self._link)

    @property
    def shared_claims(self) -> SqlSharedClaims:
        """Claims that are kept for services."""
        return SqlSharedClaims(self._link)

    @property
    def tokens(self) -> SqlTokens:
        """Tokens and the keys that sign them."""
        return SqlTokens(self._link)

    @property
    def approvals(self) -> SqlApprovals:
        """Questions about held actions, and their answers."""
        return SqlApprovals(self._link)

    @property
    def audit(self) -> SqlAudit:
        """The log."""
        return SqlAudit(self._link, self._waiting, self.growth)

    @property
    def policy(self) -> SqlPolicy:
        """Bundles, and which is in force."""
        return SqlPolicy(self._link)

    @property
    def revocation(self) -> SqlRevocation:
        """The kill switch."""
        return SqlRevocation(self._link)

    def finish(self) -> None:
        """Write what is waiting, and go on only when nothing failed that the work kept to itself.

        Raises:
            TaskboundError: What failed first.
        """
        self._waiting.write()
        if self._link.failure is not None:
            raise self._link.failure
