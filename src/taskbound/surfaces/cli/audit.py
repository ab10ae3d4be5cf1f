"""`taskbound audit`: exports the log, proves single records, and verifies both offline."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from taskbound.core import audit
from taskbound.core.errors import TaskboundError
from taskbound.ports.signer import SignerUnavailableError
from taskbound.surfaces.cli.naming import whole_action
from taskbound.surfaces.cli.reading import BadInputError, read_file, read_lines, write_file
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import audit as wire

if TYPE_CHECKING:
    from collections.abc import Iterator


app = group("audit", "The append-only record of everything, and its proofs.")

NOT_COMPARED: Final = (
    "what is left of rates",
    "sign-ins, sessions, and what clients were admitted to",
    "what was used once (`claims`), and heartbeats",
    "the accounts and processes of a task",
    "who has a credential in hand, and how often its revocation was tried",
    "when a trust domain's bundle was last confirmed",
    "what was last seen of a tool",
    "how a server is started, and which agents are offered it",
    "purposes, notes and most reasons in words",
)
"""Of the rows: what no record says. Each table stands in `tests/stories/test_compared_tables.py`."""
PAGE: Final = 1000
WAIT: Final = 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST_EXPORT: Final = 1 << 34

KeyOption = Annotated[str, option("--key VKEY", "The log's key that you hold, or a file with it.")]


class RowsReport(msgspec.Struct, frozen=True, kw_only=True, tag="rows", tag_field="is"):
    """The differences between database rows and log records."""

    records: int
    actions: int
    tasks: int
    found: int
    differences: tuple[str, ...]
    """In words; the first thousand."""
    not_compared: tuple[str, ...]
    """What no record holds, or what is not followed."""


class RowsDifferError(audit.TamperedError):
    """Database rows differ from what the log's records say."""

    code = "rows-differ"
    remedy = "ask who reached the database; without another error the log itself holds"


class ExportReport(msgspec.Struct, frozen=True, kw_only=True, tag="exported", tag_field="is"):
    """What an export contains."""

    path: str
    origin: str
    records: int
    checkpoint: str
    key: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True, tag="verified", tag_field="is"):
    """What was verified, and what was not."""

    origin: str
    records: int
    covered: int
    uncovered: int
    root: str
    checkpoints: int
    held: int | None
    """Size of the checkpoint held elsewhere; without one a log recomputed with its own key passes."""
    key: str
    trusted: bool
    """Whether the user supplied the key; a key that came with the log proves nothing."""
    rows: RowsReport | None = None
    """Of the running log: how the database's rows compare with it."""


class IncludedReport(msgspec.Struct, frozen=True, kw_only=True, tag="included", tag_field="is"):
    """A record that a proof shows to be in the log."""

    origin: str
    index: int
    size: int
    record: str
    trusted: bool
    """Whether the user supplied the key."""


class ProofReport(msgspec.Struct, frozen=True, kw_only=True, tag="proved", tag_field="is"):
    """Where a proof and its record were written."""

    path: str
    record: str
    index: int


@command(app, "export", examples="taskbound audit export -o log.jsonl")
def export(
    session: Session,
    output: Annotated[str, option("--output -o FILE", "Write it there.")],
) -> None:
    """Write the whole log to one file that can be verified anywhere with the log's key."""
    last: list[wire.ExportPage] = []
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        origin = audit.parse_verifier_key(_log_key(session)).name
        records = _records(session, last)
        for line in audit.render_export(origin, records, _Notes(last)):
            count += 1
            yield line

    write_file(output, lines())
    page = last[-1]
    report = ExportReport(
        path=output,
        origin=audit.parse_verifier_key(page.key).name,
        records=count - 2,
        checkpoint=page.checkpoint,
        key=page.key,
    )
    session.screen.report(report)
    session.screen.line(f"{report.records} records written to {shown(output)}")
    session.screen.line("the log's key, to keep elsewhere:")
    session.screen.word(page.key)


@command(
    app,
    "verify",
    examples="taskbound audit verify log.jsonl --key log.vkey --checkpoint yesterday.checkpoint\n"
    "taskbound audit verify\n"
    "taskbound audit verify --proof act.tlog-proof --record act.record --key log.vkey",
)
def verify(
    session: Session,
    *,
    file: Annotated[
        str, argument("[FILE]", "An export of the log; without it, the running log and the database's rows.")
    ] = "",
    live: Annotated[bool, option("--live", "Changes nothing.", hidden=True)] = False,
    deep: Annotated[bool, option("--deep", "Changes nothing.", hidden=True)] = False,
    proof: Annotated[str, option("--proof FILE", "Verify a proof of one record.")] = "",
    record: Annotated[str, option("--record FILE", "The record of the proof.")] = "",
    key: KeyOption = "",
    checkpoint: Annotated[
        str, option("--checkpoint FILE", "A checkpoint, or an older export, held elsewhere.")
    ] = "",
) -> None:
    """Verify the running log and the database rows, or an exported log or a proof offline.

    Tampering is reported with its place.

    Bring a key and a checkpoint that you kept: an attacker with the log's key can recompute everything else.
    Without `--key` the daemon is asked for the key, which proves nothing. Without a file, database rows are
    compared with the running log too; what no record covers is listed as not compared.
    """
    if (file and proof) or ((live or deep) and (file or proof)):
        raise BadInputError("name one thing to verify: a FILE or `--proof FILE`, or neither for what runs")
    if proof:
        found_key = _read_key(key or _log_key(session))
        _verify_proof(session, proof, record, found_key, trusted=bool(key))
        return
    if file:
        found_key = _read_key(key or _log_key(session))
        held = _read_checkpoint(session, checkpoint, found_key) if checkpoint else None
        verified = audit.verify_export(
            read_lines(file), key=found_key, verify=session.plugs.verify, held=held
        )
        _report(session, _verify_report(verified, found_key, trusted=bool(key)))
        return
    _verify_running(session, key, checkpoint)


@command(app, "proof", examples="taskbound audit proof act_… -o act.tlog-proof")
def proof(
    session: Session,
    action: Annotated[str, argument("ACTION", "The action's id.")],
    output: Annotated[str, option("--output -o FILE", "Write the proof there.")],
    record: Annotated[str, option("--record FILE", "Write the record there; FILE.record without it.")] = "",
) -> None:
    """Write a proof that an action's decision is in the log; it can be verified without the log."""
    found = session.ask(wire.ProveRecord(action=whole_action(session, action)), wire.ProofFile, patience=15.0)
    beside = record or f"{output}.record"
    write_file(output, [found.proof.encode()])
    write_file(beside, [found.record.encode()])
    session.screen.report(ProofReport(path=output, record=beside, index=found.index))
    session.screen.line(f"record {found.index} is proved by {shown(output)}; the record is {shown(beside)}")


@command(app, "tail", examples="taskbound audit tail\ntaskbound audit tail -f")
def tail(
    session: Session,
    follow: Annotated[bool, option("--follow -f", "Go on with what comes.")] = False,
    limit: Annotated[int, option("--limit", "Start with so many.", min=1, max=1000)] = 20,
) -> None:
    """Show the newest records. `--follow --json` prints each page as one JSON document per line."""
    page = session.ask(wire.TailAudit(limit=limit), wire.ExportPage)
    while True:
        if session.screen.json:
            session.screen.document(page)
        for number, text in enumerate(page.records):
            session.screen.line(_line(page.start + number, text))
        if not follow:
            return
        after = page.start + len(page.records) - 1
        page = session.ask(
            wire.TailAudit(after=after, limit=PAGE, wait=WAIT), wire.ExportPage, patience=WAIT + 10.0
        )


class _Notes(list[bytes]):
    """The checkpoint notes of the last page; valid only after all records were read."""

    def __init__(self, pages: list[wire.ExportPage]) -> None:
        super().__init__()
        self._pages = pages

    def __iter__(self) -> Iterator[bytes]:
        return iter([self._pages[-1].checkpoint.encode()] if self._pages[-1].checkpoint else [])


def _records(session: Session, pages: list[wire.ExportPage]) -> Iterator[bytes]:
    start = 0
    while True:
        page = session.ask(wire.ExportAudit(start=start, limit=PAGE), wire.ExportPage, patience=30.0)
        for text in page.records:
            yield text.encode()
        pages[:] = [page]
        start += len(page.records)
        if start >= page.size or not page.records:
            return


def _log_key(session: Session) -> str:
    key = session.ask(wire.ExportAudit(limit=1), wire.ExportPage).key
    if not key:
        raise SignerUnavailableError(
            "the daemon has not reached its signer, which names the log's key",
            remedy="look with `taskbound doctor` what is wrong with the signer, and try again",
        )
    return key


def _read_key(told: str) -> audit.VerifierKey:
    text = told if "+" in told else read_file(told, largest=4096).decode("utf-8", "replace")
    return audit.parse_verifier_key(text.strip())


def _read_checkpoint(session: Session, name: str, key: audit.VerifierKey) -> audit.Checkpoint:
    raw = read_file(name, largest=_LARGEST_EXPORT)
    if raw.startswith(b"{"):
        raw = _last_note(raw)
    return audit.open_checkpoint(raw, key, session.plugs.verify)


def _last_note(raw: bytes) -> bytes:
    for line in reversed(raw.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        found = (value.get("checkpoints") or [value.get("checkpoint")]) if isinstance(value, dict) else []
        if found and isinstance(found[-1], str):
            return found[-1].encode()
    raise BadInputError("the file holds no checkpoint")


def _verify_proof(session: Session, name: str, record: str, key: audit.VerifierKey, *, trusted: bool) -> None:
    raw = read_file(record or f"{name}.record")
    found = audit.verify_proof(raw, audit.parse_proof(read_file(name)), key, session.plugs.verify)
    report = IncludedReport(
        origin=found.checkpoint.origin,
        index=found.index,
        size=found.checkpoint.size,
        record=raw.decode("utf-8", "replace"),
        trusted=trusted,
    )
    session.screen.report(report)
    session.screen.status("ok", f"record {found.index} stands in {found.checkpoint.origin}")
    session.screen.line(_line(found.index, report.record))
    if not trusted:
        _say_untrusted(session)


def _verify_running(session: Session, key: str, checkpoint: str) -> None:
    """Verify the running log, then compare rows even if the log is wrong: either may be edited."""
    wrong: TaskboundError | None = None
    report: VerifyReport | None = None
    try:
        report = _verify_log(session, key, checkpoint)
    except audit.TamperedError as error:
        wrong = error
    try:
        rows = _compare(session)
    except TaskboundError as error:
        raise wrong or error from error
    if report is not None:
        _report(session, msgspec.structs.replace(report, rows=rows))
    else:
        session.screen.report(rows)
    _say_rows(session, rows)
    if wrong is not None:
        raise wrong
    if rows.found:
        raise RowsDifferError(f"{rows.found} rows are not what the log's records say")


def _verify_log(session: Session, key: str, checkpoint: str) -> VerifyReport:
    pages: list[wire.ExportPage] = []
    records = tuple(_records(session, pages))
    found_key = _read_key(key or _log_key(session))
    held = _read_checkpoint(session, checkpoint, found_key) if checkpoint else None
    notes = [one.encode() for one in [pages[-1].checkpoint] if one]
    verified = audit.verify_log(records, notes=notes, key=found_key, verify=session.plugs.verify, held=held)
    return _verify_report(verified, found_key, trusted=bool(key))


def _compare(session: Session) -> RowsReport:
    screen = session.screen
    found = session.ask(wire.CompareRows(anew=True), wire.RowsCompared, patience=30.0)
    while not found.ended:
        screen.note(f"{found.done} of {found.total} records", "dim")
        found = session.ask(wire.CompareRows(), wire.RowsCompared, patience=30.0)
    return RowsReport(
        records=found.done,
        actions=found.actions,
        tasks=found.tasks,
        found=found.found,
        differences=found.differences,
        not_compared=NOT_COMPARED,
    )


def _say_rows(session: Session, rows: RowsReport) -> None:
    screen = session.screen
    for words in rows.differences:
        screen.status("bad", words)
    if not rows.found:
        screen.status(
            "ok", f"{rows.actions} actions and {rows.tasks} tasks are as {rows.records} records say"
        )
    screen.line(f"not compared: {'; '.join(rows.not_compared)}")


def _say_untrusted(session: Session) -> None:
    session.screen.status(
        "warn",
        "the key is the one that the daemon names: it shows no more than that the log agrees with itself",
        "give the one that you hold with `--key`",
    )


def _verify_report(verified: audit.Verified, key: audit.VerifierKey, *, trusted: bool) -> VerifyReport:
    return VerifyReport(
        origin=verified.origin,
        records=verified.size,
        covered=verified.covered,
        uncovered=verified.uncovered,
        root=verified.root.hex(),
        checkpoints=verified.checkpoints,
        held=verified.held,
        key=key.text,
        trusted=trusted,
    )


def _report(session: Session, report: VerifyReport) -> None:
    screen = session.screen
    screen.report(report)
    screen.status("ok", f"{report.covered} of {report.records} records are as {report.origin} signed them")
    if report.uncovered:
        screen.status("warn", f"the last {report.uncovered} records are not covered by a checkpoint yet")
    if report.held is None:
        screen.status(
            "warn",
            "no checkpoint kept elsewhere: an attacker with the log's key could have recomputed it",
            "keep checkpoints where the log's keeper can't reach them, and give one with `--checkpoint`",
        )
    if not report.trusted:
        _say_untrusted(session)


def _line(index: int, text: str) -> str:
    try:
        record = audit.parse_record(text.encode())
    except audit.TamperedError as error:
        return f"{index:>7}  (no record: {shown(error.message)})"
    event = json.loads(text)["event"]
    words = " ".join(
        f"{name}={_short(value)}"
        for name, value in event.items()
        if name not in {"kind", "proof"} and value not in ("", [], None)
    )
    return f"{index:>7}  {moment(record.at)}  {record.event.kind:<22} {words}"


def _short(value: object) -> str:
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:12]}…"
    return json.dumps(value, ensure_ascii=False)
