"""Messages about the audit log: export, proof, tail."""

from __future__ import annotations

from taskbound.wire.frame import Request, Response


class ExportAudit(Request, frozen=True, tag="audit:export", tag_field="op"):
    """Export records in log order, a page at a time."""

    start: int = 0
    limit: int = 1000


class ExportPage(Response, frozen=True, tag="export", tag_field="is"):
    """Exact record bytes in log order; the last page has the checkpoint notes and the uncovered tail."""

    start: int
    records: tuple[str, ...]
    """Each the exact canonical bytes as text."""
    size: int
    """Records in the log now."""
    checkpoint: str
    """The newest checkpoint note."""
    key: str
    """The log's public key (vkey), for convenience: trust only one that you hold."""


class ProveRecord(Request, frozen=True, tag="audit:proof", tag_field="op"):
    """Ask for an offline proof that an action's decision, or a record by index, is in the log."""

    action: str = ""
    index: int = -1


class ProofFile(Response, frozen=True, tag="proof", tag_field="is"):
    """A C2SP `.tlog-proof` file and the record that it proves."""

    proof: str
    record: str
    index: int


class TailAudit(Request, frozen=True, tag="audit:tail", tag_field="op"):
    """Ask for the newest records, or those after an index, waiting up to `wait` seconds for one."""

    after: int = -1
    limit: int = 50
    wait: int = 0


class CompareRows(Request, frozen=True, tag="audit:compare", tag_field="op"):
    """Compare the database's rows with the log's records; the answer has the progress."""

    anew: bool = False
    """Begin, unless a comparison is under way: then its end is waited for like any other's."""


class RowsCompared(Response, frozen=True, tag="rows-compared", tag_field="is"):
    """The progress of a comparison, and its result once it has ended."""

    done: int
    total: int
    """Records followed, and records in all."""
    ended: bool = False
    actions: int = 0
    tasks: int = 0
    found: int = 0
    differences: tuple[str, ...] = ()
    """In words; the first thousand."""
