"""What the log says of itself and of those who watch it: writers, checkpoints, deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "CheckpointSigned",
    "Delivery",
    "WriterStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStarted:
    """A process began to write; it names all that it knows of the log, so that none of it can vanish."""

    kind: ClassVar[str] = "writer-started"
    heads: tuple[str, ...]
    """``writer:seq:hash`` of each record that no other record names yet."""
    checkpoint_size: int
    checkpoint_root: str
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSigned:
    """The signer vouched for the log up to here."""

    kind: ClassVar[str] = "checkpoint-signed"
    origin: str
    size: int
    root: str
    key: str
    """The key's id in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something was brought to a monitor, or could not be."""

    kind: ClassVar[str] = "delivery"
    monitor: str
    subject: str
    outcome: str
    """`delivered`, `failed` or `overdue`."""
    detail: str = ""
