"""Calls that wait for the step of a plan before theirs: their gateways are told when it has an outcome.

1. Nothing rests on it: a gateway asks again every few seconds as well, and whether the step may be used is
   decided when it asks. So what is known here is forgotten with the daemon, and outcomes that another daemon
   takes are not heard of.
2. It costs outcomes nothing: who waits for which action is known from the answer to their call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import ApprovalState
from taskbound.core.decision import Waiting
from taskbound.flows.approval import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskbound.flows.action.sheet import Released, Report


_MOST: Final = 256
"""Calls of which it is known that they wait; of more the oldest is let go, and asks again."""


class Turns:
    """Who waits for which action; used where calls are decided and outcomes are recorded, one at a time."""

    def __init__(
        self,
        record: Callable[[Sequence[Report]], tuple[Released, ...]],
        tell: Callable[[Sequence[Told]], None],
    ) -> None:
        """Record outcomes by this, and tell gateways by that."""
        self._record = record
        self._tell = tell
        self._waiting: dict[tuple[str, str], Told] = {}
        """By namespace and the action that runs."""

    def note(self, answers: Iterable[object]) -> None:
        """Remember which of these calls wait for an action that runs."""
        for one in answers:
            if not isinstance(one, Waiting) or not one.hold.behind:
                continue
            namespace = one.proposal.action.frame.namespace
            self._waiting.pop((namespace, one.hold.behind), None)
            self._waiting[namespace, one.hold.behind] = Told(
                namespace=namespace,
                action=one.hold.action,
                approval=one.hold.approval,
                state=ApprovalState.APPROVED,
                reason="",
                connection=one.proposal.presented.connection,
            )
            if len(self._waiting) > _MOST:
                del self._waiting[next(iter(self._waiting))]

    def record(self, reports: Sequence[Report]) -> tuple[Released, ...]:
        """Record these outcomes, and let those look who wait for one."""
        answers = self._record(reports)
        found = [self._waiting.pop((one.namespace, one.action), None) for one in reports]
        told = [one for one in found if one is not None]
        if told:
            self._tell(told)
        return answers
