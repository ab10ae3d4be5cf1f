"""Ends credentials by a person's word, when due or with a lost egress; settles requests of lost holders.

Of `revoking`:

1. A person names one credential, one task or one target, and so many at most are ended by one transaction:
   whoever wants more ended asks again. What is over already is left as it is.
2. A task ends what it has and nothing else; that it is over already is no error.
3. Rows are locked in the order of their names, as everything that ends several does.

Of `due`:

1. The end of what is over is written by the daemon: its time, a secret that nobody said to have, a mint that
   nobody began or told the end of. What the broker has to do in a target waits there for it, and keeps no end
   waiting: what is due is looked for until nothing is left. What is being revoked has been ended, and however
   much that is, nobody reads it for this.
2. It is judged anew under the row's lock. Each is a transaction of its own.
3. A revocation that takes longer than a minute is recorded once, and those who watch over the agents are told
   (I-06). Which were is known to this daemon alone: the next one says it again of what is overdue still. That
   is all that comes of its age, and no attempt depends on it.

Of `settling`:

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

Of `seated`:

1. An action that was permitted to a connection of the egress names it as its holder (`SEAT`). What was
   acknowledged there ends with that connection (`surfaces.api.injecting`), and the daemon that it was
   opened at sees to that as long as it is there.
2. Where that daemon is not there any more, any other one does: a holder that is none of its own
   connections, and of no daemon that is present, is lost. Nobody comes back to such a connection.
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
    from taskbound.flows.means import Means
    from taskbound.ports.credential import HeldCredential
    from taskbound.ports.store import Snapshot, Transaction


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


SEAT: Final = "egr_"
"""What the name of each connection of the egress begins with."""


def find_lost_seats(means: Means, namespace: str, own: Collection[str]) -> frozenset[HeldCredential]:
    """Those whose holder is lost (rule 2).

    Args:
        means: What flows are given.
        namespace: Whose.
        own: Names of the connections that this daemon has, or that may come back to it.
    """
    with means.store.read() as snapshot:
        found = snapshot.credentials.held_by(namespace, SEAT)
    others = [one for one in found if one.connection not in own]
    there = means.store.others({daemon_of(one.connection) for one in others}) if others else frozenset[str]()
    return frozenset(one for one in others if daemon_of(one.connection) not in there)
