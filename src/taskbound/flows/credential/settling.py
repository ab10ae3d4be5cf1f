"""What came of an action that asked for a credential, where its holder was lost before it told (law 7).

1. An outcome that nobody told is unknown, and what repeats it is held for a person to find out. Of a
   credential nobody has to: its row says what came of it, since only the broker acts, under a fence.
2. It has succeeded where its secret was acknowledged, and failed where it is over without: then nobody can
   begin anything with it, or will. As long as it lives without an acknowledgement nothing is said.
3. It is recorded as what a person finds out is, by the daemon, with the row as how it is known.
4. The latest are looked at, so many of a namespace: what is older than that stays a person's to reconcile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.credential import LIVE, CredentialState
from taskbound.core.transition import WrongStateError
from taskbound.flows.action.reconcile import reconcile
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means

__all__ = ["LATEST", "find_unknown", "settle_one", "settle_unknown"]

LATEST: Final = 200
"""Rows of a namespace that are looked at (rule 4)."""
_KNOWN: Final = frozenset(CredentialState) - LIVE | {CredentialState.ACTIVE}
_NOTE: Final = 500
"""Characters of how it is known (`flows.action.reconcile`)."""
_DAEMON: Final = Actor(name="daemon", proof="")


def settle_unknown(means: Means, namespace: str) -> tuple[str, ...]:
    """Say what came of actions whose outcome is unknown and whose credential's row knows; their ids."""
    return tuple(row.action for row in find_unknown(means, namespace) if settle_one(means, row))


def find_unknown(means: Means, namespace: str) -> tuple[Credential, ...]:
    """Rows that know what came of their action while nobody else does; nothing is written."""
    with means.store.read() as snapshot:
        rows = snapshot.credentials.credentials(namespace, states=_KNOWN, limit=LATEST)
        return tuple(
            row
            for row in rows
            if row.action
            and (row.acknowledged or row.state not in LIVE)  # 2
            and (action := snapshot.actions.action(namespace, row.action)) is not None
            and action.state is ActionState.UNKNOWN
        )


def settle_one(means: Means, row: Credential) -> bool:
    """Say it of this one (rule 3); whether it was said, as another daemon may have said it meanwhile."""
    outcome = "succeeded" if row.acknowledged else "failed"
    note = f"its credential `{row.id}` is {row.state.value}: {row.why or 'its secret was acknowledged'}"
    try:
        reconcile(means, row.namespace, row.action, outcome, note[:_NOTE], _DAEMON)  # 3
    except WrongStateError:
        return False
    return True
