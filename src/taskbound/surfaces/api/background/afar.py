"""Agents over a network that hold permits or questions and may have gone away.

1. An action of such an agent is in doubt once its permit has expired, and unknown once its outcome is overdue
   (`flows.decision.doubts`). Every daemon looks for them, whichever daemon permitted the action.
2. A question is withdrawn if its agent has not come back for it in time.
3. A task with too many open permits gets no more decisions over the network until the next look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.decision.hold import MOST_OPEN, TooManyOpenError
from taskbound.flows.decision import overdue

if TYPE_CHECKING:
    from taskbound.flows.decision import Doubts
    from taskbound.flows.decision.retries import Holder, Overdue
    from taskbound.flows.means import Means


class Afar:
    """What one daemon has found about them; used in the loop, except for methods that read the store."""

    def __init__(self, means: Means, doubts: Doubts) -> None:
        self._means = means
        self._doubts = doubts
        self._doubted: frozenset[Holder] = frozenset()
        self._crowded: frozenset[tuple[str, str]] = frozenset()

    def find(self) -> Overdue:
        """Returns the holders in doubt and those to give up; may run in any thread."""
        with self._means.store.read() as snapshot:
            return overdue(snapshot, self._means.clock.now())

    def require_room(self, namespace: str, task: str) -> None:
        """Raises TooManyOpenError if too many permits of the task have no outcome (rule 3)."""
        if (namespace, task) in self._crowded:
            raise TooManyOpenError(f"{MOST_OPEN} actions of the task, or more, have no outcome yet")

    def see(self, found: Overdue) -> frozenset[Holder]:
        """Marks the holders in doubt (rule 1) and returns those to give up."""
        doubted, over, self._crowded = found
        self._doubts.settle(*(self._doubted - doubted))
        self._doubts.lose(*(doubted - self._doubted))
        self._doubted = doubted
        return over
