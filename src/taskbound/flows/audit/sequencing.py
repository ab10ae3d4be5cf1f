"""Gives records their places in the log, grows the tree, and has checkpoints signed.

Of `sequencing`:

1. Records get places in the order in which they became durable; none is passed over.
2. Places, tiles and their tree are written in one transaction: a crash leaves the tree
   of before, and the next round grows the same one. A transaction places `_BATCH` records at
   most, and between two the store is left to whoever waits: decisions do.
3. The signer is shown a consistency proof from what it signed last. What it signed and
   this store does not know of (a lost answer) is asked for again, never signed anew.
4. A store that is behind the signer was rolled back or restored: it is refused until a
   person has reconciled it, and says so in the daemon's state.
5. What ends authority is entered into the feed in the transaction that gives its record a place
   (`core.revocation.reading`): there is no place without its entry, and no entry without its place.
6. What was signed is itself recorded, together with the next records that come: who
   holds a checkpoint finds it in the log, and an idle log does not grow by itself.

Of `signing`:

1. It signs for the origins that it was given at its start, and no other.
2. What it signs only appends to what it signed last, by a consistency proof that it verifies against its own
   memory: the asker's word counts for nothing.
3. The memory is durable before the signature exists. A crash between the two is safe: what was about to be
   signed is then the only thing of its size that can be, and asking again gives it.
4. Asked again for the same, it gives the same, and makes the memory durable once more: a crash may have left
   it written and not yet durable.

Of `freshness`:

1. No decision commits before the store's log was first compared with the signer's memory.
2. No decision commits later than `BOUND` after the last instant at which the store held no more than the
   signer vouches for by now. A signer that is silent, or that answers and signs no more, therefore stops
   decisions: it would not notice that what came later is missing. The next signature lets decisions go on.
3. What ends authority, outcomes and what a person does are not asked for this: they commit at any time.
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
    from taskbound.flows.means import Means
    from taskbound.ports.audit import PendingRecord
    from taskbound.ports.signer import SignedHeads, Signer, SigningKey
    from taskbound.ports.store import Snapshot, Transaction


_BATCH: Final = 128
"""Records that one transaction places: two milliseconds that decisions wait for."""
_ENTERED: Final = hours(1)
"""How long an entry is kept: far longer than any token lives that it could end."""
_REST: Final = 0.001
"""Seconds between two of them, in which whoever waits for the store has it."""


class LogBehindError(DeniedError):
    """The signer has vouched for a log that this store no longer holds."""

    code = "log-behind"
    remedy = "the store was rolled back or restored: compare with what monitors hold, then start a new log"


class NotCoveredError(UnavailableError):
    """The record has no checkpoint over it yet."""

    code = "not-covered"
    remedy = "wait for the next checkpoint, at most a second, or look whether the signer runs"


def open_writer(means: Means, *, software: str) -> None:
    """Begin this process's chain: its first record names all heads that it knows, and the last checkpoint."""

    def work(tx: Transaction) -> None:
        checkpoint = tx.audit.checkpoint()
        event = WriterStarted(
            heads=tuple(one.text for one in tx.audit.heads()),
            checkpoint_size=checkpoint.size if checkpoint else 0,
            checkpoint_root=(checkpoint.root if checkpoint else EMPTY_FRONTIER.root).hex(),
            software=software,
        )
        tx.audit.append("default", means.writer, [event], means.clock.now())

    means.store.write(work)


class Sequencer:
    """Grows the log and has it signed; used from one thread at a time."""

    def __init__(self, means: Means, signer: Signer, origin: str) -> None:
        """Keep what to work with; the tree is read from the store at the first round."""
        self._means = means
        self._signer = signer
        self._origin = origin
        self._frontier: Frontier | None = None
        self._unrecorded: CheckpointSigned | None = None
        self._resting = threading.Event()
        """Never set: nobody ends a rest of a millisecond."""

    def extend(self) -> int:
        """Give every record a place that has none (rules 1 and 2); how many there were."""
        placed = 0
        while True:
            count = self._means.store.write(self._extend)
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
        if self._unrecorded is not None and _has_news(pending):  # 6
            now = self._means.clock.now()
            tx.audit.append("default", self._means.writer, [self._unrecorded], now)
        return len(pending)

    def _enter(self, tx: Transaction, size: int, pending: Sequence[PendingRecord]) -> None:
        """Enter what ends authority into the feed, and forget what was entered long ago (rule 5)."""
        entries = entries_in(size, (one.body for one in pending))
        if entries:
            tx.revocation.put_entries(entries)
            before = Instant(self._means.clock.now() - _ENTERED)
            tx.revocation.forget_entries(before, limit=_BATCH)

    def sign(self) -> StoredCheckpoint | None:
        """Have the log as it stands signed (rules 3 and 4); the new checkpoint, None when nothing is new.

        Raises:
            LogBehindError: The signer knows more of this log than the store.
            SignerUnavailableError: It can't be reached.
            TamperedError: The log does not only append to what was signed.
        """
        with self._means.store.read() as snapshot:
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
        checkpoint = StoredCheckpoint(size=size, root=root, note=note.decode(), at=self._means.clock.now())
        self._means.store.write(lambda tx: tx.audit.put_checkpoint(checkpoint))
        key_id = parse_verifier_key(self._signer.verifier_key(self._origin)).id.hex()
        self._unrecorded = CheckpointSigned(origin=self._origin, size=size, root=root.hex(), key=key_id)
        return checkpoint

    def prove(self, index: int) -> tuple[bytes, bytes]:
        """An offline proof of the record at this index under the newest checkpoint, and the record.

        Raises:
            NotCoveredError: No checkpoint covers it yet.
        """
        with self._means.store.read() as snapshot:
            return _prove(snapshot, index)


def _has_news(pending: Sequence[PendingRecord]) -> bool:
    """Whether something else is new than that checkpoints were signed; the first record mostly says."""
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
    """Signs checkpoints of the logs that it was given; safe from any thread."""

    def __init__(
        self, *, origins: Iterable[str], key: SigningKey, heads: SignedHeads, verify: Verify
    ) -> None:
        """Sign for these origins (rule 1).

        Args:
            origins: The names of the logs; each is also the name of the key in its notes.
            key: What signs.
            heads: What it remembers; no other signer may write to it.
            verify: Checks a signature.

        Raises:
            VerifierKeyError: An origin can't be the name of a key.
        """
        self._keys = {origin: make_verifier_key(origin, key.public) for origin in origins}
        self._key = key
        self._heads = heads
        self._verify = verify
        self._lock = Lock()

    def verifier_key(self, origin: str) -> str:
        """The log's public key as a vkey.

        Raises:
            OriginUnknownError: It is not one of its origins.
        """
        return self._require_key(origin).text

    def last_signed(self, origin: str) -> Checkpoint:
        """What it was about to sign last; size 0 when nothing was.

        Raises:
            OriginUnknownError: It is not one of its origins.
            SignerUnavailableError: Its memory can't be read.
        """
        self._require_key(origin)
        with self._lock:
            return self._heads.read(origin)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """A signed note of the checkpoint.

        Raises:
            OriginUnknownError: It is not one of its origins.
            CheckpointOlderError: It has signed for a larger log.
            TamperedError: The log does not only append to what was signed, or is none.
            SignerUnavailableError: Its memory can't be read or made durable; nothing was signed.
        """
        key = self._require_key(origin)  # 1
        wanted = parse_checkpoint(Checkpoint(origin=origin, size=size, root=root).text)
        with self._lock:
            last = self._heads.read(origin)
            if wanted.size < last.size:
                raise CheckpointOlderError(
                    f"a log of {last.size} records was signed for already, {size} is fewer"
                )
            if wanted != last:
                verify_consistency(last.size, size, proof, last.root, root)  # 2
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
    """The daemon could not compare its store with the signer's memory lately, and refuses to decide."""

    code = "log-unconfirmed"
    remedy = (
        "run `taskbound doctor` to see whether the signer answers, and whether the other daemons of the"
        " database go on; decisions resume when the signer confirms the log, and tasks can be ended meanwhile"
    )


class LogFreshness:
    """Keeps when the store's log was last confirmed. Confirmed by one thread, asked from any."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """Begin unconfirmed (rule 1).

        Args:
            elapsed: Seconds on a clock that is never set.
        """
        self._elapsed = elapsed
        self._marks: deque[tuple[float, int]] = deque()
        """When the store held how many records, oldest first: what is not vouched for yet."""
        self._until = -math.inf

    def mark(self, records: int) -> None:
        """The store holds at least this many records now."""
        now = self._elapsed()
        while self._marks and self._marks[0][0] + BOUND < now:
            self._marks.popleft()  # too old to confirm anything
        self._marks.append((now, records))

    def confirm(self, vouched: int) -> None:
        """The store was found to hold these records, which the signer vouches for."""
        while self._marks and self._marks[0][1] <= vouched:
            self._until = self._marks.popleft()[0] + BOUND

    @property
    def late(self) -> bool:
        """Whether the signer has not vouched yet for what the store held `LATE` seconds ago."""
        return bool(self._marks) and self._marks[0][0] + LATE < self._elapsed()

    def require(self) -> None:
        """Go on only within the bound (rules 1 and 2).

        Raises:
            LogUnconfirmedError: The last comparison that agreed is too old, or there was none.
        """
        if self._elapsed() > self._until:
            raise LogUnconfirmedError(self.trouble)

    @property
    def trouble(self) -> str:
        """Why decisions are refused now; empty where they are not."""
        if self._elapsed() <= self._until:
            return ""
        if self._until == -math.inf:
            return "the signer has not confirmed the log since the daemon started"
        return f"the signer has not confirmed the log for more than {BOUND:g} seconds"
