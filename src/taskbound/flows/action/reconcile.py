"""Saying what came of an action whose outcome was unknown, by a person who found out (law 7).

1. Only an unknown outcome is reconciled, once; a lost holder's permit is unknown only when it was given up.
2. Its record is in the same transaction, with who says so and how they know.
3. The act counts as ended so from then on, unless another attempt of it is still unknown.
4. Nothing is given back: it was sent, or may have been, and what was sent has used what it was charged
   (`GIVES_BACK`). A failure that was known at once keeps its uses too.
5. No answer is made up for it: a duplicate is told what was found out, and no result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionEvent, advance
from taskbound.core.audit.events import ActionReconciled
from taskbound.core.decision import ActHistory
from taskbound.core.errors import MalformedError
from taskbound.flows.action.explain import UnknownActionError
from taskbound.ports.action import OutcomeChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


_EVENTS: Final[Mapping[str, ActionEvent]] = {
    "succeeded": ActionEvent.RECONCILE_SUCCEEDED,
    "failed": ActionEvent.RECONCILE_FAILED,
}
_NOTE: Final = 500


class BadReconciliationError(MalformedError):
    """Nothing was said of how somebody knows what came of an action, or too much, or what is no outcome."""

    code = "bad-reconciliation"
    remedy = "say `succeeded` or `failed`, and in --note how you know"


def reconcile(means: Means, namespace: str, action: str, outcome: str, note: str, actor: Actor) -> str:
    """Write what a person found out, and give back the state that the action is in now.

    Raises:
        BadReconciliationError: The outcome is neither of the two, or the note can't be kept.
        UnknownActionError: No action has this id.
        WrongStateError: Its outcome is not unknown (rule 1).
    """
    event = _EVENTS.get(outcome)
    if event is None:
        raise BadReconciliationError(f"`{outcome}` is nothing that an action can be reconciled as")
    if not note.strip() or len(note) > _NOTE:
        raise BadReconciliationError(f"the note is a text of 1 to {_NOTE} characters")

    def work(tx: Transaction) -> str:
        permit = tx.actions.lock_permits(namespace, [action]).get(action)
        kept = tx.actions.action(namespace, action)
        if kept is None or permit is None:
            raise UnknownActionError(f"no action is named `{action}`")
        after = advance(permit.state, event)  # 1
        now = means.clock.now()
        change = OutcomeChange(
            id=action,
            before=permit.state,
            after=after,
            finished=now,
            answer=None,  # 5
            answer_digest=kept.answer_digest,
            released=False,
            note=note,
        )
        key = (permit.root, permit.act_key)
        history = tx.actions.lock_acts(namespace, [key]).get(key, ActHistory())
        tx.actions.set_outcomes(namespace, [change])
        others = tx.actions.unknowns(namespace, *key)
        tx.actions.put_acts(namespace, {key: history.reconciled(outcome, still_unknown=bool(others))})  # 3
        record = ActionReconciled(
            action=action,
            task=permit.task,
            after=after.value,
            note=note,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [record], now)  # 2
        return after.value

    return means.store.write(work)
