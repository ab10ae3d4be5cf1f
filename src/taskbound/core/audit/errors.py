"""Errors of the audit log's readers.

`TamperedError` is a `MalformedError`, because no retry changes it. Unreadable bytes are in the same tree:
an attacker who can change a byte can also make a log unreadable, and neither may pass for a lesser fault.
"""

from __future__ import annotations

from taskbound.core.errors import MalformedError, UnavailableError


class TamperedError(MalformedError):
    """The log, or a proof or signature about it, is not what it claims to be."""

    code = "tampered"
    family = "tampered"
    remedy = "keep this copy as evidence and compare it with another copy or an older checkpoint"


class RecordMalformedError(TamperedError):
    """The bytes are not the canonical bytes of a record."""

    code = "record-malformed"


class RecordVersionError(TamperedError):
    """The record states a version unknown to this verifier; an older one is a downgrade."""

    code = "record-version-unknown"
    remedy = "verify with the version of Taskbound that wrote this log, or a newer one"


class EventUnknownError(TamperedError):
    """The record holds an event kind unknown to this verifier."""

    code = "event-unknown"
    remedy = "verify with the version of Taskbound that wrote this log, or a newer one"


class RecordTooLargeError(MalformedError):
    """The event exceeds the size of an entry and its text cannot be shortened."""

    code = "record-too-large"
    remedy = "log large content by its digest"


class ChainBrokenError(TamperedError):
    """A record does not name the hash of its writer's previous record."""

    code = "chain-broken"


class ChainUnopenedError(TamperedError):
    """A writer's first record in the log does not open its chain."""

    code = "chain-unopened"


class SequenceGapError(TamperedError):
    """A writer's records are missing or out of order."""

    code = "sequence-gap"


class WriterForkError(TamperedError):
    """A writer has two different records with one sequence number."""

    code = "writer-fork"


class RecordRepeatedError(TamperedError):
    """The log contains a record twice."""

    code = "record-repeated"


class HeadMissingError(TamperedError):
    """A record that a later writer saw is missing from the log before it."""

    code = "head-missing"


class TimeBackwardsError(TamperedError):
    """A writer's record is older than its previous record."""

    code = "time-backwards"


class LogEmptyError(TamperedError):
    """The log contains no record."""

    code = "log-empty"


class LogTruncatedError(TamperedError):
    """A checkpoint covers more records than the log holds."""

    code = "log-truncated"


class LogForkedError(TamperedError):
    """The log differs from the one that an independently kept checkpoint was signed for."""

    code = "log-forked"


class RootMismatchError(TamperedError):
    """The records do not hash to the root of a signed checkpoint."""

    code = "root-mismatch"


class ClaimMismatchError(TamperedError):
    """A record names a checkpoint that the records before it do not hash to."""

    code = "claim-mismatch"


class NoteMalformedError(TamperedError):
    """The bytes are not a signed note (C2SP signed-note)."""

    code = "note-malformed"


class CheckpointMalformedError(TamperedError):
    """The text of a note is not a checkpoint (C2SP tlog-checkpoint)."""

    code = "checkpoint-malformed"


class CheckpointMissingError(TamperedError):
    """The log came without a checkpoint, so no signature covers it."""

    code = "checkpoint-missing"
    remedy = "ask for an export that ends with a checkpoint, at least a second after the last record"


class CheckpointForkedError(TamperedError):
    """Two checkpoints of one log contradict each other."""

    code = "checkpoint-forked"


class OriginMismatchError(TamperedError):
    """A checkpoint is for another log."""

    code = "origin-mismatch"


class SignatureMissingError(TamperedError):
    """No trusted key signed this note."""

    code = "signature-missing"


class SignatureWrongError(TamperedError):
    """A signature in the name of a trusted key does not verify."""

    code = "signature-wrong"


class ProofMalformedError(TamperedError):
    """The bytes are not a proof file (C2SP tlog-proof)."""

    code = "proof-malformed"


class InclusionWrongError(TamperedError):
    """The proof does not show this record at this index."""

    code = "inclusion-wrong"


class ConsistencyWrongError(TamperedError):
    """The proof does not show that the newer tree only appends to the older one."""

    code = "consistency-wrong"


class ExportMalformedError(TamperedError):
    """The lines are not an export of the audit log."""

    code = "export-malformed"


class ExportTruncatedError(TamperedError):
    """The export ends before its last line."""

    code = "export-truncated"


class VerifierKeyError(MalformedError):
    """The text is not a verifier key (C2SP signed-note) of a supported type."""

    code = "verifier-key-malformed"
    remedy = "copy the whole verifier key: a name, `+`, eight hex digits, `+`, base64"


class TileMissingError(UnavailableError):
    """A tile that the proof needs is missing or too short."""

    code = "tile-missing"
