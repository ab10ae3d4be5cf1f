"""Ends credentials on request, when due, or with a lost egress; settles outcomes of lost holders.

- A request of a person ends a bounded number of credentials. Rows are locked in name order; each end is
  judged again under the row's lock, in its own transaction.
- The daemon writes ends that are due (expiry, unacknowledged secret, unfinished mint) and does not wait for
  the broker.
- An unreported outcome is unknown and repeats are held. For credentials the row answers, as only the broker
  acts, under a fence: it succeeded if the secret was acknowledged and failed if it ended without.
- Credentials acknowledged by an egress connection (`SEAT`) end with it (`surfaces.api.injecting`). A holder
  that is no connection of any present daemon is lost; any daemon ends its credentials.
"""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import ActionState
from taskbound.core.action.text import escape_text
from taskbound.core.audit.events.work import CredentialOverdue
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    LIVE,
    OVERDUE,
    CredentialEvent,
    CredentialState,
    RenewalState,
    Step,
    age_of,
    end_credential,
    is_overdue,
    step_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown
from taskbound.core.transition import WrongStateError
from taskbound.flows.action.outcome import reconcile
from taskbound.flows.credential.errors import BadSelectionError, NotAskerError, UnknownCredentialError
from taskbound.flows.credential.journaling import Moves
from taskbound.flows.credential.naming import LOST, NO_MORE, NOBODY, OVER, UNACKNOWLEDGED
from taskbound.flows.decision.retries import daemon_of
from taskbound.flows.identity.monitors import tell
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from taskbound.core.credential import Credential
    from taskbound.flows.means import Adapters
    from taskbound.ports.credential import HeldCredential
    from taskbound.ports.store import Snapshot, Transaction


MOST: Final = 4
"""Credentials that are ended by one question: a millisecond of work that decisions wait for."""
_WORDS: Final = 300
"""Characters of a person's reason that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """The credentials that are being revoked now."""

    credentials: tuple[Credential, ...]
    more: bool
    """Whether more of what was named lives."""


def revoke_credentials(  # noqa: PLR0913 - by what they are looked for, each by its name
    adapters: Adapters,
    namespace: str,
    *,
    credential: str = "",
    task: str = "",
    target: str = "",
    why: str = "",
    actor: Actor,
    tx: Transaction | None = None,
) -> Revoked:
    """Ends live credentials of one credential, task or target, in `tx` or its own transaction."""
    if sum(map(bool, (credential, task, target))) != 1:
        raise BadSelectionError("exactly one of a credential, a task and a target has to be named")
    reason = f"{actor.name} revoked it" + (f": {escape_text(why[:_WORDS])}" if why else "")
    notes = (f"by {actor.name}, {actor.proof}",)

    def work(tx: Transaction) -> Revoked:
        names, more = _names(tx, namespace, credential=credential, task=task, target=target)
        moves = Moves(adapters, tx, namespace, adapters.clock.now())
        ended = []
        for name in names:
            row = tx.credentials.lock_credential(namespace, name)
            if row is not None and row.state in LIVE:
                over = end_credential(row, reason, moves.now)
                ended.append(moves.put(row, over, CredentialEvent.END, notes=notes))
        moves.record()
        return Revoked(credentials=tuple(ended), more=more)

    return adapters.store.write(work) if tx is None else work(tx)


def _names(
    tx: Transaction, namespace: str, *, credential: str, task: str, target: str
) -> tuple[list[str], bool]:
    if credential:
        if tx.credentials.credential(namespace, credential) is None:
            raise UnknownCredentialError(f"no credential is named `{shown(credential)}`")
        return [credential], False
    if target:  # which may have ten thousand, most of them being revoked already
        found = tx.credentials.alive_in(namespace, target, limit=MOST + 1)
    else:
        found = tx.credentials.credentials(namespace, task=task, states=LIVE, limit=MOST + 1)
    return sorted(one.id for one in found[:MOST]), len(found) > MOST


def end_own(adapters: Adapters, namespace: str, credential: str, task: str, why: str = NO_MORE) -> Credential:
    def work(tx: Transaction) -> Credential:
        row = tx.credentials.lock_credential(namespace, credential)
        if row is None or not task or row.task != task:
            raise NotAskerError(f"this task has no credential `{shown(credential)}`")
        if row.state not in LIVE:
            return row
        moves = Moves(adapters, tx, namespace, adapters.clock.now())
        over = moves.put(row, end_credential(row, why, moves.now), CredentialEvent.END)
        moves.record()
        return over

    return adapters.store.write(work)


_PAGE: Final = 200
_TOGETHER: Final = 20
"""Records of what got overdue that are written together: some milliseconds, which decisions wait for."""
_SECOND: Final = seconds(1)


def end_due(adapters: Adapters, namespace: str) -> tuple[Credential, ...]:
    found = (end_one_due(adapters, namespace, name) for name in find_due(adapters, namespace))
    return tuple(one for one in found if one is not None)


def find_due(adapters: Adapters, namespace: str) -> tuple[str, ...]:
    now = adapters.clock.now()
    with adapters.store.read() as snapshot:
        return tuple(
            one.id
            for target in snapshot.targets.targets(namespace)
            for one in _due(snapshot, namespace, target.name, now)
            if step_of(one, now) is Step.END
        )


def _due(snapshot: Snapshot, namespace: str, target: str, now: Instant) -> Iterable[Credential]:
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


def end_one_due(adapters: Adapters, namespace: str, credential: str) -> Credential | None:
    return adapters.store.write(partial(_end, adapters, namespace, credential))


def _end(adapters: Adapters, namespace: str, credential: str, tx: Transaction) -> Credential | None:
    row = tx.credentials.lock_credential(namespace, credential)
    moves = Moves(adapters, tx, namespace, adapters.clock.now())
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
    """Reports overdue revocations once each; must be used from one thread at a time."""

    adapters: Adapters
    _told: dict[tuple[str, str], Instant] = field(default_factory=dict)
    """The start of each reported revocation, by namespace and id."""

    def tell(self, namespace: str) -> tuple[Credential, ...]:
        """Records newly overdue revocations, alerts the monitor, and returns them."""
        adapters = self.adapters
        now = adapters.clock.now()
        with adapters.store.read() as snapshot:
            old = snapshot.credentials.overdue(namespace, Instant(now - OVERDUE + 1), limit=_PAGE)
        late = {(namespace, one.id): one for one in old if is_overdue(one, now)}
        fresh = [one for key, one in late.items() if self._told.get(key) != one.ended]
        if len(old) < _PAGE:
            self._forget(namespace, late)
        for start in range(0, len(fresh), _TOGETHER):
            self._record(namespace, fresh[start : start + _TOGETHER], now)
        return tuple(fresh)

    def _record(self, namespace: str, some: Sequence[Credential], now: Instant) -> None:
        adapters = self.adapters
        events = [_overdue(one, now) for one in some]
        adapters.store.write(lambda tx: tx.audit.append(namespace, adapters.writer, events, now))
        self._told |= {(namespace, one.id): one.ended for one in some}
        for target in sorted({one.target for one in some}):
            tell(adapters, namespace, _news(target, [one for one in some if one.target == target]))

    def _forget(self, namespace: str, late: dict[tuple[str, str], Credential]) -> None:
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


LATEST: Final = 200
"""Rows of a namespace that are looked at."""
_KNOWN: Final = frozenset(CredentialState) - LIVE | {CredentialState.ACTIVE}
_NOTE: Final = 500
"""Characters of how it is known (`flows.action.reconcile`)."""
_DAEMON: Final = Actor(name="daemon", proof="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The outcome of an action, by its credential's row."""

    row: Credential
    action: str
    succeeded: bool
    how: str
    """By what of the row it is known."""


def settle_unknown(adapters: Adapters, namespace: str) -> tuple[str, ...]:
    return tuple(one.action for one in find_unknown(adapters, namespace) if settle_one(adapters, one))


def find_unknown(adapters: Adapters, namespace: str) -> tuple[Known, ...]:
    with adapters.store.read() as snapshot:
        if not snapshot.actions.has_unknown(namespace):
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
    if row.action and (row.acknowledged or row.state not in LIVE):
        how = "its secret was acknowledged" if row.acknowledged else row.why
        yield Known(row=row, action=row.action, succeeded=row.acknowledged, how=how)
    renewal = row.renewal
    if renewal is not None and renewal.state is not RenewalState.WANTED:
        done = renewal.state is RenewalState.DONE
        how = "its end was extended in its target" if done else f"not renewed: {row.why or row.trouble}"
        yield Known(row=row, action=renewal.action, succeeded=done, how=how)


def settle_one(adapters: Adapters, known: Known) -> bool:
    row = known.row
    outcome = "succeeded" if known.succeeded else "failed"
    note = f"its credential `{row.id}` is {row.state.value}: {known.how}"
    try:
        reconcile(adapters, row.namespace, known.action, outcome, note[:_NOTE], _DAEMON)
    except WrongStateError:
        return False
    return True


SEAT: Final = "egr_"
"""What the name of each connection of the egress begins with."""


def find_lost_seats(adapters: Adapters, namespace: str, own: Collection[str]) -> frozenset[HeldCredential]:
    """Returns credentials with a lost holder; `own` connections are this daemon's or may return to it."""
    with adapters.store.read() as snapshot:
        found = snapshot.credentials.held_by(namespace, SEAT)
    others = [one for one in found if one.connection not in own]
    there = (
        adapters.store.others({daemon_of(one.connection) for one in others}) if others else frozenset[str]()
    )
    return frozenset(one for one in others if daemon_of(one.connection) not in there)
