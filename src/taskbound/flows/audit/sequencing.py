"""Sequences records into the log, grows the Merkle tree, and obtains signed checkpoints.

- Places and tiles are written in one transaction of at most `_BATCH` records, so that waiting decisions get
  the store in between.
- The signer verifies by its own memory that a log only appends; the caller's claim counts for nothing. That
  memory is durable before the signature exists; after a crash, asking again gives the same checkpoint.
- A store behind the signer was rolled back or restored; the daemon refuses it until a person reconciles it.
- No decision commits later than `BOUND` after the store last held no more than the signer has signed by now,
  so a silent signer stops decisions. Revocations, outcomes and acts of persons are exempt.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    EMPTY_FRONTIER,
    Checkpoint,
    CheckpointSigned,
    WriterStarted,
    grow,
    leaf_hash,
    make_verifier_key,
    open_checkpoint,
    parse_checkpoint,
    parse_record,
    parse_verifier_key,
    prove_consistency,
    prove_inclusion,
    render_note,
    render_proof,
    restore_frontier,
    verify_consistency,
)
from taskbound.core.audit.merkle import TileNodes
from taskbound.core.audit.note import Proof
from taskbound.core.clock import Instant, hours
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.revocation import entries_in
from taskbound.ports.audit import StoredCheckpoint
from taskbound.ports.signer import CheckpointOlderError, OriginUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskbound.core.audit import Frontier, VerifierKey, Verify
    from taskbound.flows.means import Adapters
    from taskbound.ports.audit import PendingRecord
    from taskbound.ports.signer import SignedHeads, Signer, SigningKey
    from taskbound.ports.store import Snapshot, Transaction


_BATCH: Final = 128
"""Records that one transaction places: two milliseconds that decisions wait for."""
_ENTERED: Final = hours(1)
"""How long an entry is kept: far longer than any token lives that it could end."""
_REST: Final = 0.001
"""Seconds between two of them, for others that wait for the store."""


class LogBehindError(DeniedError):
    """The signer has signed a log that this store no longer holds."""

    code = "log-behind"
    remedy = "the store was rolled back or restored: compare with what monitors hold, then start a new log"


class NotCoveredError(UnavailableError):
    """No checkpoint covers the record yet."""

    code = "not-covered"
    remedy = "wait for the next checkpoint, at most a second, or look whether the signer runs"


def open_writer(adapters: Adapters, *, software: str) -> None:
    """Opens this process's chain; its first record names all known heads and the last checkpoint."""

    def work(tx: Transaction) -> None:
        checkpoint = tx.audit.checkpoint()
        event = WriterStarted(
            heads=tuple(one.text for one in tx.audit.heads()),
            checkpoint_size=checkpoint.size if checkpoint else 0,
            checkpoint_root=(checkpoint.root if checkpoint else EMPTY_FRONTIER.root).hex(),
            software=software,
        )
        tx.audit.append("default", adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


class Sequencer:
    """Grows the log and has it signed; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, signer: Signer, origin: str) -> None:
        self._adapters = adapters
        self._signer = signer
        self._origin = origin
        self._frontier: Frontier | None = None
        self._unrecorded: CheckpointSigned | None = None
        self._resting = threading.Event()
        """Never set: waiting on it is a sleep of a millisecond."""

    def extend(self) -> int:
        placed = 0
        while True:
            count = self._adapters.store.write(self._extend)
            if count:
                self._unrecorded = None
            placed += count
            if count < _BATCH:
                return placed
            self._resting.wait(_REST)

    def _extend(self, tx: Transaction) -> int:
        size = tx.audit.size()
        frontier = self._frontier
        if frontier is None or frontier.size != size:
            frontier = restore_frontier(size, tx.audit.tile)
        pending = tx.audit.pending(_BATCH)
        if not pending:
            return 0
        growth = grow(frontier, (leaf_hash(one.body) for one in pending))
        tx.audit.extend(size, [one.number for one in pending])
        tx.audit.put_tiles({(one.level, one.index): one.hashes for one in growth.tiles})
        self._enter(tx, size, pending)
        self._frontier = growth.frontier
        if self._unrecorded is not None and _has_news(pending):
            now = self._adapters.clock.now()
            tx.audit.append("default", self._adapters.writer, [self._unrecorded], now)
        return len(pending)

    def _enter(self, tx: Transaction, size: int, pending: Sequence[PendingRecord]) -> None:
        entries = entries_in(size, (one.body for one in pending))
        if entries:
            tx.revocation.put_entries(entries)
            before = Instant(self._adapters.clock.now() - _ENTERED)
            tx.revocation.forget_entries(before, limit=_BATCH)

    def sign(self) -> StoredCheckpoint | None:
        """Has the current log signed; returns the new checkpoint, None if nothing is new."""
        with self._adapters.store.read() as snapshot:
            known = snapshot.audit.checkpoint()
            size = snapshot.audit.size()
            if size == 0 or (known is not None and known.size == size):
                return None
            last = self._signer.last_signed(self._origin)
            if last.size > size:
                raise LogBehindError(
                    f"the signer has vouched for {last.size} records, and the store holds {size}"
                )
            root = restore_frontier(size, snapshot.audit.tile).root
            proof = prove_consistency(last.size, size, TileNodes(snapshot.audit.tile)) if last.size else ()
        note = self._signer.sign_checkpoint(self._origin, size, root, proof)
        checkpoint = StoredCheckpoint(size=size, root=root, note=note.decode(), at=self._adapters.clock.now())
        self._adapters.store.write(lambda tx: tx.audit.put_checkpoint(checkpoint))
        key_id = parse_verifier_key(self._signer.verifier_key(self._origin)).id.hex()
        self._unrecorded = CheckpointSigned(origin=self._origin, size=size, root=root.hex(), key=key_id)
        return checkpoint

    def prove(self, index: int) -> tuple[bytes, bytes]:
        """Returns an offline proof of a record under the newest checkpoint, and the record."""
        with self._adapters.store.read() as snapshot:
            return _prove(snapshot, index)


def _has_news(pending: Sequence[PendingRecord]) -> bool:
    return any(not isinstance(parse_record(one.body).event, CheckpointSigned) for one in pending)


def _prove(snapshot: Snapshot, index: int) -> tuple[bytes, bytes]:
    checkpoint = snapshot.audit.checkpoint()
    if checkpoint is None or not 0 <= index < checkpoint.size:
        raise NotCoveredError(f"no checkpoint covers record {index} yet")
    (record,) = snapshot.audit.records(index, 1)
    hashes = prove_inclusion(index, checkpoint.size, TileNodes(snapshot.audit.tile))
    proof = Proof(index=index, hashes=tuple(hashes), note=checkpoint.note.encode())
    return render_proof(proof), record


class CheckpointSigner:
    """Signs checkpoints of its logs; thread-safe."""

    def __init__(
        self, *, origins: Iterable[str], key: SigningKey, heads: SignedHeads, verify: Verify
    ) -> None:
        """Signs for these origins, also its notes' key names; no other signer may write to `heads`."""
        self._keys = {origin: make_verifier_key(origin, key.public) for origin in origins}
        self._key = key
        self._heads = heads
        self._verify = verify
        self._lock = Lock()

    def verifier_key(self, origin: str) -> str:
        return self._require_key(origin).text

    def last_signed(self, origin: str) -> Checkpoint:
        self._require_key(origin)
        with self._lock:
            return self._heads.read(origin)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        key = self._require_key(origin)
        wanted = parse_checkpoint(Checkpoint(origin=origin, size=size, root=root).text)
        with self._lock:
            last = self._heads.read(origin)
            if wanted.size < last.size:
                raise CheckpointOlderError(
                    f"a log of {last.size} records was signed for already, {size} is fewer"
                )
            if wanted != last:
                verify_consistency(last.size, size, proof, last.root, root)
            self._heads.write(wanted)  # 3 and 4
            note = render_note(wanted.text, [(key, self._key.sign(wanted.text.encode()))])
        # A signature that went wrong in the making never leaves: it could give the key away.
        open_checkpoint(note, key, self._verify)
        return note

    def _require_key(self, origin: str) -> VerifierKey:
        key = self._keys.get(origin)
        if key is None:
            raise OriginUnknownError(f"the signer does not sign for `{origin[:128]!a}`")
        return key


BOUND: Final = 10.0
"""Seconds: enough to start another signer on a busy machine, or for one request that times out."""
LATE: Final = 3.0
"""Seconds after which what is not vouched for is late: several rounds of the daemon that leads."""


class LogUnconfirmedError(UnavailableError):
    """The store was not compared with the signer's memory within the bound."""

    code = "log-unconfirmed"
    remedy = (
        "run `taskbound doctor` to see whether the signer answers, and whether the other daemons of the"
        " database go on; decisions resume when the signer confirms the log, and tasks can be ended meanwhile"
    )


class LogFreshness:
    """Tracks when the log was last confirmed; confirmed by one thread, read by any."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """Starts unconfirmed; `elapsed` gives seconds of a monotonic clock."""
        self._elapsed = elapsed
        self._marks: deque[tuple[float, int]] = deque()
        """When the store held how many records, oldest first: what is not vouched for yet."""
        self._until = -math.inf

    def mark(self, records: int) -> None:
        """Notes that the store holds at least this many records now."""
        now = self._elapsed()
        while self._marks and self._marks[0][0] + BOUND < now:
            self._marks.popleft()  # too old to confirm anything
        self._marks.append((now, records))

    def confirm(self, vouched: int) -> None:
        """Notes that the store holds these records, which the signer has signed."""
        while self._marks and self._marks[0][1] <= vouched:
            self._until = self._marks.popleft()[0] + BOUND

    @property
    def late(self) -> bool:
        """Whether the signer has not signed what the store held `LATE` seconds ago."""
        return bool(self._marks) and self._marks[0][0] + LATE < self._elapsed()

    def require(self) -> None:
        if self._elapsed() > self._until:
            raise LogUnconfirmedError(self.trouble)

    @property
    def trouble(self) -> str:
        if self._elapsed() <= self._until:
            return ""
        if self._until == -math.inf:
            return "the signer has not confirmed the log since the daemon started"
        return f"the signer has not confirmed the log for more than {BOUND:g} seconds"
