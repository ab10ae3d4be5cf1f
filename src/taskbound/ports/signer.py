"""Whoever vouches for the log: the signer, the key it signs with, and its own memory of what it signed.

The port exists for a security reason: the process that decides and records must not reach a signing key, and
must not be able to have two contradicting checkpoints signed, whoever has taken it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Checkpoint


class OriginUnknownError(DeniedError):
    """The signer signs for other logs, not for this one."""

    code = "origin-unknown"
    remedy = "give the signer the log's origin when it starts"


class CheckpointOlderError(DeniedError):
    """The signer has signed for a larger log already."""

    code = "checkpoint-older"
    remedy = "ask what it signed last; a store restored from a backup needs a log with a new origin"


class SignerUnavailableError(UnavailableError):
    """The signer can't be reached, or can't make durable what it is about to sign."""

    code = "signer-unavailable"


class Signer(Protocol):
    """Signs checkpoints; the asker MUST have made the order of the first ``size`` records durable before."""

    def verifier_key(self, origin: str) -> str:
        """The log's public key as a vkey (C2SP signed-note).

        Raises:
            OriginUnknownError: It doesn't sign for this log.
        """

    def last_signed(self, origin: str) -> Checkpoint:
        """What was signed last, also when its signature never arrived; size 0 when nothing was.

        Raises:
            OriginUnknownError: It doesn't sign for this log.
            SignerUnavailableError: It can't say.
        """

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """A signed note of the checkpoint.

        MUST hold it durably before the signature leaves, and MUST sign nothing that is not proven to only
        append to all that it signed before. Asked again for what it signed last, it MUST give the same bytes.

        Args:
            origin: Which log.
            size: How many records it has.
            root: Their root.
            proof: The consistency proof (RFC 9162 §2.1.4) from the size that was signed last; not looked at
                when asked again for what was signed last.

        Raises:
            OriginUnknownError: It doesn't sign for this log.
            CheckpointOlderError: It has signed for a larger log.
            TamperedError: The log does not only append to what was signed.
            SignerUnavailableError: It couldn't make it durable; nothing was signed.
        """


class SigningKey(Protocol):
    """An Ed25519 key that stays where it is."""

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes (RFC 8032 §5.1.6). MUST be the same for the same message."""


class SignedHeads(Protocol):
    """The signer's own memory: per log, the newest checkpoint that it was about to sign."""

    def read(self, origin: str) -> Checkpoint:
        """What was written last; size 0 when nothing was.

        MUST raise when the memory is gone: an empty memory is one that was made so.

        Raises:
            SignerUnavailableError: It can't be read.
        """

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace what is remembered of its log.

        MUST be durable on return, also when the same was written before. When it raises, either the old or
        the new is remembered.

        Raises:
            SignerUnavailableError: It can't be made durable.
        """
