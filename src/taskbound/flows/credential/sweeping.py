"""What a sweep found in a target: names of ours that nothing lives under are revoked, and no other (I-14).

1. A name that is not exactly one of this installation's is nobody's business, whatever it begins with.
2. What lives or is being revoked is left as it is; so is what was over only after the sweep began, and what
   is of another target: its own sweep finds it.
3. What was gone and is there is revoked again. Of what can't be revoked that is said already.
4. What has no row in any namespace gets one that begins with its end: the row comes before the target is
   called, so that such a name is of a store that was lost or restored. Who it was for nobody knows any more.
5. So many names are looked at in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.credential import CredentialMoved
from taskbound.core.credential import (
    Credential,
    CredentialEvent,
    CredentialState,
    ForeignNameError,
    due_of,
    id_of,
    reappear,
)
from taskbound.core.dataclass import dataclass
from taskbound.flows.credential.moving import Moves
from taskbound.flows.credential.reasons import AGAIN, WITHOUT_ROW

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.clock import Instant
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_GROUP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What was seen, and where."""

    namespace: str
    target: str
    identity: str
    """Digest of the target's identity, as it was looked through."""
    names: Collection[str]
    begun: Instant
    """No later than when it began."""


def take_sweep(means: Means, sweep: Sweep) -> tuple[str, ...]:
    """Revoke what is there and should not be; ids of that."""
    with means.store.read() as snapshot:
        mark = snapshot.targets.mark()
    if not mark:
        return ()
    found = sorted(_ours(mark, sweep.names))
    revoked: list[str] = []
    for start in range(0, len(found), _GROUP):  # 5
        group = found[start : start + _GROUP]
        revoked += means.store.write(partial(_take, means, sweep, group))
    return tuple(revoked)


def _ours(mark: str, names: Collection[str]) -> set[str]:
    """Ids of the names that are ours (rule 1)."""
    found = set()
    for name in names:
        try:
            found.add(id_of(mark, name))
        except ForeignNameError:
            continue
    return found


def _take(means: Means, sweep: Sweep, ids: list[str], tx: Transaction) -> list[str]:
    space = sweep.namespace
    moves = Moves(means, tx, space, means.clock.now())
    others = sorted({one.namespace for one in tx.targets.all_targets()} - {space})
    revoked: list[str] = []
    for name in ids:
        row = tx.credentials.lock_credential(space, name)
        if row is None:
            if all(tx.credentials.credential(other, name) is None for other in others):  # 4
                _begin_with_its_end(tx, moves, sweep, name)
                revoked.append(name)
        elif _is_back(row, sweep):
            after = replace(reappear(row, moves.now), why=AGAIN)  # 3
            moves.put(row, after, CredentialEvent.REAPPEAR)
            revoked.append(name)
    moves.record()
    return revoked


def _is_back(row: Credential, sweep: Sweep) -> bool:
    """Whether it was over before the sweep began, and is there (rules 2 and 3)."""
    return row.state is CredentialState.REVOKED and row.target == sweep.target and row.ended <= sweep.begun


def _begin_with_its_end(tx: Transaction, moves: Moves, sweep: Sweep, name: str) -> None:
    now = moves.now
    row = Credential(
        namespace=sweep.namespace,
        id=name,
        target=sweep.target,
        kind="",
        identity=sweep.identity,
        task="",
        agent="",
        action="",
        arguments=b"{}",
        recipient="",
        state=CredentialState.REVOKING,
        made=now,
        ends=now,
        due=now,
        ended=now,
        why=WITHOUT_ROW,
    )
    tx.credentials.insert_credentials([replace(row, due=due_of(row, now))])
    moves.note(
        CredentialMoved(
            credential=name,
            target=sweep.target,
            task="",
            before="",
            after=row.state.value,
            event=CredentialEvent.REAPPEAR.value,
            why=WITHOUT_ROW,
        )
    )
