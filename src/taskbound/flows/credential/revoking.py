"""Credentials that are ended by somebody's word: a person's, or that of the task that has them.

1. A person names one credential, one task or one target, and so many at most are ended by one transaction:
   whoever wants more ended asks again. What is over already is left as it is.
2. A task ends what it has and nothing else; that it is over already is no error.
3. Rows are locked in the order of their names, as everything that ends several does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.credential import LIVE, CredentialEvent, end_credential
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown
from taskbound.flows.credential.errors import BadSelectionError, NotAskerError, UnknownCredentialError
from taskbound.flows.credential.moving import Moves
from taskbound.flows.credential.reasons import NO_MORE

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


MOST: Final = 4
"""Credentials that are ended by one question (rule 1): a millisecond of work that decisions wait for."""
_WORDS: Final = 300
"""Characters of a person's reason that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What is being revoked now."""

    credentials: tuple[Credential, ...]
    more: bool
    """Whether more of what was named lives."""


def revoke_credentials(  # noqa: PLR0913 - by what they are looked for, each by its name
    means: Means,
    namespace: str,
    *,
    credential: str = "",
    task: str = "",
    target: str = "",
    why: str = "",
    actor: Actor,
    tx: Transaction | None = None,
) -> Revoked:
    """End what lives of what a person names (rule 1), in this transaction or in one of its own.

    Raises:
        BadSelectionError: Nothing is named, or more than one of the three.
        UnknownCredentialError: No credential has this id.
    """
    if sum(map(bool, (credential, task, target))) != 1:
        raise BadSelectionError("exactly one of a credential, a task and a target has to be named")
    reason = f"{actor.name} revoked it" + (f": {escape_text(why[:_WORDS])}" if why else "")
    notes = (f"by {actor.name}, {actor.proof}",)

    def work(tx: Transaction) -> Revoked:
        names, more = _names(tx, namespace, credential=credential, task=task, target=target)
        moves = Moves(means, tx, namespace, means.clock.now())
        ended = []
        for name in names:  # 3
            row = tx.credentials.lock_credential(namespace, name)
            if row is not None and row.state in LIVE:
                over = end_credential(row, reason, moves.now)
                ended.append(moves.put(row, over, CredentialEvent.END, notes=notes))
        moves.record()
        return Revoked(credentials=tuple(ended), more=more)

    return means.store.write(work) if tx is None else work(tx)


def _names(
    tx: Transaction, namespace: str, *, credential: str, task: str, target: str
) -> tuple[list[str], bool]:
    """Ids of what is named and lives, in their order, and whether there are more."""
    if credential:
        if tx.credentials.credential(namespace, credential) is None:
            raise UnknownCredentialError(f"no credential is named `{shown(credential)}`")
        return [credential], False
    if target:  # which may have ten thousand, most of them being revoked already
        found = tx.credentials.alive_in(namespace, target, limit=MOST + 1)
    else:
        found = tx.credentials.credentials(namespace, task=task, states=LIVE, limit=MOST + 1)
    return sorted(one.id for one in found[:MOST]), len(found) > MOST


def end_own(means: Means, namespace: str, credential: str, task: str, why: str = NO_MORE) -> Credential:
    """End a credential for the task that it is of (rule 2); the row as it stands then.

    Args:
        means: What flows are given.
        namespace: Where it is.
        credential: Its id.
        task: The task that it has to be of.
        why: What the row says of it.

    Raises:
        NotAskerError: It is of another task, or not there.
    """

    def work(tx: Transaction) -> Credential:
        row = tx.credentials.lock_credential(namespace, credential)
        if row is None or not task or row.task != task:
            raise NotAskerError(f"this task has no credential `{shown(credential)}`")
        if row.state not in LIVE:
            return row
        moves = Moves(means, tx, namespace, means.clock.now())
        over = moves.put(row, end_credential(row, why, moves.now), CredentialEvent.END)
        moves.record()
        return over

    return means.store.write(work)
