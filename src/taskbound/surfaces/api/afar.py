"""Agents that were permitted something over a network, and of whom nobody knows whether they are still there.

1. What a permit of theirs was for is in doubt once the permit has ended, and given up once its outcome is
   overdue (`flows.decision.doubts`). Whichever daemon permitted it, each one looks.
2. A question of theirs is left when they have not come back for it in time.
3. A task of which they hold too many permits gets no more decisions afar until the next look.
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
    """What one daemon has seen of them; used in the loop, but for what asks the store."""

    def __init__(self, means: Means, doubts: Doubts) -> None:
        """Have seen nobody."""
        self._means = means
        self._doubts = doubts
        self._doubted: frozenset[Holder] = frozenset()
        self._crowded: frozenset[tuple[str, str]] = frozenset()

    def find(self) -> Overdue:
        """Who is in doubt, and who is to be given up; from any thread."""
        with self._means.store.read() as snapshot:
            return overdue(snapshot, self._means.clock.now())

    def require_room(self, namespace: str, task: str) -> None:
        """Go on only for a task of which few permits are without an outcome (rule 3).

        Raises:
            TooManyOpenError: They are too many.
        """
        if (namespace, task) in self._crowded:
            raise TooManyOpenError(f"{MOST_OPEN} actions of the task, or more, have no outcome yet")

    def see(self, found: Overdue) -> frozenset[Holder]:
        """Doubt whom that says (rule 1); who is to be given up."""
        doubted, over, self._crowded = found
        self._doubts.settle(*(self._doubted - doubted))
        self._doubts.lose(*(doubted - self._doubted))
        self._doubted = doubted
        return over
