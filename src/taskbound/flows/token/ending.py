"""Ending what a client was let in to: by a person, or by the client that gives its refresh token back.

1. A person ends what they consented to, what is of a task that they asked for, and what is of an agent that
   they own. The account that owns the data directory ends every one. Who acts as a person is of no task.
2. A client that nothing proves gives back what it has (RFC 7009 §2.1): a refresh token ends its admission,
   whichever of its refresh tokens it is, and without its key. Whoever has it could end it by using it twice.
3. One that another client brings is in other hands: it ends too, and that client is told nothing else than
   that it is not its own.
4. A text that is no refresh token of ours is nothing to give back, and says so to nobody (RFC 7009 §2.2).
5. What has ended stays as it ended. Ending may use the store's reserve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.task import require_in_charge
from taskbound.core.token import ForeignTokenError
from taskbound.core.token.authorization.admission import Leak, refresh_digest
from taskbound.core.token.authorization.errors import BadRefreshError, UnknownAdmissionError
from taskbound.flows.token.admitting import client_actor, end_row

if TYPE_CHECKING:
    from taskbound.core.token.authorization.admission import Admission
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def end_admission(
    means: Means, namespace: str, admission: str, actor: Actor, *, owns: bool, why: str
) -> None:
    """Let a client in no more (rules 1 and 5).

    Args:
        means: What flows are given.
        namespace: Where.
        admission: Its id.
        actor: Who asks.
        owns: Whether they have the account that owns the data directory.
        why: In words.

    Raises:
        UnknownAdmissionError: There is none.
        ForeignTokenError: It lets a client act as another person.
        NotInChargeError: Its task is another person's, and its agent too.
    """

    def work(tx: Transaction) -> None:
        found = tx.authorizations.admission(namespace, admission)
        if found is None:
            raise UnknownAdmissionError(f"no client was let in as `{admission}`")
        if not (owns or found.person == actor.name):
            _require_in_charge(tx, found, actor)  # 1
        end_row(tx, means, found, why, actor)  # 5

    means.store.write(work, reserve=True)


def give_back_refresh(means: Means, namespace: str, text: str, client: str) -> bool:
    """End what a refresh token keeps its client let in to (rules 2 to 4); whether the text is one of ours.

    Raises:
        ForeignTokenError: It was another client's, and has ended.
    """
    try:
        digest = refresh_digest(text)
    except BadRefreshError:
        return False  # 4
    with means.store.read() as snapshot:
        if snapshot.authorizations.refresh(namespace, digest) is None:
            return False

    def work(tx: Transaction) -> Admission | None:
        shown = tx.authorizations.refresh(namespace, digest)
        found = tx.authorizations.admission(namespace, shown.admission) if shown is not None else None
        if found is not None:
            own = found.client == client
            why = "its client gave its refresh token back" if own else Leak.CLIENT.value
            end_row(tx, means, found, why, client_actor(client, "refresh-token"))
        return found

    ended = means.store.write(work, reserve=True)
    if ended is not None and ended.client != client:
        raise ForeignTokenError("the refresh token was another client's")  # 3
    return True


def _require_in_charge(tx: Transaction, admission: Admission, actor: Actor) -> None:
    if admission.is_persons:
        raise ForeignTokenError("the client acts as another person")
    task = tx.tasks.task(admission.namespace, admission.task)
    agent = tx.identities.agent(admission.namespace, admission.agent)
    if task is not None:
        require_in_charge(task, agent.owner if agent is not None else "", actor.name)
