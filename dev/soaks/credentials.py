"""kill -9 of all that takes part in a credential's life: at each point of it, then at random.

That is broker, daemon and asker, the helper of a host, an OpenBao, a database and an authorization server.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.crash.grounds import GROUNDS
from tests.crash.minting import minting_at
from tests.crash.points import POINTS

KINDS = tuple(GROUNDS)
"""The systems, each of which is a soak of its own."""


def soak_credentials(kind: str, count: int, seed: int) -> Found:
    """Every point of the fault matrix for a kind of target, and so many kills at random.

    All that was minted is looked for, and so is whoever was let in. What nobody can end, as the kill lost it
    and it has no name, lives no longer than its row says.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tb-") as folder,
        minting_at(Path(folder), GROUNDS[kind]) as here,
    ):
        for point in POINTS[kind]:
            here.strike(point)
        here.end_task()
        here.require_over()
        here.start_task()
        lost = here.lost
        rows = here.kill_at_random(count, seed)
        left = here.left_behind()
    points = len(POINTS[kind])
    renewed = f", {here.renewed:,} times renewed" if here.ground.renews else ""
    return Found(
        counted=f"{points} points, {count:,} kills at random, {rows:,} credentials{renewed} with"
        f" {here.ground.opened:,} sessions, {_said(lost, left)}"
    )


def _said(lost: int, left: int) -> str:
    if not left:
        return "none of them left"
    return f"{left:,} lost with a kill ({lost:,} at the points) and said to live until when, none other left"
