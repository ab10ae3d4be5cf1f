"""Measuring two things by turns, so that what drifts on the machine drifts for both.

1. What is compared is run by turns: A, B, A, B; a ratio is of medians over the turns of one run.
2. Beside the time on the wall stands the processor's own (`process_time`), which other programs on the
   machine change less.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_MOST: Final = 0.99


@dataclass(slots=True)
class Timed:
    """What was timed of one thing: seconds for each piece of work, and of the processor."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Seconds of the processor for one piece of work, one number for each turn."""

    @property
    def median(self) -> float:
        """Half of the pieces took less."""
        return median(self.seconds)

    @property
    def p99(self) -> float:
        """Of a hundred pieces, 99 took less."""
        return percentile(self.seconds, _MOST)

    @property
    def cpu(self) -> float:
        """Median over the turns of the processor's time for a piece."""
        return median(self.processor)


def by_turns(things: Mapping[str, Callable[[], object]], *, turns: int, pieces: int) -> dict[str, Timed]:
    """Each thing timed, by turns (rule 1).

    Args:
        things: By name: one piece of work.
        turns: How often each has its turn.
        pieces: How often a piece is done in one turn.
    """
    timed = {name: Timed() for name in things}
    for work in things.values():
        work()
    for _ in range(turns):
        for name, work in things.items():
            gc.collect()
            _turn(timed[name], work, pieces)
    return timed


def _turn(timed: Timed, work: Callable[[], object], pieces: int) -> None:
    clock = time.perf_counter
    began = time.process_time()
    for _ in range(pieces):
        start = clock()
        work()
        timed.seconds.append(clock() - start)
    timed.processor.append((time.process_time() - began) / pieces)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def micro(seconds: float) -> str:
    """Seconds in microseconds, as a person reads them."""
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004 - three digits are enough


def rate(value: float) -> str:
    """So many in a second."""
    return f"{value:,.0f}"
