"""The one answer to a request, and the conversion of errors to faults.

A fault carries the error's code, text and remedy; the client's surface decides what to do with the code.
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
    """Returns the family of an error code; a code without an error is a decision's, which denies."""
    kind = error_class(code)
    return kind.family if kind is not None and kind.family else DeniedError.family


def fault_of(error: TaskboundError, *, operation: str = "", unproven: bool = False) -> Fault:
    """Converts the error to a message, and logs it.

    `unproven` means that the error is about the caller's identity: a principal whose issuer does not stand
    behind it now counts as unproven, but our own read failures are not its fault.
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
    """The slot of one answer; used in the loop."""

    __slots__ = ("_operation", "give")

    def __init__(self, give: Callable[[Answer], None], operation: str) -> None:
        self.give = give
        self._operation = operation

    def after(self, say: Callable[[F], Answer]) -> Callable[[F], None]:
        """Returns a callback that converts a result and answers with it."""

        def take(found: F) -> None:
            try:
                answer = say(found)
            except Exception as error:  # noqa: BLE001 - the surface's outermost edge: an answer is due all the same
                self.fail(error)
            else:
                self.give(answer)

        return take

    def fail(self, error: Exception) -> None:
        """Answers with an error; an unexpected exception is described in the log only."""
        if isinstance(error, TaskboundError):
            self.give(fault_of(error, operation=self._operation))
            return
        _log.error("operation %s failed", self._operation, exc_info=error)
        self.give(fault_of(UnavailableError("this should not have happened; the daemon's log says more")))
