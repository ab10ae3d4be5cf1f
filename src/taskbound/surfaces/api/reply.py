"""The one answer to a request, and how an error leaves the daemon.

A fault carries the error's own code, words and advice; what a client makes of the code
is the client's surface's business.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from taskbound.core.errors import FAMILIES, DeniedError, TaskboundError, UnavailableError, error_class
from taskbound.core.policy.operation import StepUpError
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.wire.envelope import Answer


_log = logging.getLogger(__name__)


def family_of(code: str) -> str:
    """The family of an error by its code; what no error has is the word of a decision, which denies."""
    kind = error_class(code)
    return kind.family if kind is not None and kind.family else DeniedError.family


def fault_of(error: TaskboundError, *, operation: str = "", unproven: bool = False) -> Fault:
    """The error as one message; it is logged on the way.

    Args:
        error: What is wrong.
        operation: What was asked for.
        unproven: Whether it is about who asks, and not about what was asked. Who shows what their issuer does
            not stand behind now has proven nothing; what we can't read ourselves is no fault of theirs.
    """
    own = isinstance(error, UnavailableError) and not isinstance(error, IssuerUnreachableError)
    _log.log(
        FAMILIES[error.family].log_level,
        "%s: %s [%s]",
        operation or "a connection",
        error.message,
        error.code,
    )
    return Fault(
        code=error.code,
        message=error.message,
        advice=error.advice,
        where=error.where,
        family="unproven" if unproven and not own else error.family,
        acr=error.acr if isinstance(error, StepUpError) else "",
        within=error.within if isinstance(error, StepUpError) else 0,
    )


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
