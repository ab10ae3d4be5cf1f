"""kill -9 of all that takes part in a server that is filled for its task: at each step, then at random.

That is egress, gateway, daemon, broker, a daemon with its egress, and the server itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dev.soaks.found import Found
from tests.crash.injecting import PLACES, injecting_at


def soak_injection(count: int, seed: int) -> Found:
    """Every place with everybody who can be killed there, and so many kills at random.

    After each, every login has a row, every credential that lives has its server, and no server another.
    """
    with tempfile.TemporaryDirectory(prefix="tb-") as folder, injecting_at(Path(folder)) as here:
        points = [(place, victim) for place in PLACES for victim in place.victims]
        for place, victim in points:
            here.strike(place, victim)
        here.require_over()
        rows = here.kill_at_random(count, seed)
    return Found(
        counted=f"{len(points)} points, {count:,} kills at random, {rows:,} credentials, none of them left"
    )
