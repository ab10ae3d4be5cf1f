"""Asking people about a wider scope.

1. The requester of the task or the owner of its agent asks, and says why. Nobody is asked for what could not
   be applied now, for what is narrower, for what was denied to this task before, while another amendment of
   it waits, or beyond what people may be asked.
2. What is longer than people can be shown is refused (law 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.approval import TooLongToShowError, require_askable
from taskbound.core.approval.amendment import AmendmentQuestion, AmendmentState
from taskbound.core.audit.events import AmendmentAsked
from taskbound.core.clock import Instant, seconds
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import (
    AmendmentDeniedError,
    AmendmentOpenError,
    TaskSyntaxError,
    require_in_charge,
    require_live,
)
from taskbound.core.task.amendment import require_widening, widen_task
from taskbound.flows.approval.amendment.ground import amendment_circle, lifters_of
from taskbound.flows.approval.circle import lock_people
from taskbound.flows.approval.ending import DAEMON
from taskbound.flows.approval.fatigue.room import room_for_amendment
from taskbound.flows.task.change import lock_left, require_other
from taskbound.flows.task.widen.ground import end_amendment, fate_of, lock_line, require_widenable
from taskbound.ports.task import StoredAmendment

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.task.widen.ground import AmendmentOrder
    from taskbound.ports.store import Transaction


_LONGEST: Final = 8 * 3600
_SHOWN: Final = 65_536
_REASON: Final = 500


def parse_amendment_order(order: AmendmentOrder) -> None:
    """Go on only with an order that can be asked of people.

    Raises:
        TaskSyntaxError: It says no reason, or waits longer than makes sense.
        TooLongToShowError: The scope is longer than people can be shown.
    """
    if not order.reason.strip() or len(order.reason) > _REASON:
        raise TaskSyntaxError(
            f"a reason has 1 to {_REASON} characters",
            where="reason",
            remedy="say why the task needs more with `--reason`",
        )
    if not 1 <= order.seconds <= _LONGEST:
        raise TaskSyntaxError(f"an amendment waits 1 to {_LONGEST} seconds", where="seconds")
    if len(order.scope.canonical) > _SHOWN:
        raise TooLongToShowError(
            f"a scope of more than {_SHOWN} bytes can't be shown whole", remedy="give a shorter scope"
        )


def ask_amendment(
    tx: Transaction, means: Means, order: AmendmentOrder, actor: Actor, names: tuple[str, str]
) -> StoredAmendment:
    """Ask people about it, under these names: the amendment's own, and its nonce.

    Raises:
        DeniedError: Something that rule 1 names is in the way.
    """
    space, scope = order.namespace, order.scope
    locked = lock_line(tx, space, order.task)
    first, now = locked.tree[0], means.clock.now()
    require_not_stopped(locked.switch)
    require_other(first, scope, order.seen)
    require_live(first.id, locked.heads, now)
    agent = tx.identities.agent(space, first.agent)
    require_in_charge(first, agent.owner if agent else "", actor.name)
    people = lock_people(tx, space, now)
    require_widenable(tx, people, locked.line, scope, actor.name, now)
    left = lock_left(tx, locked.above, locked.tree)
    require_widening(locked.tree, locked.above, left, scope, now)
    widen_task(locked.tree, locked.above, left, scope, now)  # nobody is asked for what can't be
    if tx.amendments.denied(space, first.id, scope.digest):
        raise AmendmentDeniedError(f"a person has denied exactly this scope to task `{first.id}`")
    for other in tx.amendments.lock_open(space, {first.id}):
        fate = fate_of(tx, means, other.question, now)
        if fate is None:
            raise AmendmentOpenError(f"amendment `{other.question.id}` of the task waits for an answer")
        end_amendment(tx, means, other, fate, DAEMON)
    room_for_amendment(tx, first, now)
    question = AmendmentQuestion(
        namespace=space,
        id=names[0],
        task=first.id,
        agent=first.agent,
        requester=first.requester,
        asker=actor.name,
        purpose=first.purpose,
        reason=order.reason,
        bundle=means.policy.digest_of(tx.policy.in_force(space)),
        before=first.scope.digest,
        edition=first.scope_version,
        step=first.step,
        after=scope,
        lifters=lifters_of(tx, means.policy, first, scope),
        nonce=names[1],
        asked=now,
        deadline=min(first.deadline, Instant(now + seconds(order.seconds))),
    )
    require_askable(question.needs, amendment_circle(tx, people, first, actor.name))
    stored = StoredAmendment(question=question, state=AmendmentState.PENDING)
    tx.amendments.insert_amendment(stored)
    tx.audit.append(space, means.writer, [_asked(question, actor)], now)
    return stored


def _asked(question: AmendmentQuestion, actor: Actor) -> AmendmentAsked:
    return AmendmentAsked(
        amendment=question.id,
        digest=question.digest,
        task=question.task,
        agent=question.agent,
        requester=question.requester,
        before=question.before,
        edition=question.edition,
        step=question.step,
        after=question.after.digest,
        bundle=question.bundle,
        lifters=question.lifters,
        deadline=question.deadline,
        reason=question.reason,
        by=actor.name,
        proof=actor.proof,
    )
