"""The export of a log: one file that can be verified anywhere, with the log's key and nothing else.

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

from taskbound.core.audit.errors import (
    ExportMalformedError,
    ExportTruncatedError,
    NoteMalformedError,
    OriginMismatchError,
    RecordVersionError,
)
from taskbound.core.audit.log import LogVerifier
from taskbound.core.audit.note import MAX_NOTE
from taskbound.core.audit.quoting import quote_text
from taskbound.core.audit.record import MAX_RECORD, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.audit.checkpoint import Checkpoint
    from taskbound.core.audit.log import Verified
    from taskbound.core.audit.note import VerifierKey, Verify


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
