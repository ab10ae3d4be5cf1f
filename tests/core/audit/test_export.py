from __future__ import annotations

import json
from io import BytesIO

import pytest

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.core.audit import (
    Checkpoint,
    ExportMalformedError,
    ExportTruncatedError,
    LogEmptyError,
    LogForkedError,
    LogTruncatedError,
    NoteMalformedError,
    OriginMismatchError,
    RecordMalformedError,
    RecordVersionError,
    TamperedError,
    Verified,
    parse_header,
    render_export,
    verify_export,
)
from tests.core.audit.logs import ORIGIN, Log, key_of, sample_log, verify


def lines_of(log: Log) -> list[bytes]:
    return list(render_export(ORIGIN, log.records, log.notes))


def check(lines: list[bytes], held: Checkpoint | None = None) -> Verified:
    return verify_export(lines, key=key_of(), verify=verify_ed25519, held=held)


def test_an_export_is_verified_as_its_log_is() -> None:
    log = sample_log()
    assert check(lines_of(log)) == verify(log.records, log.notes)


def test_an_export_is_a_line_that_says_what_it_is_then_the_exact_records_then_the_checkpoints() -> None:
    log = sample_log()
    first, *records, last = lines_of(log)
    assert first == b'{"format":"taskbound-audit","origin":"audit.example/one","v":1}\n'
    assert records == [raw + b"\n" for raw in log.records]
    assert json.loads(last) == {"checkpoints": [note.decode() for note in log.notes]}
    assert b"\n" not in last[:-1]


def test_an_export_is_read_from_a_file_line_by_line() -> None:
    log = sample_log()
    file = BytesIO(b"".join(lines_of(log)))
    assert verify_export(file, key=key_of(), verify=verify_ed25519).size == 14


def test_a_checkpoint_that_was_held_is_looked_at() -> None:
    log = sample_log()
    lines = lines_of(log)
    held = log.checkpoint()
    assert check(lines, held).covered == 14
    with pytest.raises(LogForkedError):
        check(lines, Checkpoint(origin=ORIGIN, size=3, root=bytes(32)))


def test_an_export_that_was_cut_anywhere_is_refused() -> None:
    whole = b"".join(lines_of(sample_log()))
    for end in range(len(whole)):
        with pytest.raises(TamperedError):
            check(list(BytesIO(whole[:end])))


def test_i47_every_byte_of_an_export_counts() -> None:
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a")
    log.checkpoint()
    whole = b"".join(lines_of(log))
    for at in range(len(whole)):
        for bit in (1, 4, 32, 128):
            changed = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            with pytest.raises(TamperedError):
                check(list(BytesIO(changed)))


def test_an_export_without_its_last_line_was_cut() -> None:
    with pytest.raises(ExportTruncatedError, match="without its checkpoints"):
        check(lines_of(sample_log())[:-1])
    with pytest.raises(ExportTruncatedError, match="empty"):
        check([])
    lines = lines_of(sample_log())
    with pytest.raises(ExportTruncatedError, match="middle of a line"):
        check([*lines[:-1], lines[-1][:-1]])


def test_a229_an_export_without_records_is_refused() -> None:
    empty = Log()
    empty.checkpoint()
    with pytest.raises(LogEmptyError):
        check(lines_of(empty))
    first, *_, last = lines_of(sample_log())
    with pytest.raises(LogEmptyError):
        check([first, last])


def test_an_export_that_lost_records_before_its_checkpoint_is_truncated() -> None:
    lines = lines_of(sample_log())
    with pytest.raises(LogTruncatedError):
        check([*lines[:10], lines[-1]])


def test_an_export_of_another_log_is_refused_by_its_first_line() -> None:
    log = sample_log()
    with pytest.raises(OriginMismatchError):
        check(list(render_export("audit.example/two", log.records, log.notes)))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", ExportMalformedError),
        (b"{}", ExportMalformedError),
        (b"[]", ExportMalformedError),
        (b"not json", ExportMalformedError),
        (b"\xff", ExportMalformedError),
        (b"[" * 50_000, ExportMalformedError),
        (b"9" * 5000, ExportMalformedError),
        (b'{"format":"other","origin":"audit.example/one","v":1}', ExportMalformedError),
        (b'{"format":"taskbound-audit","origin":"audit.example/one","v":0}', RecordVersionError),
        (b'{"format":"taskbound-audit","origin":"audit.example/one","v":2}', RecordVersionError),
        (b'{"format":"taskbound-audit","origin":"audit.example/one","v":true}', RecordVersionError),
        (b'{"format":"taskbound-audit","origin":"audit.example/one"}', RecordVersionError),
        (b'{"format":"taskbound-audit","origin":7,"v":1}', ExportMalformedError),
        (b'{"format":"taskbound-audit","v":1}', ExportMalformedError),
        (
            b'{"format":"taskbound-audit","hash":"sha1","origin":"audit.example/one","v":1}',
            ExportMalformedError,
        ),
        (b'{"origin":"audit.example/one","format":"taskbound-audit","v":1}', ExportMalformedError),
        (b' {"format":"taskbound-audit","origin":"audit.example/one","v":1}', ExportMalformedError),
        (b'{"format":"taskbound-audit","origin":"\\ud800","v":1}', ExportMalformedError),
    ],
    ids=lambda value: ascii(value[:60]) if isinstance(value, bytes) else None,
)
def test_i48_a_first_line_that_is_not_exactly_a_header_is_refused(
    line: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        parse_header(line)
    with pytest.raises(error):
        check([line + b"\n", *lines_of(sample_log())[1:]])


@pytest.mark.parametrize(
    "line",
    [
        b'{"checkpoints":{}}',
        b'{"checkpoints":null}',
        b'{"checkpoints":[7]}',
        b'{"checkpoints":["x"],"more":1}',
        b'{"checkpoints":["x", "y"]}',
        b'{"checkpoints":["\\u0078"]}',
        b'{"checkpoints":["\\ud800"]}',
        b'{"checkpoints":["x"]',
        b'{"checkpoints":["x"]} ',
        b'{"checkpoints":[' + b"[" * 20_000,
    ],
    ids=lambda line: ascii(line[:40]),
)
def test_a_last_line_that_is_not_exactly_checkpoints_is_refused(line: bytes) -> None:
    with pytest.raises(ExportMalformedError):
        check([*lines_of(sample_log())[:-1], line + b"\n"])


def test_an_export_that_goes_on_after_its_last_line_is_refused() -> None:
    lines = lines_of(sample_log())
    for more in (lines[-1], lines[3], b"\n"):
        with pytest.raises(ExportMalformedError, match="goes on"):
            check([*lines, more])


def test_blank_lines_and_other_line_ends_are_refused() -> None:
    lines = lines_of(sample_log())
    with pytest.raises(RecordMalformedError):
        check([*lines[:3], b"\n", *lines[3:]])
    with pytest.raises(ExportMalformedError):
        check([one.replace(b"\n", b"\r\n") for one in lines])
    with pytest.raises(RecordMalformedError):
        check([lines[0], *(one.replace(b"\n", b"\r\n") for one in lines[1:])])


def test_a_line_that_is_longer_than_any_can_be_is_refused_before_it_is_read() -> None:
    lines = lines_of(sample_log())
    with pytest.raises(ExportMalformedError, match="longer"):
        check([lines[0], b"[" * 100_000 + b"\n", *lines[1:]])
    with pytest.raises(ExportMalformedError, match="longer"):
        check([*lines[:-1], b'{"checkpoints":["' + b"x" * 5_000_000 + b'"]}\n'])


def test_a_note_that_is_not_text_is_not_exported() -> None:
    with pytest.raises(NoteMalformedError):
        list(render_export(ORIGIN, [], [b"\xff"]))
