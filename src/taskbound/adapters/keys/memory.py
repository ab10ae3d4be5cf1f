"""A signer's memory that ends with the process, for demos and tests."""

from __future__ import annotations

from taskbound.core.audit import EMPTY_ROOT, Checkpoint


class MemorySignedHeads:
    """The newest checkpoint that was about to be signed, per log."""

    def __init__(self) -> None:
        self._heads: dict[str, Checkpoint] = {}

    def read(self, origin: str) -> Checkpoint:
        """Returns the last checkpoint, of size 0 if there was no write."""
        return self._heads.get(origin, Checkpoint(origin=origin, size=0, root=EMPTY_ROOT))

    def write(self, checkpoint: Checkpoint) -> None:
        self._heads[checkpoint.origin] = checkpoint
