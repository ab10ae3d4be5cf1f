"""Proof files (C2SP tlog-proof v1): that one record stands in a log, to be verified without the log.

1. The file is a first line, an optional `extra` line that nothing vouches for, the index, the hashes beside
   the way up, a blank line, and the checkpoint note.
2. The record is not in the file: whoever verifies holds it, and a proof of another record fails (I-48).
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.checkpoint import MAX_SIZE, open_checkpoint
from taskbound.core.audit.errors import ProofMalformedError
from taskbound.core.audit.merkle import HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion
from taskbound.core.audit.note import MAX_NOTE, read_base64
from taskbound.core.audit.record import parse_record
from taskbound.core.dataclass import dataclass
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from taskbound.core.audit.checkpoint import Checkpoint
    from taskbound.core.audit.note import VerifierKey, Verify
    from taskbound.core.audit.record import Record


_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_PROOF_FILE: Final = MAX_NOTE * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proof file holds, unverified."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None
    """Carried along; nothing vouches for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Included(NoTruth):
    """The record stands in the log at this index, as the log's key vouched for at this checkpoint."""

    record: Record
    index: int
    checkpoint: Checkpoint


def render_proof(proof: Proof) -> bytes:
    """The bytes of the file (rule 1)."""
    lines = [_FIRST]
    if proof.extra is not None:
        lines.append(f"extra {b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines.extend(b64encode(one).decode() for one in proof.hashes)
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + proof.note


def parse_proof(raw: bytes) -> Proof:
    """The proof in a file, unverified (rule 1).

    Raises:
        ProofMalformedError: There is none.
    """
    if len(raw) > _MAX_PROOF_FILE:
        raise ProofMalformedError(f"a proof file is at most {_MAX_PROOF_FILE} bytes long")
    head, blank, note = raw.partition(b"\n\n")
    if not blank or not head.isascii():
        raise ProofMalformedError("the file has no blank line before the checkpoint")
    lines = head.decode().split("\n")
    if lines.pop(0) != _FIRST:
        raise ProofMalformedError(f"the first line is not `{_FIRST}`")
    extra = _read(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else None
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None or int(found[1]) > MAX_SIZE:
        raise ProofMalformedError("the file names no index")
    hashes = tuple(_read(line) for line in lines)
    if len(hashes) > MAX_PROOF or any(len(one) != HASH_SIZE for one in hashes):
        raise ProofMalformedError(f"the file holds more than {MAX_PROOF} hashes, or what is none")
    return Proof(index=int(found[1]), hashes=hashes, note=note, extra=extra)


def verify_proof(raw: bytes, proof: Proof, key: VerifierKey, verify: Verify) -> Included:
    """What the proof shows of a record.

    Args:
        raw: The record's exact bytes (rule 2).
        proof: The proof.
        key: The log's key, held by whoever verifies; never one that came with the proof.
        verify: Checks a signature.

    Raises:
        TamperedError: The bytes are no record, the checkpoint is not the log's, or the record is not in it.
    """
    record = parse_record(raw)
    checkpoint = open_checkpoint(proof.note, key, verify)
    verify_inclusion(leaf_hash(raw), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return Included(record=record, index=proof.index, checkpoint=checkpoint)


def _read(text: str) -> bytes:
    try:
        return read_base64(text)
    except ValueError as error:
        raise ProofMalformedError("a line is not base64") from error
