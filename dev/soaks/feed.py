"""The feed of two real daemons over one PostgreSQL: eight writers, and readers in processes of their own.

1. Half of the ends are written as fast as they commit, which is all that the machine has; the other half at a
   rate that leaves it room. What is missed, and what a reader was rested on for without having heard it, must
   be nothing in both; how late an end may be heard is looked at in the second: a second by who is connected,
   five by who was cut off and comes back, which is for how long a reader is rested on without having heard:
   the daemon that it asks then may be one that was killed just now.
2. Daemons are killed and started again, readers are cut off and started anew, and their answers lost.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from dev.soaks.found import Found, Spread
from tests.postgres import running
from tests.wiring.feeding import Came, Faults, run

_READERS: Final = 4
_PACE: Final = 500.0
"""Ends a second of the second half."""
_P99: Final = (1.0, 5.0)
"""Seconds after which 99 of a hundred ends are heard: by who was connected, and by who was cut off, from its
reconnection on."""


def soak_feed(count: int, seed: int) -> Found:
    """So many revoked tokens, of which each reader hears."""
    fast, slow = _run(count - count // 2, seed, Faults()), _run(count // 2, seed + 1, Faults(pace=_PACE))
    late = [Spread.of(waits).p99 > most for waits, most in zip(slow.waits(), _P99, strict=True) if waits]
    if any(late):
        raise AssertionError(f"seed {seed}: a gate was missed: {_told(slow)}")
    return Found(
        counted=f"{count:,} revoked, none missed by {_READERS} readers, none rested on that had not heard"
        f" what ended five seconds before; as fast as they commit: {_told(fast)}; at a rate that leaves room:"
        f" {_told(slow)}"
    )


def _run(count: int, seed: int, faults: Faults) -> Came:
    with tempfile.TemporaryDirectory(prefix="taskbound-feed-") as folder, running() as server:
        came = run(
            server.url(server.database()),
            Path(folder),
            count=count,
            seed=seed,
            readers=_READERS,
            faults=faults,
        )
    wrong = came.missed(), came.unheard(), came.refusals("other-log"), count - len(came.committed)
    if any(wrong):
        raise AssertionError(f"seed {seed}: missed, rested on, of other logs, not written: {wrong}")
    return came


def _told(came: Came) -> str:
    connected, cut = came.waits()
    clear, refused = came.looks()
    away = sum(len(one.away) for one in came.reports)
    lives = sum(len(one.lives) for one in came.reports)
    spoiled, left = (sum(getattr(one, name) for one in came.reports) for name in ("spoiled", "left"))
    return (
        f"{len(came.committed) / came.seconds:,.0f} a second, {came.held:,} transactions committed behind"
        f" others that began later, daemons killed {came.kills} times, {spoiled:,} answers lost, late or"
        f" twice ({left:,} of no use when they came); heard by who was connected after {_spread(connected)},"
        f" by who was cut off ({away} times) after its reconnection {_spread(cut)}; {lives} readers began"
        f" and had heard what is kept after {_spread(came.wholes())}, but {came.unfinished()} that were ended"
        f" before; rested on at {clear:,} looks, and not at {refused:,}"
    )


def _spread(seconds: list[float]) -> str:
    return str(Spread.of(seconds)) if seconds else "nothing"
