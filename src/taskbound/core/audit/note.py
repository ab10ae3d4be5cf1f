"""Signed notes (C2SP signed-note v1.0.0): checkpoints and inclusion proofs. Signature checks are passed in.

1. Parsing is strict: UTF-8, no control character except line feed, signatures after the last blank line,
   each in its one form.
2. A signature in a trusted key's name that does not verify invalidates the note, even beside valid ones.
3. Signatures of other keys, even with the same name, are ignored.
4. A note without a trusted signature is refused.

A checkpoint is origin, decimal size and base64 root, one per line; further lines are signed but ignored.
The log's key has the origin as its name, so a trusted key is trusted for one log. In a proof file the
`extra` line is unauthenticated. The verifier supplies the record; a proof of another record fails (I-48).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.audit.errors import (
    CheckpointMalformedError,
    NoteMalformedError,
    OriginMismatchError,
    ProofMalformedError,
    SignatureMissingError,
    SignatureWrongError,
    VerifierKeyError,
)
from taskbound.core.audit.merkle import EMPTY_ROOT, HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion
from taskbound.core.audit.record import parse_record
from taskbound.core.dataclass import dataclass
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.audit.record import Record


LOG: Final = 0x01
"""Key type: Ed25519 over the note's text."""

COSIGNER: Final = 0x04
"""Key type: Ed25519 over a time and the note's text (C2SP tlog-cosignature)."""

MAX_NOTE: Final = 64 * 1024
"""Bytes in the longest note that is read."""

MAX_SIGNATURES: Final = 64
"""Signatures in the largest note that is read."""

_KEY_SIZE: Final = 32
_SIGNATURE_SIZES: Final = {LOG: 64, COSIGNER: 72}
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")


class Verify(Protocol):
    """Checks one Ed25519 signature."""

    def __call__(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Return if the signature is valid (RFC 8032 §5.1.7).

        MUST raise `SignatureWrongError` if it is not; any other error means "unavailable".
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with the name that it signs under."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.type]) + self.public)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """A signature in a note."""

    name: str
    id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedNote:
    """A parsed note with unverified signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNote:
    """A note's text with its trusted signing keys, at least one."""

    text: str
    signers: tuple[VerifierKey, ...]


def make_verifier_key(name: str, public: bytes, *, type: int = LOG) -> VerifierKey:  # noqa: A002  # C2SP's word
    if not name or "+" in name or any(one.isspace() for one in name) or _CONTROL.search(name):
        raise VerifierKeyError(f"`{name[:64]!a}` can't name a key")
    if type not in _SIGNATURE_SIZES:
        raise VerifierKeyError(f"keys of type {type} can't be used here")
    if len(public) != _KEY_SIZE:
        raise VerifierKeyError(f"an Ed25519 key has {_KEY_SIZE} bytes, not {len(public)}")
    return VerifierKey(name=name, type=type, public=public)


def parse_verifier_key(text: str) -> VerifierKey:
    name, _, rest = text.strip("\n").partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = read_base64(encoded)
    except ValueError as error:
        raise VerifierKeyError("the key is not base64") from error
    if not data:
        raise VerifierKeyError("a verifier key is a name, an id of eight hex digits and a key, joined by `+`")
    key = make_verifier_key(name, data[1:], type=data[0])
    if key.id.hex() != key_id:
        raise VerifierKeyError(f"the id `{key_id}` is of another key")
    return key


def parse_note(raw: bytes) -> UnverifiedNote:
    if len(raw) > MAX_NOTE:
        raise NoteMalformedError(f"a note is at most {MAX_NOTE} bytes long")
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise NoteMalformedError("the note is not UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteMalformedError("the note holds a control character")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise NoteMalformedError("the note does not end with a blank line and signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteMalformedError(f"the note has more than {MAX_SIGNATURES} signatures")
    return UnverifiedNote(text=text + "\n", signatures=tuple(_parse_signature(line) for line in lines))


def open_note(raw: bytes, keys: Iterable[VerifierKey], verify: Verify) -> OpenNote:
    """Raises NoteMalformedError, SignatureWrongError or SignatureMissingError."""
    note = parse_note(raw)
    trusted = {(key.name, key.id): key for key in keys}
    signers: dict[bytes, VerifierKey] = {}
    for one in note.signatures:
        key = trusted.get((one.name, one.id))
        if key is None:
            continue  # 3
        _verify_signature(key, one.signature, note.text, verify)  # 2
        signers[key.public] = key
    if not signers:
        raise SignatureMissingError("no trusted key signed this note")  # 4
    return OpenNote(text=note.text, signers=tuple(signers.values()))


def render_note(text: str, signatures: Iterable[tuple[VerifierKey, bytes]]) -> bytes:
    lines = [f"— {key.name} {_base64(key.id + signature)}\n" for key, signature in signatures]
    raw = f"{text}\n{''.join(lines)}".encode()
    if parse_note(raw).text != text:
        raise NoteMalformedError("this text can't be signed as a note")
    return raw


def read_base64(text: str) -> bytes:
    """Decodes canonical standard base64 with padding; raises ValueError for any other form."""
    data = b64decode(text, validate=True)
    if _base64(data) != text:
        raise ValueError("not in canonical form")
    return data


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _parse_signature(line: str) -> NoteSignature:
    found = _LINE.fullmatch(line)
    if found is None:
        raise NoteMalformedError("a signature line is a dash, a name and base64, with single spaces")
    try:
        data = read_base64(found[2])
    except ValueError as error:
        raise NoteMalformedError("a signature is not base64") from error
    if len(data) <= len(b"\0\0\0\0"):
        raise NoteMalformedError("a signature is too short to name its key")
    return NoteSignature(name=found[1], id=data[:4], signature=data[4:])


def _verify_signature(key: VerifierKey, signature: bytes, text: str, verify: Verify) -> None:
    if len(signature) != _SIGNATURE_SIZES[key.type]:
        raise SignatureWrongError(f"the signature of `{key.name}` has the wrong length")
    message = text.encode()
    if key.type == COSIGNER:
        time, signature = int.from_bytes(signature[:8]), signature[8:]
        message = f"cosignature/v1\ntime {time}\n".encode() + message
    verify(key.public, signature, message)


MAX_SIZE: Final = (1 << 63) - 1
"""Records in the largest log."""

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LINES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The root of the log's first ``size`` records."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Parses a note's text, to be trusted only after `open_note`; raises CheckpointMalformedError."""
    lines = text.split("\n")
    if lines[-1] or len(lines) <= _LINES or not all(lines[:-1]):
        raise CheckpointMalformedError("a checkpoint has three lines, none empty")
    origin, size, root = lines[:_LINES]
    if _SIZE.fullmatch(size) is None or int(size) > MAX_SIZE:
        raise CheckpointMalformedError(f"`{size[:32]!a}` is no size of a log")
    try:
        digest = read_base64(root)
    except ValueError as error:
        raise CheckpointMalformedError("the root is not base64") from error
    if len(digest) != HASH_SIZE:
        raise CheckpointMalformedError(f"a root has {HASH_SIZE} bytes, not {len(digest)}")
    if size == "0" and digest != EMPTY_ROOT:
        raise CheckpointMalformedError("the root of an empty log is the hash of nothing")
    return Checkpoint(origin=origin, size=int(size), root=digest)


def open_checkpoint(note: bytes, key: VerifierKey, verify: Verify) -> Checkpoint:
    """Verifies a note and parses its checkpoint; raises OriginMismatchError for another log."""
    if key.type != LOG:
        raise OriginMismatchError(f"`{key.name}` is the key of a witness, not of a log")
    checkpoint = parse_checkpoint(open_note(note, (key,), verify).text)
    if checkpoint.origin != key.name:
        raise OriginMismatchError(f"the checkpoint is of `{checkpoint.origin}`, the key of `{key.name}`")
    return checkpoint


_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_PROOF_FILE: Final = MAX_NOTE * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The unverified content of a proof file."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None
    """Carried along; nothing vouches for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Included(NoTruth):
    """The record is at this index of the log, according to this signed checkpoint."""

    record: Record
    index: int
    checkpoint: Checkpoint


def render_proof(proof: Proof) -> bytes:
    lines = [_FIRST]
    if proof.extra is not None:
        lines.append(f"extra {b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines.extend(b64encode(one).decode() for one in proof.hashes)
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + proof.note


def parse_proof(raw: bytes) -> Proof:
    """Parses a proof file without verification; raises ProofMalformedError."""
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
        raise ProofMalformedError(f"the file holds more than {MAX_PROOF} hashes, or a malformed one")
    return Proof(index=int(found[1]), hashes=hashes, note=note, extra=extra)


def verify_proof(raw: bytes, proof: Proof, key: VerifierKey, verify: Verify) -> Included:
    """Verifies a proof for the record `raw` with an independently held key; raises TamperedError."""
    record = parse_record(raw)
    checkpoint = open_checkpoint(proof.note, key, verify)
    verify_inclusion(leaf_hash(raw), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return Included(record=record, index=proof.index, checkpoint=checkpoint)


def _read(text: str) -> bytes:
    try:
        return read_base64(text)
    except ValueError as error:
        raise ProofMalformedError("a line is not base64") from error
