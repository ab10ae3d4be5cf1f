"""Random actions, shown as an approver sees them and read back, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
from typing import Final

from dev.soaks.found import Found
from tests.core.approval.sheets import random_sheet, require_whole

_TURN: Final = 500
_FAR: Final = 1_000_000_007
_CONTEXT: Final = multiprocessing.get_context("spawn")


def soak_sheet(count: int, seed: int) -> Found:
    """So many random actions: each is shown whole and read back as itself, or is too long to be held."""
    first = seed * _FAR
    turns = [(start, min(start + _TURN, first + count)) for start in range(first, first + count, _TURN)]
    with _CONTEXT.Pool() as pool:
        shown = sum(pool.imap_unordered(_turn, turns))
    return Found(counted=f"{count:,} actions: {shown:,} shown and read back, {count - shown:,} too long")


def _turn(bounds: tuple[int, int]) -> int:
    shown = 0
    for seed in range(*bounds):
        try:
            shown += require_whole(random_sheet(seed))
        except Exception as error:
            error.add_note(f"the action of seed {seed}")
            raise
    return shown
