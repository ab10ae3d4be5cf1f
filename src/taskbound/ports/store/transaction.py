"""All words of one transaction, to read under lock and to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.ports.action import ActionWrites
    from taskbound.ports.approval import ApprovalWrites
    from taskbound.ports.audit import AuditWrites
    from taskbound.ports.credential import CredentialWrites
    from taskbound.ports.identity import (
        AccountWrites,
        IdentityWrites,
        ServiceWrites,
        TrustWrites,
        WorkloadWrites,
    )
    from taskbound.ports.identity.answered import AnsweredWrites
    from taskbound.ports.policy import PolicyWriter
    from taskbound.ports.revocation import RevocationWrites
    from taskbound.ports.target import TargetWrites
    from taskbound.ports.task import AmendmentWrites, TaskWrites, UnclaimedWrites
    from taskbound.ports.token import (
        AuthorizationWrites,
        ClaimWrites,
        SharedClaimWrites,
        TokenWrites,
    )
    from taskbound.ports.tool import ToolWrites


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
