"""Writing what a settlement made of a group of calls: rows, what they change, and their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Permit, Repeated, Settled, Waiting
from taskbound.flows.credential.journaling import granted
from taskbound.flows.decision.record import decided_event, repeated_event, stored_action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Proposal, Settlement
    from taskbound.flows.approval import HoldSheet
    from taskbound.flows.credential.journaling import Granted
    from taskbound.flows.decision.evaluate import Call
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Transaction


@dataclass(slots=True, kw_only=True)
class Pending:
    """A call on its way through the rounds."""

    call: Call
    place: int
    proposal: Proposal
    action: str = ""
    """The action that it was settled as: the held one, when a hold is lifted."""
    permitted: str = ""
    """The connection that was given a permit."""
    covered: bool = False
    """Whether it is a held retry that was answered before: it is decided again, by what it is held as."""


def write_settlement(
    tx: Transaction,
    means: Means,
    group: Sequence[Pending],
    settlement: Settlement,
    holds: HoldSheet | None,
    now: Instant,
) -> list[Granted]:
    """Write it; the credentials that its permits ask for, which are to be written down behind it.

    Args:
        tx: The transaction that holds the locks.
        means: What the store's writer is called by, and names are drawn from.
        group: The calls, of one namespace.
        settlement: An answer for each.
        holds: What is known of holds, when policy holds any of them.
        now: The instant of the commit.
    """
    namespace = group[0].call.namespace
    rows: list[StoredAction] = []
    minted: list[Granted] = []
    events: list[Event] = [] if holds is None else list(holds.events)
    for one, answer in zip(group, settlement.answers, strict=True):
        match answer:
            case Settled():
                row = stored_action(one.call, answer, now)
                if holds is not None:
                    row = holds.take(tx, means, answer, row, one.call.wait)
                    one.covered = holds.covers(row.id)
                if answer.lifted is None:
                    rows.append(row)
                one.action = row.id
                one.permitted = row.connection if isinstance(answer.decision, Permit) else ""
                minted += granted(answer, row.id, one.call.recipient)
                events.append(decided_event(row, one.call, one.proposal))
            case Repeated():
                events.append(repeated_event(answer, one.call, one.proposal))
            case Waiting() if holds is not None:
                holds.wait(tx, answer, one.call.wait)
            case _:
                continue
    if settlement.left:
        tx.tasks.set_remainders(namespace, settlement.left)
    if settlement.acts:
        tx.actions.put_acts(namespace, settlement.acts)
    if rows:
        tx.actions.insert_actions(rows)
    if holds is not None:
        events += holds.write(tx, namespace, settlement.differed)
    if events:
        tx.audit.append(namespace, means.writer, events, now)
    return minted
