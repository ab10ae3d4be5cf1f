"""Going on with a store that lacks what was seen: a copy that was put back, or one without its end (I-15).

Nobody can tell what the store lacks, so whatever might have ended, been used or been revoked in between
counts as ended, used and revoked:

1. Everything is stopped in every namespace, by its switch, before anything else; a person lifts it once they
   have looked.
2. Every task that has not ended is revoked, with all beneath it: with it go its questions, approvals that
   were given and not used, plans, amendments, limits, holds and what it has in targets. It may have ended
   since, and an approval of it been used.
3. Every key that signs tokens is revoked: no token of before counts, known to the store or not. The signer
   makes others.
4. Whoever was let in, signed in or asked for it is so no more: an admission, a session, a code or a refresh
   token may have been ended or used since.
5. What is used once and was made before now is refused, whether the store knows of its use or not: windows
   count as forgotten up to the end of the longest that could have begun (`_WINDOW`).
6. It can be run again after it was ended anywhere, and comes to the same; the record stands last.

Nothing else runs on the store meanwhile: whoever calls this holds what daemons hold.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import StoreBegunAnew
from taskbound.core.audit.events import TokenKeyRevoked
from taskbound.core.clock import Instant, minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.task import TaskEvent, TaskState
from taskbound.core.token import DEFAULT_NAMESPACE, TokenKeyEvent, TokenKeyState, move_key
from taskbound.core.token.claim import ClaimKind, claim_of
from taskbound.flows.identity.sessions import end_sessions
from taskbound.flows.revocation import stop
from taskbound.flows.task.cascade import end_tree, lock_tree
from taskbound.flows.token.admitting import end_row

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


_LIVE: Final = frozenset({TaskState.PROPOSED, TaskState.RUNNING, TaskState.PAUSED})
_PAGE: Final = 100
_TURN: Final = 1000
_WINDOW: Final = minutes(3)
"""Longer than the window of anything that is used once and was made before: a proof's, an assertion's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anew:
    """What a person said."""

    origin: str
    """The log's name from here on; empty where it is given by hand."""
    held: int
    """Records of before that the store holds."""
    seen: int
    """Records that were seen of it; 0 where nobody could tell."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What it came to."""

    namespaces: tuple[str, ...]
    """Where everything is stopped."""
    tasks: int
    admissions: int
    sessions: int
    keys: int


def begin_anew(means: Means, told: Anew, actor: Actor) -> Begun:
    """End what may have ended, and record it; nothing is permitted until somebody lifts the stops.

    Args:
        means: What flows are given; the writer's chain is open.
        told: What counts from here on.
        actor: Who says so.

    Raises:
        UnavailableError: It could not be written; run it again (rule 6).
    """
    with means.store.read() as snapshot:
        found = {*snapshot.identities.namespaces(), *snapshot.accounts.spaces(), DEFAULT_NAMESPACE}
    spaces = tuple(sorted(found))
    reason = f"{told.why}: look at what happened since, then lift this"
    for space in spaces:
        stop(means, space, stopped=True, reason=reason, actor=actor)  # 1
    tasks = sum(_end_tasks(means, space, told.why, actor) for space in spaces)  # 2
    keys = means.store.write(lambda tx: _revoke_keys(tx, means, told.why, actor))  # 3
    admissions = sum(_end_admissions(means, space, told.why, actor) for space in spaces)  # 4
    sessions = sum(_end_sessions(means, space, told.why, actor) for space in spaces)
    _forget_asked(means)
    _forget_claims(means, spaces)  # 5
    event = StoreBegunAnew(
        origin=told.origin,
        held=told.held,
        seen=told.seen,
        tasks=tasks,
        admissions=admissions,
        sessions=sessions,
        keys=keys,
        why=told.why,
        by=actor.name,
        proof=actor.proof,
    )
    means.store.write(lambda tx: tx.audit.append(DEFAULT_NAMESPACE, means.writer, [event], means.clock.now()))
    return Begun(namespaces=spaces, tasks=tasks, admissions=admissions, sessions=sessions, keys=keys)


def _end_tasks(means: Means, space: str, why: str, actor: Actor) -> int:
    ended = 0
    while True:
        with means.store.read() as snapshot:
            live = snapshot.tasks.tasks(space, states=_LIVE, limit=_PAGE)
        if not live:
            return ended
        for one in live:
            ended += means.store.write(partial(_end_task, means, one, why, actor))


def _end_task(means: Means, task: Task, why: str, actor: Actor, tx: Transaction) -> int:
    now = means.clock.now()
    tree = lock_tree(tx, task.namespace, task.id)
    ended = end_tree(tx, tree, TaskEvent.REVOKE, actor, now=now, reason=why, beneath=why)
    tx.audit.append(task.namespace, means.writer, ended.events, now)
    return len(ended.moved)


def _revoke_keys(tx: Transaction, means: Means, why: str, actor: Actor) -> int:
    now = means.clock.now()
    events: list[Event] = []
    for key in tx.tokens.lock_keys(moves=True):
        if key.state is not TokenKeyState.REVOKED:
            tx.tokens.put_key(move_key(key, TokenKeyEvent.REVOKE, now, why), expect=key.state)
            events.append(
                TokenKeyRevoked(
                    key=key.kid, before=key.state.value, why=why, by=actor.name, proof=actor.proof
                )
            )
    tx.audit.append(DEFAULT_NAMESPACE, means.writer, events, now)
    return len(events)


def _end_admissions(means: Means, space: str, why: str, actor: Actor) -> int:
    ended, before = 0, ""
    while True:
        with means.store.read() as snapshot:
            page = snapshot.authorizations.admissions(space, limit=_PAGE, before=before)
        for one in page:
            if not one.ended:
                means.store.write(partial(end_row, means=means, admission=one, why=why, actor=actor))
                ended += 1
        if len(page) < _PAGE:
            return ended
        before = page[-1].id


def _end_sessions(means: Means, space: str, why: str, actor: Actor) -> int:
    def work(tx: Transaction) -> int:
        events: list[Event] = []
        gone = end_sessions(tx, space, lambda _: True, why, actor, events)
        tx.audit.append(space, means.writer, events, means.clock.now())
        return len(gone)

    return means.store.write(work)


def _forget_asked(means: Means) -> None:
    """Forget what browsers and clients have asked for and not got."""
    before = Instant(means.clock.now() + 1)
    while means.store.write(lambda tx: tx.authorizations.sweep_asked(before, limit=_TURN)):
        pass
    while means.store.write(lambda tx: tx.accounts.sweep_sign_ins(before, limit=_TURN)):
        pass


def _forget_claims(means: Means, spaces: tuple[str, ...]) -> None:
    """Leave behind that windows are forgotten up to the longest that has begun (rule 5)."""
    until = Instant(means.clock.now() + _WINDOW)
    last = [claim_of(space, kind, means.writer, until=until) for space in spaces for kind in ClaimKind]
    means.store.write(lambda tx: tx.claims.use(last))
    while means.store.write(lambda tx: tx.claims.sweep(Instant(until + 1), limit=_TURN)):
        pass
