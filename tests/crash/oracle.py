"""What must hold of a store after a kill, given what was acknowledged before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.action import ActionState
from taskbound.core.audit import (
    ActionDecided,
    ActionOutcome,
    TaskChanged,
    grow,
    leaf_hash,
    parse_record,
    restore_frontier,
)
from taskbound.core.audit.merkle import EMPTY_FRONTIER
from tests.contracts.store.rows import SPACE
from tests.core.audit.logs import verify_chain
from tests.crash.worker import LIMIT, RESERVE, USES

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot

_EVERYTHING = 10_000_000


@dataclass(slots=True, kw_only=True)
class Acknowledged:
    """All that any process was told is durable, over every kill of one database."""

    writers: list[str] = field(default_factory=list)
    decisions: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    placed: int = 0
    version: int = 0
    count: int = 0

    def take(self, line: bytes) -> None:
        """Remember one acknowledged write."""
        word, _, rest = line.decode().partition(" ")
        self.count += 1
        match word:
            case "opened":
                self.writers.append(rest)
            case "decided":
                self.decisions.update(_pairs(rest))
            case "reported":
                self.outcomes.update(_pairs(rest))
            case "placed":
                self.placed = int(rest)
            case "moved":
                self.version = int(rest)
            case _:
                raise ValueError(word)


def _pairs(text: str) -> dict[str, str]:
    return dict(one.split("=", 1) for one in text.split())


def require_whole(path: Path, told: Acknowledged) -> None:
    """Open the database as a daemon does, and look at everything."""
    store = SqlStore(path, reserve=RESERVE)
    try:
        assert store.reserve_state() == "whole"
        with store.read() as seen:
            _require_log(seen, told)
            _require_actions(seen, told)
    finally:
        store.close()


def _require_log(seen: Snapshot, told: Acknowledged) -> None:
    """Nothing acknowledged is missing, every chain is whole, and the tree is the tree of the records."""
    size = seen.audit.size()
    placed = seen.audit.records(0, _EVERYTHING)
    pending = [one.body for one in seen.audit.pending(_EVERYTHING)]
    assert len(placed) == size
    assert size >= told.placed
    assert size + len(pending) == seen.audit.count()
    if not placed and not pending:
        assert not told.count
        return
    chains = verify_chain([*placed, *pending])
    assert {one.writer for one in chains.heads} >= set(told.writers)
    grown = grow(EMPTY_FRONTIER, [leaf_hash(one) for one in placed])
    assert restore_frontier(size, seen.audit.tile) == grown.frontier


def _require_actions(seen: Snapshot, told: Acknowledged) -> None:
    """Each action has its record and each record its action; what is left is what was not taken."""
    actions = {one.id: one for one in seen.actions.actions(SPACE, limit=_EVERYTHING)}
    bodies = [*seen.audit.records(0, _EVERYTHING), *(one.body for one in seen.audit.pending(_EVERYTHING))]
    events = [parse_record(one).event for one in bodies]
    decided = Counter(one.action for one in events if isinstance(one, ActionDecided))
    ended = Counter(one.action for one in events if isinstance(one, ActionOutcome))
    moved = sum(isinstance(one, TaskChanged) for one in events)
    assert decided == Counter(actions.keys())
    assert ended == Counter(one.id for one in actions.values() if one.finished is not None)
    assert {name: actions[name].decision for name in told.decisions} == told.decisions
    assert {name: actions[name].state.value for name in told.outcomes} == told.outcomes
    task = seen.tasks.task(SPACE, "tsk_1")
    assert (task is None) is (not actions and not moved and not told.writers and seen.audit.count() == 0)
    if task is None:
        return
    assert task.version == moved + 1
    assert task.version >= told.version
    taken = sum(_takes(one) for one in actions.values())
    left = seen.tasks.remainders(SPACE, "tsk_1")[USES]
    assert left == LIMIT - taken
    assert left >= 0
    for position, record in enumerate(seen.audit.records(0, _EVERYTHING)):
        event = parse_record(record).event
        if isinstance(event, ActionDecided):
            assert seen.audit.place(SPACE, event.action) == position


def _takes(action: StoredAction) -> bool:
    return action.decision == "permit" and action.state is not ActionState.NOT_SENT
