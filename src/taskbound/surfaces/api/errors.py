"""How an error leaves the daemon: whole, as a fault, and at which level it is logged.

A fault carries the error's own code, words and advice; what a client makes of the code
is the client's surface's business.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskbound.core.errors import FAMILIES, DeniedError, UnavailableError, error_class
from taskbound.core.policy.step_up import StepUpError
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from taskbound.core.errors import TaskboundError


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
