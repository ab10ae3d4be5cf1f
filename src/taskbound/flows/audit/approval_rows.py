"""Comparing approvals with the log: what was asked, and whether the one use of an answer is over.

1. An answer is used once: a row that was `consumed`, and isn't by now, would be used again.
2. Not compared: the answers. Each is a signed statement, which is verified whenever it counts.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import ApprovalState
from taskbound.core.audit import ApprovalAsked, ApprovalChanged
from taskbound.core.audit.events.approval import PlanAsked, PlanChanged
from taskbound.core.dataclass import dataclass
from taskbound.flows.audit.compared import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot


_PAGE: Final = 500
_PENDING: Final = ApprovalState.PENDING.value


@dataclass(slots=True)
class ApprovalLedger:
    """What the log says of approvals, and of plans."""

    snapshot: Snapshot
    approvals: Told = field(default_factory=lambda: Told("approval", "asked for"))
    plans: Told = field(default_factory=lambda: Told("plan", "asked for"))
    spaces: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        self.spaces.add(space)
        match record.event:
            case ApprovalAsked() as event:
                self.approvals.put(space, event.approval, question=event.digest, state=_PENDING)
            case ApprovalChanged() as event:
                self.approvals.change(space, event.approval, state=event.after)
            case PlanAsked() as event:
                self.plans.put(space, event.plan, question=event.digest, state=_PENDING, use=0)
            case PlanChanged() as event:
                self.plans.change(space, event.plan, state=event.after, use=event.used)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        for space in sorted(self.spaces | set(self.snapshot.actions.namespaces())):
            yield from self.approvals.against(space, dict(self._rows(space)))
            plans = {name: self._plan(space, name) for where, name in self.plans.rows if where == space}
            yield from self.plans.against(space, {name: one for name, one in plans.items() if one})

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self.snapshot.approvals.approvals(space, limit=_PAGE, before=before):
            for one in page:
                yield one.question.id, {"question": one.question.digest, "state": one.state.value}
            before = page[-1].question.id

    def _plan(self, space: str, name: str) -> Fields:
        row = self.snapshot.approvals.plan(space, name)
        if row is None:
            return {}
        return {"question": row.plan.digest, "state": row.state.value, "use": row.used}
