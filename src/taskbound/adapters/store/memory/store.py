"""The store in memory: transactions one at a time, snapshots that stay as they were."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from taskbound.adapters.store.memory.action import MemoryActions
from taskbound.adapters.store.memory.approval import MemoryApprovals
from taskbound.adapters.store.memory.audit import MemoryAudit
from taskbound.adapters.store.memory.credential import MemoryCredentials
from taskbound.adapters.store.memory.identity import (
    MemoryAccounts,
    MemoryAnswered,
    MemoryIdentities,
    MemoryServices,
    MemoryTrusts,
    MemoryWorkloads,
)
from taskbound.adapters.store.memory.policy import MemoryPolicy
from taskbound.adapters.store.memory.revocation import MemoryRevocation
from taskbound.adapters.store.memory.rows import Tables
from taskbound.adapters.store.memory.target import MemoryTargets
from taskbound.adapters.store.memory.task import MemoryAmendments, MemoryTasks, MemoryUnclaimed
from taskbound.adapters.store.memory.token import (
    MemoryAuthorizations,
    MemoryClaims,
    MemorySharedClaims,
    MemoryTokens,
)
from taskbound.adapters.store.memory.tool import MemoryTools
from taskbound.core.clock import Instant
from taskbound.ports.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from taskbound.ports.store import Snapshot, Transaction

__all__ = ["MemoryStore", "MemoryTransaction"]

T = TypeVar("T")


class MemoryTransaction:
    """All words over one set of tables: a snapshot of them, or a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    @property
    def identities(self) -> MemoryIdentities:
        """Persons and agents."""
        return MemoryIdentities(self._tables)

    @property
    def accounts(self) -> MemoryAccounts:
        """People's accounts at issuers."""
        return MemoryAccounts(self._tables)

    @property
    def workloads(self) -> MemoryWorkloads:
        """What proves agents."""
        return MemoryWorkloads(self._tables)

    @property
    def authorizations(self) -> MemoryAuthorizations:
        """Clients that people use."""
        return MemoryAuthorizations(self._tables)

    @property
    def services(self) -> MemoryServices:
        """Enforcement points and systems downstream."""
        return MemoryServices(self._tables)

    @property
    def trusts(self) -> MemoryTrusts:
        """Trust domains."""
        return MemoryTrusts(self._tables)

    @property
    def tasks(self) -> MemoryTasks:
        """Tasks, templates, limits and runs."""
        return MemoryTasks(self._tables)

    @property
    def tools(self) -> MemoryTools:
        """Servers and pinned tools."""
        return MemoryTools(self._tables)

    @property
    def actions(self) -> MemoryActions:
        """Actions and what is known of acts."""
        return MemoryActions(self._tables)

    @property
    def targets(self) -> MemoryTargets:
        """Systems in which credentials are minted."""
        return MemoryTargets(self._tables)

    @property
    def credentials(self) -> MemoryCredentials:
        """Credentials of tasks."""
        return MemoryCredentials(self._tables)

    @property
    def unclaimed(self) -> MemoryUnclaimed:
        """Tasks that nobody has anything of yet."""
        return MemoryUnclaimed(self._tables)

    @property
    def amendments(self) -> MemoryAmendments:
        """Amendments that people are asked about, and their answers."""
        return MemoryAmendments(self._tables)

    @property
    def answered(self) -> MemoryAnswered:
        """What was answered under a key."""
        return MemoryAnswered(self._tables)

    @property
    def claims(self) -> MemoryClaims:
        """What was used once."""
        return MemoryClaims(self._tables)

    @property
    def shared_claims(self) -> MemorySharedClaims:
        """Claims that are kept for services."""
        return MemorySharedClaims(self._tables)

    @property
    def tokens(self) -> MemoryTokens:
        """Tokens and the keys that sign them."""
        return MemoryTokens(self._tables)

    @property
    def approvals(self) -> MemoryApprovals:
        """Questions about held actions, and their answers."""
        return MemoryApprovals(self._tables)

    @property
    def audit(self) -> MemoryAudit:
        """The log."""
        return MemoryAudit(self._tables)

    @property
    def policy(self) -> MemoryPolicy:
        """Bundles, and which is in force."""
        return MemoryPolicy(self._tables)

    @property
    def revocation(self) -> MemoryRevocation:
        """The kill switch."""
        return MemoryRevocation(self._tables)


class MemoryStore:
    """A store that lasts as long as the process. Safe from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._tables = Tables()
        self._lock = threading.Lock()
        self._guard = threading.Lock()
        self._owner: int | None = None
        self._open = 0
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """A snapshot, for the length of the context."""
        with self._guard:
            self._require_open()
            tables = self._tables.beside()
            self._open += 1
        try:
            yield MemoryTransaction(tables)
        finally:
            tables.ended = True
            with self._guard:
                self._open -= 1

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:  # noqa: ARG002  # no disk
        """What the work returns, once it is kept."""
        if self._owner == threading.get_ident():
            raise StoreUnavailableError("a transaction can't be begun within another")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._write(work)
            finally:
                self._owner = None

    def last_instant(self) -> Instant:
        """The latest instant that any record holds, 0 in an empty store."""
        with self._guard:
            self._require_open()
            return max((one.at for one in self._tables.writers.values()), default=Instant(0))

    def leads(self) -> bool:
        """Always: no other process writes here."""
        return True

    def attend(self, name: str) -> None:
        """Nothing: nobody else could ask."""

    def agree(self, what: str) -> None:
        """Nothing: there is nobody to differ from."""

    def others(self, names: Collection[str]) -> frozenset[str]:  # noqa: ARG002 - whatever they are
        """Nobody: no other process is here."""
        return frozenset()

    def describe(self) -> str:
        """Kind and place, in words."""
        return "in memory, gone with the process"

    def reserve_state(self) -> str:
        """`whole`: there is no disk that could be full."""
        return "whole"

    def close(self) -> None:
        """Let go of everything; the store can't be used afterwards."""
        with self._lock, self._guard:
            self._closed = True

    def _write(self, work: Callable[[Transaction], T]) -> T:
        with self._guard:
            self._require_open()
            tables = self._tables.beside()
        try:
            answer = work(MemoryTransaction(tables))
        finally:
            tables.ended = True
        if tables.failure is not None:
            raise tables.failure
        with self._guard:
            self._tables.commit(tables, seen=self._open > 0)
        return answer

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
