"""Whether the store still holds all that was seen of the log, and going on with one that does not (I-15).

Of `anew`:

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

Of `seen`:

1. Whoever saw a log of a size with a root finds that root in it at any later time: a store that is shorter,
   or has another root there, was put back from a copy, replaced, or has lost its end, whatever its name is.
2. A daemon keeps outside of the store what it saw, and the signer what it vouched for. Both were in the store
   before they were written down, so a snapshot of afterwards has them, whoever leads by then.
3. What was seen only grows, until a person says with `taskbound db reconcile` or `taskbound db restore` that
   another store is the one that counts.
4. A log that can't be read as far is no log that holds it.
5. That somebody said so of a store stands in it, as the newest `store-begun-anew`; whoever believes another's
   word remembers which that was, for it says nothing of what was lost after it.

Of `whole`:

1. The root of all placed records is that of the stored tree, and the root at the newest checkpoint's size is
   that checkpoint's: a record that was changed, left out or put in between shows, and so does a tile.
2. A checkpoint is believed by the log's key alone, which whoever asks brings; without it nothing is said of
   who made the log.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    CheckpointMissingError,
    LogTruncatedError,
    RootMismatchError,
    StoreBegunAnew,
    TamperedError,
    grow,
    leaf_hash,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_record,
    restore_frontier,
)
from taskbound.core.audit.events import TokenKeyRevoked
from taskbound.core.audit.note import Checkpoint
from taskbound.core.clock import Instant, minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.task import TaskEvent, TaskState
from taskbound.core.token import DEFAULT_NAMESPACE, TokenKeyEvent, TokenKeyState, move_key
from taskbound.core.token.key import ClaimKind, claim_of
from taskbound.flows.identity.leaving import end_sessions
from taskbound.flows.revocation import stop
from taskbound.flows.task.cascade import end_tree, lock_tree
from taskbound.flows.token.admitting import end_row
from taskbound.ports.store import StoreBehindError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event, VerifierKey, Verify
    from taskbound.core.task import Task
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.audit import AuditReads
    from taskbound.ports.store import Readable, Transaction


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


_SEEN_PAGE: Final = 1000
_KIND: Final = StoreBegunAnew.kind.encode()


def seen_of(audit: AuditReads, origin: str) -> Checkpoint:
    """The log as it stands now, under this name.

    Raises:
        TamperedError: It can't be read.
    """
    size = audit.size()
    return Checkpoint(origin=origin, size=size, root=restore_frontier(size, audit.tile).root)


def holds(audit: AuditReads, seen: Checkpoint) -> bool:
    """Whether the log goes on from what was seen of it (rules 1 and 4)."""
    if audit.size() < seen.size:
        return False
    try:
        return restore_frontier(seen.size, audit.tile).root == seen.root
    except TamperedError:
        return False


def last_begun(audit: AuditReads, start: int = 0) -> str:
    """The hash, in hexadecimal, of the newest `store-begun-anew`; empty where there is none (rule 5).

    Args:
        audit: The log, with its records that have no place yet.
        start: The place to look from.
    """
    for one in reversed(audit.pending(audit.count())):
        if _begins(one.body):
            return leaf_hash(one.body).hex()
    end = audit.size()
    while end > start:
        first = max(start, end - _SEEN_PAGE)
        for raw in reversed(audit.records(first, end - first)):
            if _begins(raw):
                return leaf_hash(raw).hex()
        end = first
    return ""


def _begins(raw: bytes) -> bool:
    return _KIND in raw and isinstance(parse_record(raw).event, StoreBegunAnew)


def require_held(store: Readable, seen: Checkpoint, by: str = "this data directory") -> None:
    """Go on only with a store that holds what was seen (rule 1).

    Args:
        store: The store.
        seen: What was seen, before this is called (rule 2).
        by: Who saw it, in words.

    Raises:
        StoreBehindError: It doesn't.
        UnavailableError: The store can't be read.
    """
    with store.read() as snapshot:
        if holds(snapshot.audit, seen):
            return
        size = snapshot.audit.size()
    if size < seen.size:
        raise StoreBehindError(f"{by} has seen {seen.size} records, and the store holds {size}")
    raise StoreBehindError(f"{by} has seen {seen.size} other records than the store holds")


_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLog:
    """A log as its records are."""

    records: int
    """With a place or without."""
    size: int
    """Those with a place."""
    root: bytes
    checkpoint: str
    """The newest one, as a signed note; empty where nothing was signed yet."""
    origin: str
    """Its name; empty where nothing was signed yet."""
    covered: int
    """Records that it covers."""


def require_whole_log(
    audit: AuditReads, *, key_of: Callable[[str], VerifierKey] | None = None, verify: Verify | None = None
) -> WholeLog:
    """Go on only with a log whose records make the tree that it has (rules 1 and 2).

    Args:
        audit: The log, in one snapshot.
        key_of: The key of the log of this name, which whoever asks holds; without it no signature is looked
            at.
        verify: Checks one.

    Raises:
        TamperedError: They don't, or the checkpoint is not by this key.
    """
    size, known = audit.size(), audit.checkpoint()
    note = known.note if known is not None else ""
    told = _read(note) if note else None
    if key_of is not None and verify is not None:
        if told is None:
            raise CheckpointMissingError("the log has no checkpoint that its key has signed")
        told = open_checkpoint(note.encode(), key_of(told.origin), verify)  # 2
    covered = told.size if told is not None else 0
    root, at_covered = _roots(audit, size, covered)
    if restore_frontier(size, audit.tile).root != root:
        raise RootMismatchError("the records are not those of the tree that is kept of them")
    if told is not None and told.root != at_covered:
        raise RootMismatchError("the records are not those that the newest checkpoint covers")
    return WholeLog(
        records=audit.count(),
        size=size,
        root=root,
        checkpoint=note,
        origin=told.origin if told is not None else "",
        covered=covered,
    )


def _read(note: str) -> Checkpoint:
    return parse_checkpoint(parse_note(note.encode()).text)


def _roots(audit: AuditReads, size: int, covered: int) -> tuple[bytes, bytes]:
    """The roots of all records, and of those that are covered, as the records give them."""
    if covered > size:
        raise LogTruncatedError(f"the newest checkpoint covers {covered} records, and the log holds {size}")
    frontier, at_covered, start = EMPTY_FRONTIER, EMPTY_ROOT, 0
    while start < size:
        end = min(start + _BATCH, size)
        end = covered if start < covered < end else end
        records = audit.records(start, end - start)
        if len(records) != end - start:
            raise LogTruncatedError(f"the log holds {start + len(records)} records, and not {size}")
        frontier = grow(frontier, (leaf_hash(one) for one in records)).frontier
        start = end
        if start == covered:
            at_covered = frontier.root
    return frontier.root, at_covered
