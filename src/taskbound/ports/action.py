"""Actions, their outcomes, and what is known of acts in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.action import ActionState, PriorAction
    from taskbound.core.clock import Instant
    from taskbound.core.decision import ActHistory, Presented

    ActKey = tuple[str, str]  # (root, act key)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAction:
    """One action with its answer, as it is kept; a reason is (code, text, detail)."""

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
    """The exact bytes of the released result; None when there is none, or it was too large to keep."""
    answer_digest: str = ""
    released: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPermit:
    """What of a permitted action an outcome needs."""

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
    """What an outcome changes of an action."""

    id: str
    before: ActionState
    after: ActionState
    finished: Instant
    answer: bytes | None
    answer_digest: str
    released: bool
    note: str


class ActionReads(Protocol):
    """Reads actions of one namespace at a time."""

    def action(self, namespace: str, action: str) -> StoredAction | None:
        """The action of this id."""

    def actions(
        self, namespace: str, *, task: str = "", decision: str = "", limit: int = 50, before: str = ""
    ) -> tuple[StoredAction, ...]:
        """Actions, newest first; empty filters take all; `before` is the last id of the page before."""

    def act(self, namespace: str, root: str, act_key: str) -> ActHistory:
        """What is known of the act in the tree; a fresh history when nothing is."""

    def acts(self, namespace: str, *, limit: int, after: ActKey = ("", "")) -> tuple[ActKey, ...]:
        """The keys of all acts that are known, in order; `after` is the last one of the page before."""

    def count(self, namespace: str, task: str) -> int:
        """How many actions the task asked for."""

    def open_permits(self, namespace: str, *, connection: str = "", task: str = "") -> tuple[OpenPermit, ...]:
        """What was permitted and has no outcome: of a connection, of a task, or all. Answered by an index."""

    def unknowns(self, namespace: str, root: str, act_key: str) -> tuple[str, ...]:
        """Ids of the actions of this act whose outcome is unknown, in order. Answered by an index."""

    def has_unknown(self, namespace: str) -> bool:
        """Whether any action's outcome is unknown there. Answered by an index."""

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an action, in order."""


class ActionWrites(ActionReads, Protocol):
    """Writes them, many at a time."""

    def lock_priors(self, namespace: str, names: Collection[Presented]) -> Mapping[Presented, PriorAction]:
        """The permitted actions that were presented under these names; refused ones are no priors."""

    def lock_acts(self, namespace: str, keys: Collection[ActKey]) -> Mapping[ActKey, ActHistory]:
        """What is known of those that are known."""

    def lock_permits(self, namespace: str, actions: Collection[str]) -> Mapping[str, OpenPermit]:
        """By id: those of these actions that exist, whatever their state, locked against change."""

    def insert_actions(self, actions: Sequence[StoredAction]) -> None:
        """Write new ones: a known id, a presentation with a permit MUST raise `ConflictError` by the end."""

    def put_acts(self, namespace: str, acts: Mapping[ActKey, ActHistory]) -> None:
        """Write what is known of acts, whole."""

    def set_outcomes(self, namespace: str, changes: Sequence[OutcomeChange]) -> None:
        """Write outcomes. MUST raise `ConflictError` when an action is not in its `before` state."""

    def lift_actions(self, actions: Sequence[StoredAction]) -> None:
        """Write held actions over as they are permitted now; the record appended next is their decision's.

        By the transaction's end one not held, or a presentation with a permit, MUST raise `ConflictError`.
        """
