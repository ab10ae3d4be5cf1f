"""Logs to verify and to tamper with: several writers, a signer, and a thief who recomputes what they like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.core.audit import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    NO_HASH,
    Chain,
    ChainVerifier,
    Checkpoint,
    CheckpointSigned,
    Event,
    Head,
    Sealed,
    Verified,
    VerifierKey,
    WriterStarted,
    extend_chain,
    grow,
    make_verifier_key,
    open_checkpoint,
    parse_head,
    render_note,
    verify_log,
)
from taskbound.core.audit.record import Chains, Grown
from taskbound.core.clock import Instant
from tests.core.audit.samples import decided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ORIGIN = "audit.example/one"
KEY = Ed25519Key.from_seed(bytes(range(32)))
OTHER_KEY = Ed25519Key.from_seed(bytes(range(1, 33)))


def key_of(private: Ed25519Key = KEY, origin: str = ORIGIN) -> VerifierKey:
    return make_verifier_key(origin, private.public)


def open_chain(  # noqa: PLR0913  # all that a chain starts from, each by its name
    *,
    namespace: str,
    writer: str,
    at: Instant,
    heads: Iterable[Head],
    software: str,
    checkpoint_size: int = 0,
    checkpoint_root: str = EMPTY_ROOT.hex(),
) -> Grown:
    """A new writer's chain with its first record."""
    event = WriterStarted(
        heads=tuple(head.text for head in sorted(heads)),
        checkpoint_size=checkpoint_size,
        checkpoint_root=checkpoint_root,
        software=software,
    )
    before = Chain(writer=writer, seq=0, prev=NO_HASH, at=at)
    return extend_chain(before, (event,), namespace=namespace, at=at)


def advance_heads(heads: Mapping[str, Head], sealed: Sealed) -> dict[str, Head]:
    """The heads that no record names yet, by writer, once this record is in the log."""
    after = dict(heads)
    record = sealed.record
    if isinstance(record.event, WriterStarted):
        for text in record.event.heads:
            named = parse_head(text)
            if after.get(named.writer) == named:
                del after[named.writer]
    after[record.writer] = Head(writer=record.writer, seq=record.seq, hash=sealed.hash)
    return after


def verify_chain(records: Iterable[bytes]) -> Chains:
    """What the records, in log order, are, when every writer's chain is whole; raises as the verifier."""
    verifier = ChainVerifier()
    for raw in records:
        verifier.take(raw)
    return verifier.seen()


class Log:
    """A log that grows as a daemon's does."""

    def __init__(self, *, private: Ed25519Key = KEY, origin: str = ORIGIN) -> None:
        self.private, self.origin = private, origin
        self.sealed: list[Sealed] = []
        self.notes: list[bytes] = []
        self.at = 1_760_000_000_000_000
        self._chains: dict[str, Chain] = {}
        self._heads: dict[str, Head] = {}
        self._frontier = EMPTY_FRONTIER
        self._signed = Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)

    @property
    def records(self) -> list[bytes]:
        return [one.raw for one in self.sealed]

    def start(self, writer: str) -> None:
        grown = open_chain(
            namespace="default",
            writer=writer,
            at=self._tick(),
            heads=self._heads.values(),
            software="taskbound 0",
            checkpoint_size=self._signed.size,
            checkpoint_root=self._signed.root.hex(),
        )
        self._keep(grown.records, grown.chain)

    def write(self, writer: str, *events: Event, namespace: str = "default") -> None:
        grown = extend_chain(self._chains[writer], events, namespace=namespace, at=self._tick())
        self._keep(grown.records, grown.chain)

    def decide(self, writer: str, count: int = 1, **changes: object) -> None:
        for _ in range(count):
            self.write(writer, decided(len(self.sealed), **changes))

    def checkpoint(self, *, record_by: str = "") -> Checkpoint:
        leaves = [bytes.fromhex(one.hash) for one in self.sealed[self._frontier.size :]]
        self._frontier = grow(self._frontier, leaves).frontier
        self._signed = Checkpoint(origin=self.origin, size=len(self.sealed), root=self._frontier.root)
        self.notes.append(sign(self._signed, self.private))
        if record_by:
            self.write(
                record_by,
                CheckpointSigned(
                    origin=self.origin,
                    size=self._signed.size,
                    root=self._signed.root.hex(),
                    key=key_of(self.private, self.origin).id.hex(),
                ),
            )
        return self._signed

    def _tick(self) -> Instant:
        self.at += 1000
        return Instant(self.at)

    def _keep(self, records: Sequence[Sealed], chain: Chain) -> None:
        self.sealed.extend(records)
        self._chains[chain.writer] = chain
        for one in records:
            self._heads = advance_heads(self._heads, one)


def sign(checkpoint: Checkpoint, private: Ed25519Key = KEY) -> bytes:
    key = key_of(private, checkpoint.origin)
    return render_note(checkpoint.text, [(key, private.sign(checkpoint.text.encode()))])


def sample_log() -> Log:
    """Fourteen records of three writers, checkpoints at 5 and 12, two records that none covers."""
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a", 2)
    log.start("wrt_b")
    log.decide("wrt_b")
    log.checkpoint(record_by="wrt_a")
    log.decide("wrt_b", 2)
    log.decide("wrt_a")
    log.start("wrt_c")
    log.decide("wrt_c", 2)
    log.checkpoint(record_by="wrt_c")
    log.decide("wrt_c")
    return log


def long_log(count: int) -> Log:
    """So many records of a writer that starts anew each thousand, all of them covered."""
    log = Log()
    for index in range(count):
        writer = f"wrt_{index // 1000}"
        if index % 1000 == 0:
            log.start(writer)
        else:
            log.decide(writer)
    log.checkpoint()
    return log


def verify(
    records: Sequence[bytes],
    notes: Sequence[bytes],
    *,
    key: VerifierKey | None = None,
    held: Checkpoint | None = None,
) -> Verified:
    return verify_log(records, notes=notes, key=key or key_of(), verify=verify_ed25519, held=held)


def recomputed(
    log: Log, edit: Callable[[int, Event], Event | None], *, private: Ed25519Key = KEY
) -> tuple[list[bytes], list[bytes]]:
    """The records and notes of a copy in which a thief of the key edited events and made all else fit.

    Chains, named heads, the checkpoints that records name and the checkpoints themselves are computed anew,
    so that nothing within the copy contradicts anything else. An event edited to nothing is left out.
    """
    key = key_of(log.private, log.origin)
    sizes = {open_checkpoint(note, key, verify_ed25519).size for note in log.notes}
    new = Log(private=private, origin=log.origin)
    chains: dict[str, Chain] = {}
    roots: dict[int, tuple[int, str]] = {0: (0, EMPTY_ROOT.hex())}
    renamed: dict[str, str] = {}
    frontier = EMPTY_FRONTIER
    for index, sealed in enumerate(log.sealed):
        if index in sizes:
            frontier = grow(
                frontier, [bytes.fromhex(one.hash) for one in new.sealed[frontier.size :]]
            ).frontier
            roots[index] = (frontier.size, frontier.root.hex())
            new.notes.append(
                sign(Checkpoint(origin=log.origin, size=frontier.size, root=frontier.root), private)
            )
        record = sealed.record
        event = edit(index, record.event)
        if event is None:
            continue
        match event:
            case WriterStarted(heads=heads, checkpoint_size=size):
                event = replace(
                    event,
                    heads=tuple(renamed[head] for head in heads if head in renamed),
                    checkpoint_size=roots[size][0],
                    checkpoint_root=roots[size][1],
                )
            case CheckpointSigned(size=size):
                event = replace(event, size=roots[size][0], root=roots[size][1])
            case _:
                pass
        before = chains.get(record.writer) or Chain(writer=record.writer, seq=0, prev="0" * 64, at=record.at)
        grown = extend_chain(before, (event,), namespace=record.namespace, at=record.at)
        chains[record.writer] = grown.chain
        new.sealed.extend(grown.records)
        made = grown.records[0]
        renamed[f"{record.writer}:{record.seq}:{sealed.hash}"] = (
            f"{record.writer}:{made.record.seq}:{made.hash}"
        )
    return new.records, new.notes
