"""What the daemon is told of how the broker stands to the store.

1. Once on each connection, and when it is another: whoever asks the daemon how it is sees that.
2. What the log is to say is told until the daemon has written it, and forgotten then (`memory`).
3. What can't be told is told again after `AGAIN` seconds. It keeps nothing waiting but a mint.
4. Where there is no target, and nothing to be said of a doubt, the daemon isn't asked.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.broker import TellEpoch, TellReconciled

if TYPE_CHECKING:
    from taskbound.surfaces.broker.remembered import Untold
    from taskbound.surfaces.broker.steps import Desk


_log = logging.getLogger(__name__)
AGAIN: Final = 5.0
"""Seconds until what could not be told is told again."""


class Standings:
    """Tells it; used from one thread at a time."""

    def __init__(self, desk: Desk) -> None:
        """Tell with this."""
        self._desk = desk
        self._due = 0.0
        """On the clock that is never set."""

    def round(self, *, targets: int, left: int) -> None:
        """Tell what is to be told.

        Args:
            targets: How many there are.
            left: In how many of them something of before may be left.

        Raises:
            TaskboundError: The store can't be read, or what that shows can't be remembered.
        """
        desk = self._desk
        standing = desk.memory.look()
        is_quiet = standing.doubt is None and standing.untold is None
        if (is_quiet and not targets) or desk.watch.elapsed() < self._due:
            return  # 4, 3
        doubt = standing.doubt
        told = TellEpoch(epoch=standing.epoch)
        if doubt is not None:
            told = TellEpoch(epoch=standing.epoch, since=doubt.since, why=doubt.why.words, left=left)
        try:
            if standing.untold is not None:
                desk.authority.reconciled(_of(standing.untold))
                desk.memory.told(standing.untold)  # 2
            desk.authority.stand(told)  # 1
        except TaskboundError as error:
            _log.info("how the store stands is not taken: %s [%s]", error.message, error.code)
            self._due = desk.watch.elapsed() + AGAIN


def _of(untold: Untold) -> TellReconciled:
    return TellReconciled(
        epoch=untold.epoch,
        since=untold.since,
        why=untold.why.words,
        ended=untold.ended,
        targets=untold.targets,
    )
