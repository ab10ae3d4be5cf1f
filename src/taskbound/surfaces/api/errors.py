"""How an error leaves the daemon: whole, as a fault, and at which level it is logged.

A fault carries the error's own code, words and advice; what a client makes of the code
is the client's surface's business. Only the level of the log line is decided here, by
the error's family: what a client did wrong is no news for whoever runs the daemon.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from taskbound.core.errors import (
    DeniedError,
    MalformedError,
    TaskboundError,
    UnavailableError,
    error_classes,
)
from taskbound.core.policy.step_up import StepUpError
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.wire.connection import Fault

__all__ = ["CODES", "family_of", "fault_of"]

_log = logging.getLogger(__name__)


class _Levels(Mapping[str, int]):
    """The level of each code that is known now; made from the tree of errors, so that none is missing."""

    def __getitem__(self, code: str) -> int:
        for one in error_classes():
            if one.code == code:
                return logging.WARNING if issubclass(one, UnavailableError) else logging.DEBUG
        raise KeyError(code)

    def __iter__(self) -> Iterator[str]:
        return (one.code for one in error_classes())

    def __len__(self) -> int:
        return len(error_classes())


CODES: Final[Mapping[str, int]] = _Levels()
"""Every error code of Taskbound and the level at which the daemon logs it."""


_FAMILIES: Final[tuple[tuple[type[TaskboundError], str], ...]] = (
    (MalformedError, "malformed"),
    (DeniedError, "denied"),
    (UnavailableError, "unavailable"),
)


def family_of(code: str) -> str:
    """The family of an error by its code; what no error has is the word of a decision, which denies."""
    kinds = (one for one in error_classes() if one.code == code)
    return next((name for one in kinds for kind, name in _FAMILIES if issubclass(one, kind)), "denied")


def fault_of(error: TaskboundError, *, operation: str = "", unproven: bool = False) -> Fault:
    """The error as one message; it is logged on the way.

    Args:
        error: What is wrong.
        operation: What was asked for.
        unproven: Whether it is about who asks, and not about what was asked. Who shows what their issuer does
            not stand behind now has proven nothing; what we can't read ourselves is no fault of theirs.
    """
    family = next((name for kind, name in _FAMILIES if isinstance(error, kind)), "")
    own = family == "unavailable" and not isinstance(error, IssuerUnreachableError)
    _log.log(
        CODES.get(error.code, logging.WARNING),
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
        family="unproven" if unproven and not own else family,
        acr=error.acr if isinstance(error, StepUpError) else "",
        within=error.within if isinstance(error, StepUpError) else 0,
    )
