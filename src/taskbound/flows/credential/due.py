"""What is due of credentials and is the daemon's own to write: ends, and word of what is overdue.

1. The end of what is over is written by the daemon: its time, a secret that nobody said to have, a mint that
   nobody began or told the end of. What the broker has to do in a target waits there for it, and keeps no end
   waiting: what is due is looked for until nothing is left. What is being revoked has been ended, and however
   much that is, nobody reads it for this.
2. It is judged anew under the row's lock. Each is a transaction of its own.
3. A revocation that takes longer than a minute is recorded once, and those who watch over the agents are told
   (I-06). Which were is known to this daemon alone: the next one says it again of what is overdue still. That
   is all that comes of its age, and no attempt depends on it.
"""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.credential import CredentialOverdue
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    LIVE,
    OVERDUE,
    CredentialEvent,
    CredentialState,
    Step,
    age_of,
    end_credential,
    is_overdue,
    step_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.flows.credential.moving import Moves
from taskbound.flows.credential.reasons import LOST, NOBODY, OVER, UNACKNOWLEDGED
from taskbound.flows.identity.telling import tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot, Transaction


_PAGE: Final = 200
_TOGETHER: Final = 20
"""Records of what got overdue that are written together: some milliseconds, which decisions wait for."""
_SECOND: Final = seconds(1)


def end_due(means: Means, namespace: str) -> tuple[Credential, ...]:
    """Write the ends that are due in a namespace (rule 1); the rows as they stand then."""
    found = (end_one_due(means, namespace, name) for name in find_due(means, namespace))
    return tuple(one for one in found if one is not None)


def find_due(means: Means, namespace: str) -> tuple[str, ...]:
    """Ids of those in a namespace whose end is due; nothing is written."""
    now = means.clock.now()
    with means.store.read() as snapshot:
        return tuple(
            one.id
            for target in snapshot.targets.targets(namespace)
            for one in _due(snapshot, namespace, target.name, now)
            if step_of(one, now) is Step.END
        )


def _due(snapshot: Snapshot, namespace: str, target: str, now: Instant) -> Iterable[Credential]:
    """What is due in a target and lives, or all that lives there, where more is due than one look shows."""
    found = snapshot.credentials.due_alive(namespace, target, now, limit=_PAGE)
    if len(found) < _PAGE:
        return found
    living: list[Credential] = []
    before = ""
    while page := snapshot.credentials.credentials(
        namespace, target=target, states=LIVE, limit=_PAGE, before=before
    ):
        living += page
        before = page[-1].id
    return living


def end_one_due(means: Means, namespace: str, credential: str) -> Credential | None:
    """Write the end of this one where it is due (rule 2); the row as it stands then, None where not."""
    return means.store.write(partial(_end, means, namespace, credential))


def _end(means: Means, namespace: str, credential: str, tx: Transaction) -> Credential | None:
    row = tx.credentials.lock_credential(namespace, credential)
    moves = Moves(means, tx, namespace, means.clock.now())
    if row is None or step_of(row, moves.now) is not Step.END:
        return None
    over = end_credential(row, _why(row, moves.now), moves.now)
    moves.put(row, over, CredentialEvent.END)
    moves.record()
    return over


def _why(row: Credential, now: Instant) -> str:
    match row.state:
        case CredentialState.JOURNALED:
            return NOBODY
        case CredentialState.MINTING:
            return LOST
        case _:
            return OVER if row.acknowledged or now >= row.ends else UNACKNOWLEDGED


@dataclass(slots=True)
class Overdue:
    """Tells of revocations that are overdue, once each (rule 3); used from one thread at a time."""

    means: Means
    _told: dict[tuple[str, str], Instant] = field(default_factory=dict)
    """When the revocation that was told of began, by namespace and id."""

    def tell(self, namespace: str) -> tuple[Credential, ...]:
        """Record those that got overdue, and tell the monitor; which they were."""
        means = self.means
        now = means.clock.now()
        with means.store.read() as snapshot:
            old = snapshot.credentials.overdue(namespace, Instant(now - OVERDUE + 1), limit=_PAGE)
        late = {(namespace, one.id): one for one in old if is_overdue(one, now)}
        fresh = [one for key, one in late.items() if self._told.get(key) != one.ended]
        if len(old) < _PAGE:
            self._forget(namespace, late)
        for start in range(0, len(fresh), _TOGETHER):
            self._record(namespace, fresh[start : start + _TOGETHER], now)
        return tuple(fresh)

    def _record(self, namespace: str, some: Sequence[Credential], now: Instant) -> None:
        means = self.means
        events = [_overdue(one, now) for one in some]
        means.store.write(lambda tx: tx.audit.append(namespace, means.writer, events, now))
        self._told |= {(namespace, one.id): one.ended for one in some}
        for target in sorted({one.target for one in some}):
            tell(means, namespace, _news(target, [one for one in some if one.target == target]))

    def _forget(self, namespace: str, late: dict[tuple[str, str], Credential]) -> None:
        """Forget those that are overdue no more."""
        for key in [one for one in self._told if one[0] == namespace and one not in late]:
            del self._told[key]


def _overdue(row: Credential, now: Instant) -> CredentialOverdue:
    return CredentialOverdue(
        credential=row.id,
        target=row.target,
        task=row.task,
        agent=row.agent,
        seconds=age_of(row, now) // _SECOND,
        attempts=row.attempts,
        trouble=row.trouble,
    )


def _news(target: str, rows: Sequence[Credential]) -> dict[str, object]:
    return {
        "kind": "taskbound-credential-overdue",
        "target": target,
        "credentials": [one.id for one in rows],
        "tasks": sorted({one.task for one in rows} - {""}),
        "say": f"taskbound credential list --overdue --target {target}",
    }
