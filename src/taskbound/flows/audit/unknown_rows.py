"""Comparing unknown outcomes with the log: an action stays unknown until a record says who found out what.

It is followed like the keys of people beside the other rows; what is kept is what nobody has reconciled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.audit import ActionOutcome
from taskbound.core.audit.events import ActionReconciled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.ports.store import Snapshot


_UNKNOWN: Final = ActionState.UNKNOWN.value


class UnknownLedger:
    """What the log says so far of outcomes that are, or were, unknown."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Compare with this."""
        self._snapshot = snapshot
        self._states: dict[tuple[str, str], str] = {}
        self._words: list[str] = []

    def take(self, record: Record) -> None:
        """Follow one record."""
        match record.event:
            case ActionOutcome(action=action, after="unknown"):
                self._states[record.namespace, action] = _UNKNOWN
            case ActionReconciled(action=action, after=after):
                self._states.pop((record.namespace, action), None)
                self._compare(record.namespace, action, after)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        """Where the rows differ, once all was followed."""
        for space, action in self._states:
            self._compare(space, action, _UNKNOWN)
        yield from self._words

    def _compare(self, space: str, action: str, told: str) -> None:
        row = self._snapshot.actions.action(space, action)
        if row is not None and row.state.value != told:
            self._words.append(f"action {action} is `{row.state.value}`, and its record says `{told}`")
