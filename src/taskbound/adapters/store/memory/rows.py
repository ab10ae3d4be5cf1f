"""Rows in memory: what was committed, and over it what a transaction has changed.

1. What was committed is never changed while a snapshot may see it: a commit copies a
   table that it changes when a snapshot is open, and changes it in place when none is.
2. A transaction writes beside the committed rows; without a commit nothing of it stays.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.ports.store import ConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.approval.fatigue import ApprovalLimits, Display
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.decision import ActHistory, Presented
    from taskbound.core.identity import Agent, Group, Person
    from taskbound.core.identity.account import Account
    from taskbound.core.identity.agent_key import AgentKey
    from taskbound.core.identity.answered import Answered
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.person_key import Namespace, PersonKey
    from taskbound.core.identity.selector import Selector
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.core.identity.sign_in import Session, SignIn
    from taskbound.core.identity.trust import Trust
    from taskbound.core.policy import InForce
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.revocation.feed import Entry
    from taskbound.core.task import Heartbeat, Task, Template
    from taskbound.core.task.unclaimed import Unclaimed
    from taskbound.core.token import Claim, ClaimKind, IssuingKey, Token
    from taskbound.core.token.authorization.admission import Admission, Refresh
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.core.token.shared import SharedClaim, Tally
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import StoredApproval, StoredPlan
    from taskbound.ports.audit import PendingRecord, StoredCheckpoint
    from taskbound.ports.policy import BundleActivation, StoredBundle
    from taskbound.ports.target import StoredTarget
    from taskbound.ports.task import Run, StoredAmendment
    from taskbound.ports.token import RegisteredClient
    from taskbound.ports.tool import PinnedServer, PinnedTool, StoredSecret

__all__ = ["Rows", "Tables", "Writer"]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Where a writer's chain stands, and how much of it another record names."""

    seq: int
    hash: str
    at: Instant
    named: int = 0


class Rows(Generic[K, V]):
    """One table, in the order in which its rows were first written."""

    __slots__ = ("_changes", "_committed")

    def __init__(self, committed: dict[K, V] | None = None) -> None:
        """Look at these rows."""
        self._committed: dict[K, V] = {} if committed is None else committed
        self._changes: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        """The row of this key."""
        if key in self._changes:
            return self._changes[key]
        return self._committed.get(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Every key and row."""
        for key, value in self._committed.items():
            now = self._changes.get(key, value) if self._changes else value
            if now is not None:
                yield key, now
        for key, changed in self._changes.items():
            if changed is not None and key not in self._committed:
                yield key, changed

    def values(self) -> Iterator[V]:
        """Every row."""
        return (value for _, value in self.items())

    def count(self) -> int:
        """How many rows there are, of a table that none is taken from."""
        return len(self._committed) + sum(key not in self._committed for key in self._changes)

    def put(self, key: K, value: V | None) -> None:
        """Write the row of this key; None takes it away."""
        self._changes[key] = value

    def beside(self) -> Rows[K, V]:
        """The same rows, to be changed by a transaction (rule 2)."""
        return Rows(self._committed)

    def commit(self, changed: Rows[K, V], *, seen: bool) -> None:
        """Take over what a transaction has changed (rule 1).

        Args:
            changed: Made by `beside`.
            seen: Whether a snapshot may see the rows of now.
        """
        if not changed._changes:
            return
        rows = dict(self._committed) if seen else self._committed
        for key, value in changed._changes.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        self._committed = rows


@dataclass(slots=True, kw_only=True)
class Tables:
    """All that a store holds, and within a transaction what failed first."""

    persons: Rows[tuple[str, str], Person] = field(default_factory=Rows)
    person_keys: Rows[tuple[str, str], PersonKey] = field(default_factory=Rows)
    issuers: Rows[tuple[str, str], Issuer] = field(default_factory=Rows)
    selectors: Rows[tuple[str, str], Selector] = field(default_factory=Rows)
    agent_keys: Rows[tuple[str, str], AgentKey] = field(default_factory=Rows)
    services: Rows[tuple[str, str], Service] = field(default_factory=Rows)
    service_keys: Rows[tuple[str, str], ServiceKey] = field(default_factory=Rows)
    trusts: Rows[tuple[str, str], Trust] = field(default_factory=Rows)
    identity_issuers: Rows[tuple[str, str], IdentityIssuer] = field(default_factory=Rows)
    accounts: Rows[tuple[str, str, str], Account] = field(default_factory=Rows)
    sign_ins: Rows[tuple[str, str], SignIn] = field(default_factory=Rows)
    browser_sessions: Rows[tuple[str, str], Session] = field(default_factory=Rows)
    evidence: Rows[tuple[str, str], str] = field(default_factory=Rows)
    namespaces: Rows[str, Namespace] = field(default_factory=Rows)
    groups: Rows[tuple[str, str], Group] = field(default_factory=Rows)
    agents: Rows[tuple[str, str], Agent] = field(default_factory=Rows)
    tasks: Rows[tuple[str, str], Task] = field(default_factory=Rows)
    templates: Rows[tuple[str, str], Template] = field(default_factory=Rows)
    remainders: Rows[tuple[str, str], dict[str, int]] = field(default_factory=Rows)
    heartbeats: Rows[tuple[str, str], Heartbeat] = field(default_factory=Rows)
    unclaimed: Rows[tuple[str, str], Unclaimed] = field(default_factory=Rows)
    runs: Rows[tuple[str, str, int, int], Run] = field(default_factory=Rows)
    task_accounts: Rows[tuple[str, str, int], tuple[str, str, int]] = field(default_factory=Rows)
    asked: Rows[tuple[str, str], Asked] = field(default_factory=Rows)
    admissions: Rows[tuple[str, str], Admission] = field(default_factory=Rows)
    refreshes: Rows[tuple[str, str], Refresh] = field(default_factory=Rows)
    clients: Rows[tuple[str, str], RegisteredClient] = field(default_factory=Rows)
    answered: Rows[tuple[str, str, str], Answered] = field(default_factory=Rows)
    claims: Rows[tuple[str, ClaimKind, str], Claim] = field(default_factory=Rows)
    claims_forgotten: Rows[tuple[str, ClaimKind], Instant] = field(default_factory=Rows)
    shared_claims: Rows[tuple[str, str, str], SharedClaim] = field(default_factory=Rows)
    shared_tallies: Rows[tuple[str, str], Tally] = field(default_factory=Rows)
    tokens: Rows[tuple[str, str], Token] = field(default_factory=Rows)
    token_places: Rows[tuple[int, int], str] = field(default_factory=Rows)
    token_keys: Rows[str, IssuingKey] = field(default_factory=Rows)
    servers: Rows[tuple[str, str], PinnedServer] = field(default_factory=Rows)
    tools: Rows[tuple[str, str], PinnedTool] = field(default_factory=Rows)
    secrets: Rows[tuple[str, str, str], StoredSecret] = field(default_factory=Rows)
    tool_approvers: Rows[tuple[str, str], tuple[str, ...]] = field(default_factory=Rows)
    targets: Rows[tuple[str, str], StoredTarget] = field(default_factory=Rows)
    installation: Rows[int, str] = field(default_factory=Rows)
    epochs: Rows[tuple[int, Instant], bool] = field(default_factory=Rows)
    credentials: Rows[tuple[str, str], Credential] = field(default_factory=Rows)
    actions: Rows[tuple[str, str], StoredAction] = field(default_factory=Rows)
    priors: Rows[tuple[str, Presented], str] = field(default_factory=Rows)
    acts: Rows[tuple[str, str, str], ActHistory] = field(default_factory=Rows)
    approvals: Rows[tuple[str, str], StoredApproval] = field(default_factory=Rows)
    amendments: Rows[tuple[str, str], StoredAmendment] = field(default_factory=Rows)
    plans: Rows[tuple[str, str], StoredPlan] = field(default_factory=Rows)
    displays: Rows[tuple[str, str, str], Display] = field(default_factory=Rows)
    approval_limits: Rows[str, ApprovalLimits] = field(default_factory=Rows)
    bundles: Rows[tuple[str, str], StoredBundle] = field(default_factory=Rows)
    activations: Rows[tuple[str, int], BundleActivation] = field(default_factory=Rows)
    bundles_in_force: Rows[str, InForce] = field(default_factory=Rows)
    switches: Rows[str, KillSwitch] = field(default_factory=Rows)
    writers: Rows[str, Writer] = field(default_factory=Rows)
    records: Rows[int, PendingRecord] = field(default_factory=Rows)
    decided: Rows[tuple[str, str], int] = field(default_factory=Rows)
    places: Rows[int, int] = field(default_factory=Rows)
    tiles: Rows[tuple[int, int], bytes] = field(default_factory=Rows)
    revocations: Rows[int, Entry] = field(default_factory=Rows)
    checkpoints: Rows[int, StoredCheckpoint] = field(default_factory=Rows)
    failure: ConflictError | None = None
    ended: bool = False

    def beside(self) -> Tables:
        """The same tables, for a snapshot or a transaction."""
        copy = Tables()
        for name in _NAMES:
            setattr(copy, name, getattr(self, name).beside())
        return copy

    def commit(self, changed: Tables, *, seen: bool) -> None:
        """Take over what a transaction has changed."""
        for name in _NAMES:
            getattr(self, name).commit(getattr(changed, name), seen=seen)

    def conflict(self, what: str) -> NoReturn:
        """Refuse, and remember it, so that work which swallows it can't commit.

        Raises:
            ConflictError: Always.
        """
        error = ConflictError(f"{what} is not what it was when it was read")
        self.failure = self.failure or error
        raise error

    def live(self) -> Tables:
        """These tables, while their snapshot or transaction lasts.

        Raises:
            StoreUnavailableError: It has ended.
        """
        if self.ended:
            raise StoreUnavailableError("this snapshot or transaction has ended")
        return self


_NAMES = tuple(one.name for one in fields(Tables) if one.name not in {"failure", "ended"})
