"""Detects a restored or replaced store, and makes a restored one safe to use (I-15).

- What the store lacks is unknown, so all that may have ended, been used or revoked counts so. Single-use
  values made before now are refused: windows count as forgotten up to the longest (`_WINDOW`).
- The operation may be repeated after an interruption; its record is written last. The caller must hold the
  locks that daemons hold.
- A log once seen with a size and root must contain that root at any later time. The daemon keeps what it saw,
  and the signer what it signed, outside the store.
- Only the log's key, given by the caller, verifies a checkpoint; without it the log's author is unproven.
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
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.audit import AuditReads
    from taskbound.ports.store import Readable, Transaction


_LIVE: Final = frozenset({TaskState.PROPOSED, TaskState.RUNNING, TaskState.PAUSED})
_PAGE: Final = 100
_TURN: Final = 1000
_WINDOW: Final = minutes(3)
"""Longer than the window of anything that is used once and was made before: a proof's, an assertion's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDeclaration:
    """What a person declared about the store."""

    origin: str
    """The log's name from here on; empty where it is given by hand."""
    held: int
    """Records of before that the store holds."""
    seen: int
    """Records seen of it; 0 if unknown."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCounts:
    """The counts of what was ended."""

    namespaces: tuple[str, ...]
    """Where everything is stopped."""
    tasks: int
    admissions: int
    sessions: int
    keys: int


def begin_anew(adapters: Adapters, told: StoreDeclaration, actor: Actor) -> EndedCounts:
    """Records all that may have ended, on an open chain; the caller repeats it after UnavailableError."""
    with adapters.store.read() as snapshot:
        found = {*snapshot.identities.namespaces(), *snapshot.accounts.spaces(), DEFAULT_NAMESPACE}
    spaces = tuple(sorted(found))
    reason = f"{told.why}: look at what happened since, then lift this"
    for space in spaces:
        stop(adapters, space, stopped=True, reason=reason, actor=actor)
    tasks = sum(_end_tasks(adapters, space, told.why, actor) for space in spaces)
    keys = adapters.store.write(lambda tx: _revoke_keys(tx, adapters, told.why, actor))
    admissions = sum(_end_admissions(adapters, space, told.why, actor) for space in spaces)
    sessions = sum(_end_sessions(adapters, space, told.why, actor) for space in spaces)
    _forget_asked(adapters)
    _forget_claims(adapters, spaces)
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
    adapters.store.write(
        lambda tx: tx.audit.append(DEFAULT_NAMESPACE, adapters.writer, [event], adapters.clock.now())
    )
    return EndedCounts(namespaces=spaces, tasks=tasks, admissions=admissions, sessions=sessions, keys=keys)


def _end_tasks(adapters: Adapters, space: str, why: str, actor: Actor) -> int:
    ended = 0
    while True:
        with adapters.store.read() as snapshot:
            live = snapshot.tasks.tasks(space, states=_LIVE, limit=_PAGE)
        if not live:
            return ended
        for one in live:
            ended += adapters.store.write(partial(_end_task, adapters, one, why, actor))


def _end_task(adapters: Adapters, task: Task, why: str, actor: Actor, tx: Transaction) -> int:
    now = adapters.clock.now()
    tree = lock_tree(tx, task.namespace, task.id)
    ended = end_tree(tx, tree, TaskEvent.REVOKE, actor, now=now, reason=why, beneath=why)
    tx.audit.append(task.namespace, adapters.writer, ended.events, now)
    return len(ended.moved)


def _revoke_keys(tx: Transaction, adapters: Adapters, why: str, actor: Actor) -> int:
    now = adapters.clock.now()
    events: list[Event] = []
    for key in tx.tokens.lock_keys(moves=True):
        if key.state is not TokenKeyState.REVOKED:
            tx.tokens.put_key(move_key(key, TokenKeyEvent.REVOKE, now, why), expect=key.state)
            events.append(
                TokenKeyRevoked(
                    key=key.kid, before=key.state.value, why=why, by=actor.name, proof=actor.proof
                )
            )
    tx.audit.append(DEFAULT_NAMESPACE, adapters.writer, events, now)
    return len(events)


def _end_admissions(adapters: Adapters, space: str, why: str, actor: Actor) -> int:
    ended, before = 0, ""
    while True:
        with adapters.store.read() as snapshot:
            page = snapshot.authorizations.admissions(space, limit=_PAGE, before=before)
        for one in page:
            if not one.ended:
                adapters.store.write(partial(end_row, adapters=adapters, admission=one, why=why, actor=actor))
                ended += 1
        if len(page) < _PAGE:
            return ended
        before = page[-1].id


def _end_sessions(adapters: Adapters, space: str, why: str, actor: Actor) -> int:
    def work(tx: Transaction) -> int:
        events: list[Event] = []
        gone = end_sessions(tx, space, lambda _: True, why, actor, events)
        tx.audit.append(space, adapters.writer, events, adapters.clock.now())
        return len(gone)

    return adapters.store.write(work)


def _forget_asked(adapters: Adapters) -> None:
    before = Instant(adapters.clock.now() + 1)
    while adapters.store.write(lambda tx: tx.authorizations.sweep_asked(before, limit=_TURN)):
        pass
    while adapters.store.write(lambda tx: tx.accounts.sweep_sign_ins(before, limit=_TURN)):
        pass


def _forget_claims(adapters: Adapters, spaces: tuple[str, ...]) -> None:
    until = Instant(adapters.clock.now() + _WINDOW)
    last = [claim_of(space, kind, adapters.writer, until=until) for space in spaces for kind in ClaimKind]
    adapters.store.write(lambda tx: tx.claims.use(last))
    while adapters.store.write(lambda tx: tx.claims.sweep(Instant(until + 1), limit=_TURN)):
        pass


_SEEN_PAGE: Final = 1000
_KIND: Final = StoreBegunAnew.kind.encode()


def seen_of(audit: AuditReads, origin: str) -> Checkpoint:
    """Returns the current log head under this origin; raises TamperedError if it cannot be read."""
    size = audit.size()
    return Checkpoint(origin=origin, size=size, root=restore_frontier(size, audit.tile).root)


def holds(audit: AuditReads, seen: Checkpoint) -> bool:
    if audit.size() < seen.size:
        return False
    try:
        return restore_frontier(seen.size, audit.tile).root == seen.root
    except TamperedError:
        return False


def last_begun(audit: AuditReads, start: int = 0) -> str:
    """Returns the hex hash of the newest `store-begun-anew` from place `start`, '' if none."""
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
    """Raises StoreBehindError unless the store holds what was seen; `by` names who saw it."""
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
    """A log as its records give it."""

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
    """Raises TamperedError unless records make the tree; without `key_of`, checks no signature."""
    size, known = audit.size(), audit.checkpoint()
    note = known.note if known is not None else ""
    told = _read(note) if note else None
    if key_of is not None and verify is not None:
        if told is None:
            raise CheckpointMissingError("the log has no checkpoint that its key has signed")
        told = open_checkpoint(note.encode(), key_of(told.origin), verify)
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
