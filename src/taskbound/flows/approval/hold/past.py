"""What was answered for good, or asked about another thing, before this call.

1. A denial and a narrowing are final: exactly that call is not asked about again (design 4.7), and who waits
   for what was narrowed is told what runs instead.
2. What was superseded may be asked about anew by the call that waited for it: in the commit that ended it,
   and in a later round, where its call was stale in that commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import OPEN, ApprovalState, DeniedBeforeError, NarrowedBeforeError
from taskbound.flows.approval.hold.judging import open_hold
from taskbound.flows.approval.hold.named import last_narrowed

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from taskbound.core.approval import Befallen
    from taskbound.core.decision import OpenHold, Proposal
    from taskbound.core.errors import TaskboundError
    from taskbound.flows.approval.hold.judging import Bench
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Transaction


def superseded_before(
    tx: Transaction,
    held: Sequence[Proposal],
    ending: Sequence[tuple[StoredApproval, Befallen]],
    known: Container[str],
) -> dict[str, str]:
    """Held actions that are asked about anew, and why: ended now, or before (rule 2).

    `known` are the held actions that were read under lock: none of them was superseded before.
    """
    found = {one.question.action: fate.reason for one, fate in ending if not one.question.narrows}
    for one in held:
        if one.resume and one.resume not in found and one.resume not in known:
            named = tx.approvals.approval_of(one.action.namespace, one.resume)
            if named is not None and named.state is ApprovalState.SUPERSEDED and not named.question.narrows:
                found[one.resume] = named.reason
    return found


def answered_before(
    tx: Transaction,
    found: Mapping[tuple[str, str], Sequence[StoredApproval]],
    bench: Bench,
) -> tuple[dict[tuple[str, str], TaskboundError], dict[tuple[str, str], tuple[tuple[str, OpenHold], ...]]]:
    """Calls that were answered for good, why they are not asked again, and what runs instead (rule 1)."""
    answered: dict[tuple[str, str], TaskboundError] = {}
    narrowed: dict[tuple[str, str], tuple[tuple[str, OpenHold], ...]] = {}
    for key, some in found.items():
        for one in some:
            match one.state:
                case ApprovalState.DENIED:
                    why = "a person has denied exactly this, and a denial is final"
                    answered[key] = DeniedBeforeError(why)
                case ApprovalState.NARROWED:
                    instead = last_narrowed(tx, one)
                    answered[key] = NarrowedBeforeError(_narrowed_words(instead))
                    if instead.state in OPEN:
                        held = open_hold(instead, "-", bench.tasks.get(key[0]), bench.lost)
                        narrowed[key] = (*narrowed.get(key, ()), (one.question.action, held))
                case _:
                    continue
    return answered, narrowed


def _narrowed_words(instead: StoredApproval) -> str:
    action = instead.question.action
    return f"a person has narrowed exactly this to `{action}`, which is {instead.state.value}"
