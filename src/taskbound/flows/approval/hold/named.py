"""Calls that name the held action that they wait for: as strict as that one, whatever policy says now.

1. Where a held action is over, a call that waits for it runs no more, also when policy would hold it no more.
   Only what was superseded may be decided as a new call.
2. What a person has narrowed needs their answer, also when policy would permit it without.
3. The narrowed action of a narrowed one is the last of that row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval import OPEN, ApprovalState
from taskbound.core.decision import Evaluated, Hold, Holding, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.decision import Proposal
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


_NEW = OPEN | {ApprovalState.SUPERSEDED}


def as_held(tx: Transaction, namespace: str, proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals, each held where it names what is held or over, or narrows it."""
    return [_stand(tx, namespace, one) for one in proposals]


def _stand(tx: Transaction, namespace: str, proposal: Proposal) -> Proposal:
    if not isinstance(proposal.verdict, Evaluated):
        return proposal
    if proposal.narrows is not None:
        return _held(proposal, proposal.verdict, proposal.narrows.lifters)  # 2
    named = tx.approvals.approval_of(namespace, proposal.resume) if proposal.resume else None
    if named is None or (named.state in _NEW and not named.question.narrows):
        return proposal
    return _held(proposal, proposal.verdict, named.question.lifters)  # 1, 2


def _held(proposal: Proposal, verdict: Evaluated, lifters: tuple[str, ...]) -> Proposal:
    reason = Reason(code="held", text="a person has narrowed it", detail=f"lifted by {', '.join(lifters)}")
    hold = Hold(reasons=(reason,), policies=verdict.policies, lifters=lifters)
    looked = verdict.looked
    if looked is None:
        looked = Holding(covered=verdict.covered, hold=hold)
    return replace(proposal, verdict=replace(looked, hold=hold))


def last_narrowed(tx: Transaction, one: StoredApproval) -> StoredApproval:
    """What was asked instead of a narrowed question, locked (rule 3)."""
    while one.state is ApprovalState.NARROWED:
        found = tx.approvals.lock_narrowed(one.question.namespace, one.question.digest)
        if found is None:
            break
        one = found
    return one
