"""Checkpoints (C2SP tlog-checkpoint v1.0.0): a log's size and root under a name, signed as a note.

1. The text is the log's origin, its size in decimal, and its root in base64, a line each. Further lines
   are covered by the signature and mean nothing here.
2. The log's key bears the origin as its name, so trust in a key is trust in one log.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.errors import CheckpointMalformedError, OriginMismatchError
from taskbound.core.audit.merkle import EMPTY_ROOT, HASH_SIZE
from taskbound.core.audit.note import LOG, open_note, read_base64
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.audit.note import VerifierKey, Verify


MAX_SIZE: Final = (1 << 63) - 1
"""Records in the largest log."""

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LINES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log's first ``size`` records have this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed (rule 1)."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text (rule 1); trust it only when the note was opened.

    Raises:
        CheckpointMalformedError: There is none.
    """
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
    """The checkpoint that the log's key signed.

    Raises:
        TamperedError: `NoteMalformedError`, `SignatureMissingError`, `SignatureWrongError`,
            `CheckpointMalformedError`, or `OriginMismatchError` when it speaks for another log (rule 2).
    """
    if key.type != LOG:
        raise OriginMismatchError(f"`{key.name}` is the key of a witness, not of a log")
    checkpoint = parse_checkpoint(open_note(note, (key,), verify).text)
    if checkpoint.origin != key.name:
        raise OriginMismatchError(f"the checkpoint is of `{checkpoint.origin}`, the key of `{key.name}`")
    return checkpoint
