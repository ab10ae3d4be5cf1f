"""The PostgreSQL store's snapshot and transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.action import PostgresActions, PostgresWaiting
from taskbound.adapters.store.postgres.audit import PostgresAudit
from taskbound.adapters.store.postgres.rows import (
    PostgresCredentials,
    PostgresIdentities,
    PostgresPolicy,
    PostgresRevocation,
    PostgresServices,
    PostgresTargets,
    PostgresTools,
)
from taskbound.adapters.store.postgres.task import PostgresAmendments, PostgresApprovals, PostgresTasks
from taskbound.adapters.store.postgres.token import (
    PostgresAuthorizations,
    PostgresClaims,
    PostgresSharedClaims,
    PostgresTokens,
)
from taskbound.adapters.store.sql.identity import (
    SqlAccounts,
    SqlAnswered,
    SqlTrusts,
    SqlWorkloads,
)
from taskbound.adapters.store.sql.task import SqlUnclaimed

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.audit import Chains
    from taskbound.adapters.store.postgres.server.link import PostgresLink


_WHO: Final = "SELECT pg_current_xact_id_if_assigned()::text"


class PostgresTransaction:
    """All table groups over one connection, as a snapshot or a transaction."""

    __slots__ = ("_link", "_waiting", "chains")

    def __init__(self, link: PostgresLink, chains: Chains) -> None:
        self._link = link
        self._waiting = PostgresWaiting(link)
        self.chains = chains

    @property
    def identities(self) -> PostgresIdentities:
        """Persons and agents."""
        return PostgresIdentities(self._link)

    @property
    def accounts(self) -> SqlAccounts:
        """People's accounts at issuers."""
        return SqlAccounts(self._link)

    @property
    def workloads(self) -> SqlWorkloads:
        """Agents' selectors, keys and issuers."""
        return SqlWorkloads(self._link)

    @property
    def services(self) -> PostgresServices:
        """Enforcement points and downstream systems."""
        return PostgresServices(self._link)

    @property
    def trusts(self) -> SqlTrusts:
        """Trust domains."""
        return SqlTrusts(self._link)

    @property
    def tasks(self) -> PostgresTasks:
        """Tasks, templates, limits and runs."""
        return PostgresTasks(self._link)

    @property
    def tools(self) -> PostgresTools:
        """Servers and pinned tools."""
        return PostgresTools(self._link)

    @property
    def actions(self) -> PostgresActions:
        """Actions and act histories."""
        return PostgresActions(self._link, self._waiting)

    @property
    def authorizations(self) -> PostgresAuthorizations:
        """OAuth clients."""
        return PostgresAuthorizations(self._link)

    @property
    def targets(self) -> PostgresTargets:
        """Systems in which credentials are minted."""
        return PostgresTargets(self._link)

    @property
    def credentials(self) -> PostgresCredentials:
        """Credentials of tasks."""
        return PostgresCredentials(self._link)

    @property
    def unclaimed(self) -> SqlUnclaimed:
        """Tasks that no connection has claimed yet."""
        return SqlUnclaimed(self._link)

    @property
    def amendments(self) -> PostgresAmendments:
        """Amendments and their answers."""
        return PostgresAmendments(self._link)

    @property
    def answered(self) -> SqlAnswered:
        """Answers by idempotency key."""
        return SqlAnswered(self._link)

    @property
    def claims(self) -> PostgresClaims:
        """Claims that serve once."""
        return PostgresClaims(self._link)

    @property
    def shared_claims(self) -> PostgresSharedClaims:
        """Claims kept for services."""
        return PostgresSharedClaims(self._link)

    @property
    def tokens(self) -> PostgresTokens:
        """Tokens and signing keys."""
        return PostgresTokens(self._link)

    @property
    def approvals(self) -> PostgresApprovals:
        """Approval questions and answers."""
        return PostgresApprovals(self._link)

    @property
    def audit(self) -> PostgresAudit:
        """The log."""
        return PostgresAudit(self._link, self._waiting, self.chains)

    @property
    def policy(self) -> PostgresPolicy:
        """Policy bundles."""
        return PostgresPolicy(self._link)

    @property
    def revocation(self) -> PostgresRevocation:
        """The kill switch."""
        return PostgresRevocation(self._link)

    def finish(self) -> str:
        """Sends queued writes; returns the transaction id, '' without a write. Raises the first failure."""
        self._waiting.write()
        (found,) = self._link.locked(_text, _WHO)
        self._link.finish()
        return found


def _text(found: str | None) -> str:
    return found or ""
