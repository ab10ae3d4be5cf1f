"""Where the answer to one request goes: exactly one, whatever goes wrong on the way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.surfaces.api.errors import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)

F = TypeVar("F")


class Reply:
    """The place of one answer; used in the loop."""

    __slots__ = ("_operation", "give")

    def __init__(self, give: Callable[[Answer], None], operation: str) -> None:
        """Give the answer there.

        Args:
            give: Takes the answer; called once.
            operation: What was asked for, as the log and the fault name it.
        """
        self.give = give
        self._operation = operation

    def after(self, say: Callable[[F], Answer]) -> Callable[[F], None]:
        """What takes a finding and answers with what is to be said of it."""

        def take(found: F) -> None:
            try:
                answer = say(found)
            except Exception as error:  # noqa: BLE001 - the surface's outermost edge: an answer is due all the same
                self.fail(error)
            else:
                self.give(answer)

        return take

    def fail(self, error: Exception) -> None:
        """Answer with what went wrong; what nobody foresaw is said in the log only."""
        if isinstance(error, TaskboundError):
            self.give(fault_of(error, operation=self._operation))
            return
        _log.error("operation %s failed", self._operation, exc_info=error)
        self.give(fault_of(UnavailableError("this should not have happened; the daemon's log says more")))
