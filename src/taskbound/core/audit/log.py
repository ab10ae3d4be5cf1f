"""Verifies a whole log offline, and reads and writes exports of it.

Of `log`:

The procedure, in this order; the first rule that breaks is the answer:

1. There is at least one record. Each is read strictly and continues its writer's chain, and every head that
   a writer names stands before it.
2. Every checkpoint that came along is signed by the log's key, which whoever verifies holds already; there
   is at least one, and no two contradict each other.
3. A checkpoint that somebody held elsewhere is within the log, and the log has its root at its size. This
   catches even a copy that was recomputed and signed anew with the log's own key.
4. Every checkpoint is within the log, and the log has its root at its size.
5. Every checkpoint that a record names is of what stands before that record, with its root.

What no checkpoint covers is named, and vouched for by nobody but the chains.

Of `export`:

JSON Lines (UTF-8, LF after every line, no blank line):

1. the first line says what this is: ``{"format":"taskbound-audit","origin":…,"v":1}``;
2. then one line a record, in log order: its exact bytes, which hold no line break;
3. the last line holds the checkpoint notes, oldest first: ``{"checkpoints":["…",…]}``. An export without it
   was cut off.

The first and the last line are in canonical form too, so one log has one export.
"""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.encoding import quote_text
from taskbound.core.audit.errors import (
    CheckpointForkedError,
    CheckpointMissingError,
    ClaimMismatchError,
    ExportMalformedError,
    ExportTruncatedError,
    LogEmptyError,
    LogForkedError,
    LogTruncatedError,
    NoteMalformedError,
    OriginMismatchError,
    RecordVersionError,
    RootMismatchError,
)
from taskbound.core.audit.events import CheckpointSigned, WriterStarted
from taskbound.core.audit.merkle import EMPTY_FRONTIER, grow
from taskbound.core.audit.note import MAX_NOTE, open_checkpoint
from taskbound.core.audit.record import MAX_RECORD, VERSION, ChainVerifier
from taskbound.core.dataclass import dataclass
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.audit.note import Checkpoint, VerifierKey, Verify
    from taskbound.core.audit.record import Head, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(NoTruth):
    """What was verified of a log, and what was not."""

    origin: str
    namespaces: tuple[str, ...]
    """Those that records are of."""
    size: int
    """Records in the log."""
    covered: int
    """The first so many records are vouched for by a checkpoint; those from this index on are not."""
    root: bytes
    """The root at the size that is covered."""
    heads: tuple[Head, ...]
    """Every writer's newest record, by writer."""
    checkpoints: int
    """How many checkpoints came along, all of this log."""
    held: int | None
    """The size of the checkpoint that was held elsewhere, if one was."""

    @property
    def uncovered(self) -> int:
        """How many records at the end no checkpoint covers."""
        return self.size - self.covered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """A size and root that record `index` names."""

    size: int
    root: str
    index: int


class LogVerifier:
    """Takes a log record by record, and says at the end what was verified."""

    def __init__(self) -> None:
        """Start before the first record."""
        self._chains = ChainVerifier()
        self._claims: list[_Claim] = []

    def take(self, raw: bytes) -> Record:
        """The next record in log order (rule 1).

        Raises:
            TamperedError: One of its kinds; ``where`` names the record by its index.
        """
        index = len(self._chains.leaves)
        record = self._chains.take(raw)
        match record.event:
            case (
                WriterStarted(checkpoint_size=size, checkpoint_root=root)
                | CheckpointSigned(size=size, root=root)
            ):
                self._claims.append(_Claim(size=size, root=root, index=index))
            case _:
                pass
        return record

    def finish(
        self, notes: Sequence[bytes], key: VerifierKey, verify: Verify, held: Checkpoint | None = None
    ) -> Verified:
        """What was verified (rules 2 to 5).

        Args:
            notes: The checkpoint notes that came with the log.
            key: The log's key, held by whoever verifies; never one that came with the log.
            verify: Checks a signature.
            held: A checkpoint of this log that was opened earlier and kept elsewhere.

        Raises:
            TamperedError: One of its kinds.
        """
        size = len(self._chains.leaves)
        if size == 0:
            raise LogEmptyError("the log holds no record")  # 1
        if held is not None and held.origin != key.name:
            raise OriginMismatchError(f"the checkpoint held is of `{held.origin}`, the key of `{key.name}`")
        checkpoints = _open_all(notes, key, verify)  # 2
        sizes = {one.size for one in (*checkpoints, *((held,) if held else ()))}
        inside = {claim.size for claim in self._claims if 0 <= claim.size <= claim.index}
        roots = _roots(self._chains.leaves, {one for one in sizes if one <= size} | inside)
        if held is not None:
            _require_held(held, size, roots.get(held.size))  # 3
        for checkpoint in checkpoints:
            _require_root(checkpoint, size, roots.get(checkpoint.size))  # 4
        for claim in self._claims:
            _require_claim(claim, roots.get(claim.size))  # 5
        covered, seen = max(sizes), self._chains.seen()
        return Verified(
            origin=key.name,
            namespaces=seen.namespaces,
            size=size,
            covered=covered,
            root=roots[covered],
            heads=seen.heads,
            checkpoints=len(checkpoints),
            held=None if held is None else held.size,
        )


def verify_log(
    records: Iterable[bytes],
    *,
    notes: Sequence[bytes],
    key: VerifierKey,
    verify: Verify,
    held: Checkpoint | None = None,
) -> Verified:
    """What was verified of a log, by the procedure above.

    Args:
        records: The exact bytes of all records, in log order.
        notes: The checkpoint notes that came with it.
        key: The log's key, held by whoever verifies; never one that came with the log.
        verify: Checks a signature.
        held: A checkpoint of this log that was opened earlier and kept elsewhere.

    Raises:
        TamperedError: One of its kinds: what kind of tampering, and where.
    """
    verifier = LogVerifier()
    for raw in records:
        verifier.take(raw)
    return verifier.finish(notes, key, verify, held)


def _open_all(notes: Sequence[bytes], key: VerifierKey, verify: Verify) -> tuple[Checkpoint, ...]:
    checkpoints = tuple(open_checkpoint(note, key, verify) for note in notes)
    if not checkpoints:
        raise CheckpointMissingError("no checkpoint came with the log")
    roots: dict[int, bytes] = {}
    for one in checkpoints:
        if roots.setdefault(one.size, one.root) != one.root:
            raise CheckpointForkedError(f"two checkpoints of size {one.size} have different roots")
    return checkpoints


def _roots(leaves: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    """The log's root at each of these sizes, none of them larger than the log."""
    roots = {}
    frontier = EMPTY_FRONTIER
    for size in sorted(sizes):
        frontier = grow(frontier, leaves[frontier.size : size]).frontier
        roots[size] = frontier.root
    return roots


def _require_held(held: Checkpoint, size: int, root: bytes | None) -> None:
    if root is None:
        raise LogTruncatedError(f"the log has {size} records; the checkpoint held covers {held.size}")
    if root != held.root:
        raise LogForkedError(
            f"the first {held.size} records are not those that the checkpoint held was signed for"
        )


def _require_root(checkpoint: Checkpoint, size: int, root: bytes | None) -> None:
    if root is None:
        raise LogTruncatedError(f"the log has {size} records; its checkpoint covers {checkpoint.size}")
    if root != checkpoint.root:
        raise RootMismatchError(
            f"the first {checkpoint.size} records don't add up to the root of their checkpoint"
        )


def _require_claim(claim: _Claim, root: bytes | None) -> None:
    # No record can name the root of a tree that holds itself, so what it names rightly stands before it.
    if root is None or root.hex() != claim.root:
        where = f"record {claim.index}"
        raise ClaimMismatchError(
            f"{where} names a checkpoint of size {claim.size} that is not of what stands before it",
            where=where,
        )


MAX_LINE: Final = 64 * MAX_NOTE
"""Bytes in the longest line: that of the checkpoints."""

_FORMAT: Final = "taskbound-audit"
_LAST: Final = b'{"checkpoints":'


def render_export(origin: str, records: Iterable[bytes], notes: Sequence[bytes]) -> Iterator[bytes]:
    """The lines of an export, each with its line feed."""
    yield _render_header(origin) + b"\n"
    for raw in records:
        yield raw + b"\n"
    yield _render_notes(notes) + b"\n"


def parse_header(line: bytes) -> str:
    """The origin of the log that an export says it holds, from its first line (rule 1).

    Raises:
        ExportMalformedError: This is no export.
        RecordVersionError: It is one of another version.
    """
    value = _read(line)
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise ExportMalformedError("the first line does not say that this is an export of an audit log")
    if value.get("v") != VERSION or isinstance(value.get("v"), bool):
        raise RecordVersionError(f"the export is not of version {VERSION}")
    origin = value.get("origin")
    if not isinstance(origin, str) or _render_header(origin) != line:
        raise ExportMalformedError("the first line is not in its one form")
    return origin


def verify_export(
    lines: Iterable[bytes], *, key: VerifierKey, verify: Verify, held: Checkpoint | None = None
) -> Verified:
    """What was verified of an export, by the procedure of `verify_log`.

    Args:
        lines: The file's lines, each with its line feed, as an open binary file gives them.
        key: The log's key, held by whoever verifies; never one that came with the export.
        verify: Checks a signature.
        held: A checkpoint of this log that was opened earlier and kept elsewhere.

    Raises:
        TamperedError: One of its kinds: what kind of tampering, and where.
    """
    rest = (_strip(line) for line in lines)
    first = next(rest, None)
    if first is None:
        raise ExportTruncatedError("the export is empty")
    origin = parse_header(first)
    if origin != key.name:
        raise OriginMismatchError(f"the export is of `{origin[:128]!a}`, the key of `{key.name}`")
    verifier = LogVerifier()
    for line in rest:
        if line.startswith(_LAST):
            notes = _parse_notes(line)
            if next(rest, None) is not None:
                raise ExportMalformedError("the export goes on after its last line")
            return verifier.finish(notes, key, verify, held)
        verifier.take(line)
    raise ExportTruncatedError("the export ends without its checkpoints")


def _strip(line: bytes) -> bytes:
    """The line without its line feed (rules 2 and 3)."""
    if not line.endswith(b"\n"):
        raise ExportTruncatedError("the export ends in the middle of a line")
    if len(line) > (MAX_LINE if line.startswith(_LAST) else MAX_RECORD + 1):
        raise ExportMalformedError("a line is longer than any can be")
    return line[:-1]


def _render_header(origin: str) -> bytes:
    text = f'{{"format":"{_FORMAT}","origin":{quote_text(origin)},"v":{VERSION}}}'
    return text.encode(errors="replace")


def _render_notes(notes: Sequence[bytes]) -> bytes:
    try:
        texts = [quote_text(note.decode()) for note in notes]
    except UnicodeDecodeError as error:
        raise NoteMalformedError("a note is not UTF-8") from error
    return _LAST + f"[{','.join(texts)}]}}".encode()


def _parse_notes(line: bytes) -> tuple[bytes, ...]:
    value = _read(line)
    found = value.get("checkpoints") if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ExportMalformedError("the last line does not hold checkpoints")
    notes = tuple(str(one).encode(errors="replace") for one in found)
    if _render_notes(notes) != line:
        raise ExportMalformedError("the last line is not in its one form")
    return notes


def _read(line: bytes) -> object:
    try:
        value: object = loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ExportMalformedError("a line is not JSON") from error
    return value
