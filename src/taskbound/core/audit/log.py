"""Offline verification of a whole log, and its export format.

Checks run in this order, and the first failure is raised:

1. The log has a record; each is well-formed, continues its writer's chain and follows every head it names.
2. At least one checkpoint came along; each is signed by the log's key, which the verifier already holds,
   and no two contradict each other.
3. An independently kept checkpoint matches the log's root at its size. This detects a log that was
   recomputed and signed again with the log's own key.
4. Every checkpoint matches the log's root at its size.
5. Every checkpoint that a record names matches the records before it.

Only their chains protect the records after the last checkpoint; they are reported.

An export is JSON Lines in UTF-8 with LF: the canonical header
``{"format":"taskbound-audit","origin":…,"v":1}``, the records' exact bytes in log order, and the canonical
``{"checkpoints":["…",…]}``, oldest first. Without this last line the export was truncated.
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
        """The number of records after the last checkpoint."""
        return self.size - self.covered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    size: int
    root: str
    index: int


class LogVerifier:
    """Verifies a log incrementally, record by record."""

    def __init__(self) -> None:
        self._chains = ChainVerifier()
        self._claims: list[_Claim] = []

    def take(self, raw: bytes) -> Record:
        """Verifies the next record in log order; raises TamperedError, `where` is its index."""
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
    """Verifies a log; `key` and `held` must come from outside the log and its export."""
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
    yield _render_header(origin) + b"\n"
    for raw in records:
        yield raw + b"\n"
    yield _render_notes(notes) + b"\n"


def parse_header(line: bytes) -> str:
    """The log's origin from an export's first line; raises ExportMalformedError or RecordVersionError."""
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
    """Verifies an export, given as lines with their line feeds; the rest as for `verify_log`."""
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
