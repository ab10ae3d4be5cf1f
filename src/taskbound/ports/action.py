"""Stored actions, outcomes, and acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action import ActionState, PriorAction
    from taskbound.core.clock import Instant
    from taskbound.core.decision import ActHistory, Presentation

    ActKey = tuple[str, str]  # (root, act key)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAction:
    """An action with its answer; a reason is (code, text, detail)."""

    namespace: str
    id: str
    task: str
    """Empty when no task could be named."""
    root: str
    agent: str
    tool: str
    server: str
    definition: str
    digest: str
    act_key: str
    arguments: bytes
    state: ActionState
    decision: str
    """`permit`, `hold` or `refuse`."""
    code: str
    reasons: tuple[tuple[str, str, str], ...]
    grant: str
    charges: tuple[tuple[str, int], ...]
    """(limit, amount): given back when the action was not sent."""
    policies: tuple[str, ...]
    bundle: str
    scope: str
    flags: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    attempt: int
    connection: str
    request: str
    key: str
    at: Instant
    until: Instant
    instead: str = ""
    finished: Instant | None = None
    answer: bytes | None = None
    """The exact bytes of the released result; None without one, or if it was too large to keep."""
    answer_digest: str = ""
    released: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPermit:
    """The part of a permitted action that an outcome needs."""

    id: str
    task: str
    root: str
    act_key: str
    state: ActionState
    connection: str
    charges: tuple[tuple[str, int], ...]
    scope: str
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeChange:
    """The change of an action by an outcome."""

    id: str
    before: ActionState
    after: ActionState
    finished: Instant
    answer: bytes | None
    answer_digest: str
    released: bool
    note: str


class ActionReads(Protocol):
    """Reads actions, per namespace."""

    def action(self, namespace: str, action: str) -> StoredAction | None:
        pass

    def actions(
        self, namespace: str, *, task: str = "", decision: str = "", limit: int = 50, before: str = ""
    ) -> tuple[StoredAction, ...]:
        """Returns actions, newest first; empty filters match all; `before` is the previous page's last id."""

    def act(self, namespace: str, root: str, act_key: str) -> ActHistory:
        """Returns the act's history in the tree, a fresh one if unknown."""

    def acts(self, namespace: str, *, limit: int, after: ActKey = ("", "")) -> tuple[ActKey, ...]:
        """Returns keys of known acts in order; `after` is the previous page's last."""

    def count(self, namespace: str, task: str) -> int:
        pass

    def open_permits(self, namespace: str, *, connection: str = "", task: str = "") -> tuple[OpenPermit, ...]:
        """Returns permits without outcome, by connection, task, or all. MUST use an index."""

    def unknowns(self, namespace: str, root: str, act_key: str) -> tuple[str, ...]:
        """Returns actions of this act with unknown outcome, by id. MUST use an index."""

    def has_unknown(self, namespace: str) -> bool:
        """Whether any outcome is unknown. MUST use an index."""

    def namespaces(self) -> tuple[str, ...]:
        """Returns every namespace with an action, in order."""


class ActionWrites(ActionReads, Protocol):
    """Writes actions in batches."""

    def lock_priors(
        self, namespace: str, names: Collection[Presentation]
    ) -> Mapping[Presentation, PriorAction]:
        """Returns permitted actions by presentation; refused ones are no priors."""

    def lock_acts(self, namespace: str, keys: Collection[ActKey]) -> Mapping[ActKey, ActHistory]:
        """Locks and returns the known acts among these."""

    def lock_permits(self, namespace: str, actions: Collection[str]) -> Mapping[str, OpenPermit]:
        """Locks and returns existing actions by id, in any state."""

    def insert_actions(self, actions: Sequence[StoredAction]) -> None:
        """Inserts; an existing id, or presentation with a permit, MUST raise `ConflictError` by the end."""

    def put_acts(self, namespace: str, acts: Mapping[ActKey, ActHistory]) -> None:
        pass

    def set_outcomes(self, namespace: str, changes: Sequence[OutcomeChange]) -> None:
        """Writes outcomes. MUST raise `ConflictError` if an action is not in its `before` state."""

    def lift_actions(self, actions: Sequence[StoredAction]) -> None:
        """MUST raise `ConflictError` at the end for an action not held or a presentation with a permit."""
