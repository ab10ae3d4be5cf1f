"""What the daemon asks of the signer."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from taskbound.wire.connection import Fault
from taskbound.wire.frame import Message

__all__ = [
    "LastSigned",
    "Sign",
    "Signed",
    "SignerAnswer",
    "SignerAsk",
    "VerifierKey",
    "answer_decoder",
    "ask_decoder",
]


class Sign(Message, frozen=True, tag="signer:sign", tag_field="op"):
    """Ask for a signature over a checkpoint."""

    origin: str
    size: int
    root: bytes
    proof: tuple[bytes, ...]
    """Consistency proof from the size that was signed last (RFC 9162 §2.1.4)."""


class LastSigned(Message, frozen=True, tag="signer:last", tag_field="op"):
    """Ask what was signed last, and for the log's public key."""

    origin: str


class Signed(Message, frozen=True, tag="signed", tag_field="is"):
    """The note of a checkpoint."""

    note: bytes


class VerifierKey(Message, frozen=True, tag="key", tag_field="is"):
    """What was signed last, and the key that signs."""

    origin: str
    size: int
    root: bytes
    key: str


SignerAsk: TypeAlias = Sign | LastSigned
SignerAnswer: TypeAlias = Signed | VerifierKey | Fault

ask_decoder = msgspec.json.Decoder(SignerAsk)
"""Reads what the daemon sends."""
answer_decoder = msgspec.json.Decoder(SignerAnswer)
"""Reads what the signer sends."""
