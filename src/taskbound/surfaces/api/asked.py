"""What waits for a turn of the daemon's worker: calls with their connection, and what of it is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.flows.action import Report
    from taskbound.flows.approval.look.looking import Sight
    from taskbound.flows.decision import Watched
    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.action import Decide


SMALL: Final = 65_536
"""Bytes of arguments, or of an answer, up to which a job is small: some milliseconds at most."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call, and the connection that it came on."""

    connection: Connection
    ask: Decide
    sight: Sight | None = None
    """What was seen for it."""
    rounds: int = 0
    """How often something was looked at for it."""
    until: float | None = None
    """The instant of the loop's clock by which its gateway has an answer, once something is looked at."""
    watch: Watched | None = None
    """Who is told how long it takes to decide it."""
    unwatched: bool = False
    """Whether who asks will tell nothing of what came of it."""
    subject: str = ""
    """Whom they say that it is for."""


def is_small_report(report: Report) -> bool:
    """Whether it is some milliseconds of work at most."""
    return report.answer is None or len(report.answer) <= SMALL


def is_small_call(asked: Asked) -> bool:
    """Whether it is some milliseconds of work at most."""
    return len(asked.ask.arguments) <= SMALL


def do_all(works: Sequence[Callable[[], None]]) -> list[None]:
    """Do all of them, in order."""
    for work in works:
        work()
    return [None] * len(works)
