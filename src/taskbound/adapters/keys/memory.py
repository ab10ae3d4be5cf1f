"""A signer's memory that ends with the process: for demos, tests and logs that end with it too."""

from __future__ import annotations

from taskbound.core.audit import EMPTY_ROOT, Checkpoint


class MemorySignedHeads:
    """Remembers per log the newest checkpoint that was about to be signed."""

    def __init__(self) -> None:
        """Start with an empty memory."""
        self._heads: dict[str, Checkpoint] = {}

    def read(self, origin: str) -> Checkpoint:
        """What was written last; size 0 when nothing was."""
        return self._heads.get(origin, Checkpoint(origin=origin, size=0, root=EMPTY_ROOT))

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace what is remembered of its log."""
        self._heads[checkpoint.origin] = checkpoint
