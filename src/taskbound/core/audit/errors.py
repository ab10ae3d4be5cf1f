"""What the audit log's readers say when the log is not what it claims to be.

`TamperedError` is a `MalformedError`: the input (an export, a record, a note, a proof) is not
what it claims to be. Nobody can grant an exception to that (`DeniedError`), and asking again changes nothing
(`UnavailableError`). Bytes that can't be read as a record, a note or a proof at all are in the same tree:
whoever can change a byte of a log can also make it unreadable, and neither may pass for a lesser fault.

    TamperedError
    ├── one record       record-malformed  record-version-unknown  event-unknown
    ├── a writer's chain chain-broken  chain-unopened  sequence-gap  writer-fork  record-repeated
    │                    head-missing  time-backwards
    ├── the whole log    log-empty  log-truncated  log-forked  root-mismatch  claim-mismatch
    ├── a checkpoint     note-malformed  checkpoint-malformed  checkpoint-missing  checkpoint-forked
    │                    origin-mismatch  signature-missing  signature-wrong
    ├── a proof          proof-malformed  inclusion-wrong  consistency-wrong
    └── an export        export-malformed  export-truncated
"""

from __future__ import annotations

from taskbound.core.errors import MalformedError, UnavailableError


class TamperedError(MalformedError):
    """The log, or what vouches for it, is not what it claims to be."""

    code = "tampered"
    family = "tampered"
    remedy = "keep this copy as evidence and compare it with another copy or an older checkpoint"


class RecordMalformedError(TamperedError):
    """These bytes are not the canonical bytes of a record."""

    code = "record-malformed"


class RecordVersionError(TamperedError):
    """The record states a version that this verifier doesn't know; an older one is a downgrade."""

    code = "record-version-unknown"
    remedy = "verify with the version of Taskbound that wrote this log, or a newer one"


class EventUnknownError(TamperedError):
    """The record holds a kind of event that this verifier doesn't know."""

    code = "event-unknown"
    remedy = "verify with the version of Taskbound that wrote this log, or a newer one"


class RecordTooLargeError(MalformedError):
    """The event needs more bytes than an entry may have, and none of its text may be shortened."""

    code = "record-too-large"
    remedy = "log large content by its digest"


class ChainBrokenError(TamperedError):
    """A record doesn't name the hash of its writer's record before it."""

    code = "chain-broken"


class ChainUnopenedError(TamperedError):
    """A writer's first record here is not the one that opens its chain."""

    code = "chain-unopened"


class SequenceGapError(TamperedError):
    """Records of a writer are missing, or out of order."""

    code = "sequence-gap"


class WriterForkError(TamperedError):
    """A writer has two different records with one sequence number."""

    code = "writer-fork"


class RecordRepeatedError(TamperedError):
    """One record stands in the log twice."""

    code = "record-repeated"


class HeadMissingError(TamperedError):
    """A record that a later writer saw is not in the log before it."""

    code = "head-missing"


class TimeBackwardsError(TamperedError):
    """A writer's record is older than its record before it."""

    code = "time-backwards"


class LogEmptyError(TamperedError):
    """There is no record to verify."""

    code = "log-empty"


class LogTruncatedError(TamperedError):
    """A checkpoint covers more records than the log holds."""

    code = "log-truncated"


class LogForkedError(TamperedError):
    """The log is not the one that a checkpoint held elsewhere was signed for."""

    code = "log-forked"


class RootMismatchError(TamperedError):
    """The records don't add up to the root of a signed checkpoint."""

    code = "root-mismatch"


class ClaimMismatchError(TamperedError):
    """A record names a checkpoint that the records before it don't add up to."""

    code = "claim-mismatch"


class NoteMalformedError(TamperedError):
    """These bytes are not a signed note (C2SP signed-note)."""

    code = "note-malformed"


class CheckpointMalformedError(TamperedError):
    """The text of a note is not a checkpoint (C2SP tlog-checkpoint)."""

    code = "checkpoint-malformed"


class CheckpointMissingError(TamperedError):
    """No checkpoint came with the log, so nothing vouches for it."""

    code = "checkpoint-missing"
    remedy = "ask for an export that ends with a checkpoint, at least a second after the last record"


class CheckpointForkedError(TamperedError):
    """Two checkpoints of one log contradict each other."""

    code = "checkpoint-forked"


class OriginMismatchError(TamperedError):
    """A checkpoint speaks for another log."""

    code = "origin-mismatch"


class SignatureMissingError(TamperedError):
    """No trusted key signed this note."""

    code = "signature-missing"


class SignatureWrongError(TamperedError):
    """A signature in the name of a trusted key doesn't verify."""

    code = "signature-wrong"


class ProofMalformedError(TamperedError):
    """These bytes are not a proof file (C2SP tlog-proof)."""

    code = "proof-malformed"


class InclusionWrongError(TamperedError):
    """The proof doesn't show that this record stands in the log at this index."""

    code = "inclusion-wrong"


class ConsistencyWrongError(TamperedError):
    """The proof doesn't show that the newer tree only appends to the older one."""

    code = "consistency-wrong"


class ExportMalformedError(TamperedError):
    """These lines are not an export of the audit log."""

    code = "export-malformed"


class ExportTruncatedError(TamperedError):
    """The export ends before its last line."""

    code = "export-truncated"


class VerifierKeyError(MalformedError):
    """This text is not a verifier key (C2SP signed-note), or of a kind that can't be used here."""

    code = "verifier-key-malformed"
    remedy = "copy the whole verifier key: a name, `+`, eight hex digits, `+`, base64"


class TileMissingError(UnavailableError):
    """A tile of the tree that a proof needs is not there, or too short."""

    code = "tile-missing"
