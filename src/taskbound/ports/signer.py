"""The log's signer, its key, and its own memory.

A security boundary: the deciding process must not reach a signing key, nor get two contradicting checkpoints
signed, even if compromised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Checkpoint


class OriginUnknownError(DeniedError):
    """The signer does not sign for this log."""

    code = "origin-unknown"
    remedy = "give the signer the log's origin when it starts"


class CheckpointOlderError(DeniedError):
    """The signer has signed a larger log."""

    code = "checkpoint-older"
    remedy = "ask what it signed last; a store restored from a backup needs a log with a new origin"


class SignerUnavailableError(UnavailableError):
    """The signer is unreachable, or cannot make its memory durable."""

    code = "signer-unavailable"


class Signer(Protocol):
    """Signs checkpoints; the caller MUST have made the first ``size`` records' order durable before."""

    def verifier_key(self, origin: str) -> str:
        """Returns the log's public key as a vkey (C2SP signed-note); raises OriginUnknownError."""

    def last_signed(self, origin: str) -> Checkpoint:
        """Returns the last checkpoint signed or about to be, size 0 if none."""

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """Returns a signed note of the checkpoint.

        MUST be durable before it returns, and MUST sign only what provably appends to all signed before.
        Asked again for the last, MUST return the same bytes. `proof` is the consistency proof (RFC 9162
        §2.1.4) from the last signed size, ignored then.

        Raises:
            OriginUnknownError: It does not sign for this log.
            CheckpointOlderError: It has signed a larger log.
            TamperedError: The log does not only append to what was signed.
            SignerUnavailableError: It could not be made durable; nothing was signed.
        """


class SigningKey(Protocol):
    """An Ed25519 key that never leaves its place."""

    @property
    def public(self) -> bytes:
        """Returns the public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Returns the signature, 64 bytes (RFC 8032 §5.1.6). MUST be deterministic."""


class SignedHeads(Protocol):
    """The signer's memory: per log, the newest checkpoint it was about to sign."""

    def read(self, origin: str) -> Checkpoint:
        """Returns size 0 if created empty. MUST raise SignerUnavailableError if unreadable or gone."""

    def write(self, checkpoint: Checkpoint) -> None:
        """MUST be durable on return, also for an equal one. On SignerUnavailableError old or new is kept."""
