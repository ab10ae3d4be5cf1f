"""What the log says of itself and of those who watch it: writers, checkpoints, deliveries."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


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
class StoreBegunAnew:
    """A person said that this store counts: a copy that was put back, or one that lacks what was seen."""

    kind: ClassVar[str] = "store-begun-anew"
    origin: str
    """The name of the log from here on; empty where the person gives it by hand."""
    held: int
    """Records of before that the store holds."""
    seen: int
    """Records that were seen of it; 0 where nobody could tell."""
    tasks: int
    """How many were ended for it, with all beneath them."""
    admissions: int
    sessions: int
    keys: int
    """Keys of tokens that were revoked: no token of before counts."""
    why: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something was brought to a monitor, or could not be."""

    kind: ClassVar[str] = "delivery"
    monitor: str
    subject: str
    outcome: str
    """`delivered`, `failed` or `overdue`."""
    detail: str = ""
