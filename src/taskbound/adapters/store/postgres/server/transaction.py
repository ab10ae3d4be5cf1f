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
    PostgresTools,
)
from taskbound.adapters.store.postgres.task import PostgresAmendments, PostgresApprovals, PostgresTasks
from taskbound.adapters.store.postgres.token import (
    PostgresAuthorizations,
    PostgresClaims,
    PostgresTokens,
)
from taskbound.adapters.store.sql.identity import (
    SqlAccounts,
    SqlAnswered,
    SqlTrusts,
    SqlWorkloads,
)
from taskbound.adapters.store.sql.rows import Part
from taskbound.adapters.store.sql.task import SqlUnclaimed
from taskbound.adapters.store.sql.token import SqlSharedClaims
from taskbound.adapters.store.sql.tool import SqlTargets

if TYPE_CHECKING:
    from taskbound.adapters.store.postgres.audit import Chains
    from taskbound.adapters.store.postgres.server.link import PostgresLink


_WHO: Final = "SELECT pg_current_xact_id_if_assigned()::text"


class PostgresTransaction:
    """All table groups over one connection, as a snapshot or a transaction."""

    __slots__ = ("_link", "_waiting", "chains")

    identities = Part(PostgresIdentities)
    accounts = Part(SqlAccounts)
    workloads = Part(SqlWorkloads)
    services = Part(PostgresServices)
    trusts = Part(SqlTrusts)
    tasks = Part(PostgresTasks)
    tools = Part(PostgresTools)
    authorizations = Part(PostgresAuthorizations)
    targets = Part(SqlTargets)
    credentials = Part(PostgresCredentials)
    unclaimed = Part(SqlUnclaimed)
    amendments = Part(PostgresAmendments)
    answered = Part(SqlAnswered)
    claims = Part(PostgresClaims)
    shared_claims = Part(SqlSharedClaims)
    tokens = Part(PostgresTokens)
    approvals = Part(PostgresApprovals)
    policy = Part(PostgresPolicy)
    revocation = Part(PostgresRevocation)

    def __init__(self, link: PostgresLink, chains: Chains) -> None:
        self._link = link
        self._waiting = PostgresWaiting(link)
        self.chains = chains

    @property
    def actions(self) -> PostgresActions:
        return PostgresActions(self._link, self._waiting)

    @property
    def audit(self) -> PostgresAudit:
        return PostgresAudit(self._link, self._waiting, self.chains)

    def finish(self) -> str:
        """Sends queued writes; returns the transaction id, '' without a write. Raises the first failure."""
        self._waiting.write()
        (found,) = self._link.locked(_text, _WHO)
        self._link.finish()
        return found


def _text(found: str | None) -> str:
    return found or ""
