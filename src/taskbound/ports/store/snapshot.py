"""All words of one state of the store, to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.ports.action import ActionReads
    from taskbound.ports.approval import ApprovalReads
    from taskbound.ports.audit import AuditReads
    from taskbound.ports.credential import CredentialReads
    from taskbound.ports.identity import (
        AccountReads,
        IdentityReads,
        ServiceReads,
        TrustReads,
        WorkloadReads,
    )
    from taskbound.ports.policy import PolicyReader
    from taskbound.ports.revocation import RevocationReads
    from taskbound.ports.target import TargetReads
    from taskbound.ports.task import AmendmentReads, TaskReads, UnclaimedReads
    from taskbound.ports.token import AuthorizationReads, SharedClaimReads, TokenReads
    from taskbound.ports.tool import ToolReads


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
