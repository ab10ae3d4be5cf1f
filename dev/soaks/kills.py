"""kill -9 at random during decide-and-commit: the harness of `tests/crash`, run longer."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.crash.kills import kill_at_random


def soak_kills(count: int, seed: int) -> Found:
    """So many kills; after each the database is opened as a daemon does, and everything is looked at."""
    with tempfile.TemporaryDirectory(prefix="tb-soak-") as folder:
        acknowledged = kill_at_random(Path(folder), count, seed=seed)
    return Found(counted=f"{count:,} kills, {acknowledged:,} acknowledged writes, each of them there")
