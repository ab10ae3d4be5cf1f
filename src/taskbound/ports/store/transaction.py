"""All words of one state of the store, to read, and of one transaction, to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.ports.action import ActionReads, ActionWrites
    from taskbound.ports.approval import ApprovalReads, ApprovalWrites
    from taskbound.ports.audit import AuditReads, AuditWrites
    from taskbound.ports.identity import IdentityReads, IdentityWrites, WorkloadReads, WorkloadWrites
    from taskbound.ports.policy import PolicyReader, PolicyWriter
    from taskbound.ports.revocation import RevocationReads, RevocationWrites
    from taskbound.ports.task import (
        AmendmentReads,
        AmendmentWrites,
        BearerReads,
        BearerWrites,
        TaskReads,
        TaskWrites,
    )
    from taskbound.ports.token import (
        AuthorizationReads,
        AuthorizationWrites,
        ClaimWrites,
        TokenReads,
        TokenWrites,
    )
    from taskbound.ports.tool import ToolReads, ToolWrites

__all__ = ["Snapshot", "Transaction"]


class Snapshot(Protocol):
    """One state of the store, to read."""

    @property
    def identities(self) -> IdentityReads:
        """Persons and agents."""

    @property
    def workloads(self) -> WorkloadReads:
        """What proves agents."""

    @property
    def authorizations(self) -> AuthorizationReads:
        """Clients that people use."""

    @property
    def tasks(self) -> TaskReads:
        """Tasks, templates, limits and runs."""

    @property
    def tools(self) -> ToolReads:
        """Servers and pinned tools."""

    @property
    def actions(self) -> ActionReads:
        """Actions and what is known of acts."""

    @property
    def amendments(self) -> AmendmentReads:
        """Amendments that people are asked about, and their answers."""

    @property
    def bearers(self) -> BearerReads:
        """Bearers of tasks."""

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


class Transaction(Protocol):
    """One transaction: the same words, to read under lock and to write."""

    @property
    def identities(self) -> IdentityWrites:
        """Persons and agents."""

    @property
    def workloads(self) -> WorkloadWrites:
        """What proves agents."""

    @property
    def authorizations(self) -> AuthorizationWrites:
        """Clients that people use."""

    @property
    def tasks(self) -> TaskWrites:
        """Tasks, templates, limits and runs."""

    @property
    def tools(self) -> ToolWrites:
        """Servers and pinned tools."""

    @property
    def actions(self) -> ActionWrites:
        """Actions and what is known of acts."""

    @property
    def amendments(self) -> AmendmentWrites:
        """Amendments that people are asked about, and their answers."""

    @property
    def bearers(self) -> BearerWrites:
        """Bearers of tasks."""

    @property
    def claims(self) -> ClaimWrites:
        """What was used once."""

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
