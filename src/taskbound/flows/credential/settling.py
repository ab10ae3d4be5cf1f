"""What came of an action that asked for a credential, where its holder was lost before it told (law 7).

1. An outcome that nobody told is unknown, and what repeats it is held for a person to find out. Of a
   credential nobody has to: its row says what came of it, since only the broker acts, under a fence.
2. It has succeeded where its secret was acknowledged, and failed where it is over without: then nobody can
   begin anything with it, or will. As long as it lives without an acknowledgement nothing is said.
3. So it is with a renewal: it has succeeded where the target was told, and failed where it was not and will
   not be, or where the credential ended before.
4. It is recorded as what a person finds out is, by the daemon, with the row as how it is known.
5. The latest are looked at, so many of a namespace: what is older than that stays a person's to reconcile.
   Where no outcome is unknown, none is: it is asked for every two seconds, in the life of a daemon that has
   minted thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.credential import LIVE, CredentialState, RenewalState
from taskbound.core.dataclass import dataclass
from taskbound.core.transition import WrongStateError
from taskbound.flows.action.reconcile import reconcile
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means


LATEST: Final = 200
"""Rows of a namespace that are looked at (rule 5)."""
_KNOWN: Final = frozenset(CredentialState) - LIVE | {CredentialState.ACTIVE}
_NOTE: Final = 500
"""Characters of how it is known (`flows.action.reconcile`)."""
_DAEMON: Final = Actor(name="daemon", proof="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What came of an action, as a credential's row says it."""

    row: Credential
    action: str
    succeeded: bool
    how: str
    """By what of the row it is known."""


def settle_unknown(means: Means, namespace: str) -> tuple[str, ...]:
    """Say what came of actions whose outcome is unknown and whose credential's row knows; their ids."""
    return tuple(one.action for one in find_unknown(means, namespace) if settle_one(means, one))


def find_unknown(means: Means, namespace: str) -> tuple[Known, ...]:
    """What rows know of actions of which nobody else does; nothing is written."""
    with means.store.read() as snapshot:
        if not snapshot.actions.has_unknown(namespace):  # 5
            return ()
        rows = snapshot.credentials.credentials(namespace, states=_KNOWN, limit=LATEST)
        return tuple(
            one
            for row in rows
            for one in _known(row)
            if (action := snapshot.actions.action(namespace, one.action)) is not None
            and action.state is ActionState.UNKNOWN
        )


def _known(row: Credential) -> Iterator[Known]:
    """What the row knows of the actions that it names."""
    if row.action and (row.acknowledged or row.state not in LIVE):  # 2
        how = "its secret was acknowledged" if row.acknowledged else row.why
        yield Known(row=row, action=row.action, succeeded=row.acknowledged, how=how)
    renewal = row.renewal
    if renewal is not None and renewal.state is not RenewalState.WANTED:  # 3
        done = renewal.state is RenewalState.DONE
        how = "its target was told that it ends later" if done else f"not renewed: {row.why or row.trouble}"
        yield Known(row=row, action=renewal.action, succeeded=done, how=how)


def settle_one(means: Means, known: Known) -> bool:
    """Say it of this one (rule 4); whether it was said, as another daemon may have said it meanwhile."""
    row = known.row
    outcome = "succeeded" if known.succeeded else "failed"
    note = f"its credential `{row.id}` is {row.state.value}: {known.how}"
    try:
        reconcile(means, row.namespace, known.action, outcome, note[:_NOTE], _DAEMON)
    except WrongStateError:
        return False
    return True
