"""kill -9 of broker, daemon and asker: at each point of a mint and a revocation, and then at random."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.crash.minting import minting_at
from tests.crash.points import POINTS
from tests.peers.minter import minting
from tests.wiring.running import until

__all__ = ["soak_credentials"]


def soak_credentials(count: int, seed: int) -> Found:
    """Every point of the fault matrix, and so many kills at random; all that was minted is looked for."""
    with (
        minting() as orders,
        tempfile.TemporaryDirectory(prefix="tb-") as folder,
        minting_at(Path(folder), orders) as here,
    ):
        for point in POINTS:
            here.strike(point)
        here.end_task()
        until(here.gone, "all that was minted is gone")
        here.start_task()
        rows = here.kill_at_random(count, seed)
    return Found(
        counted=f"{len(POINTS)} points, {count:,} kills at random, {rows:,} credentials, none of them left"
    )
