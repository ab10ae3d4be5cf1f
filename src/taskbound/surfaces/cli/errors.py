"""How each error ends the command: its exit status, and its words on standard error.

| status | meaning |
| --- | --- |
| 0 | done |
| 1 | done, and what was found is not good (`doctor`), or an error that nobody foresaw |
| 2 | malformed: fix the input |
| 3 | denied: ask someone, or do something else |
| 4 | unavailable: try again later; nothing was allowed |
| 5 | tampered: the audit log, or what vouches for it, is not what it claims to be |
| 130 | interrupted |

`taskbound run` ends with its command's own status; only when the command never ran is it one of these.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.surfaces.cli.screen import Screen

__all__ = ["CODES", "fault_of", "status_of", "tell", "tell_surprise"]

_MALFORMED: Final = 2
_DENIED: Final = 3
_UNAVAILABLE: Final = 4
_TAMPERED: Final = 5
SURPRISE: Final = 1

_BY_STATUS: Final[dict[int, str]] = {
    _MALFORMED: """
    """,
    _DENIED: """
    """,
    _UNAVAILABLE: """
    """,
    _TAMPERED: """
    """,
}

CODES: Final[Mapping[str, int]] = {
    "error": SURPRISE,
    **{code: status for status, codes in _BY_STATUS.items() for code in codes.split()},
}
"""Every error code of Taskbound and the exit status that it ends a command with."""


def fault_of(error: TaskboundError) -> Fault:
    """The error as one message: the daemon's own when it is the daemon's."""
    if isinstance(error, RefusedByDaemonError):
        return error.fault
    return Fault(code=error.code, message=error.message, advice=error.advice, where=error.where)


def status_of(error: TaskboundError) -> int:
    """The exit status that the error ends the command with; a code of a newer daemon counts by its family."""
    status = CODES.get(fault_of(error).code)
    if status is not None:
        return status
    match error:
        case MalformedError():
            return _MALFORMED
        case DeniedError():
            return _DENIED
        case UnavailableError():
            return _UNAVAILABLE
        case _:
            return SURPRISE


def tell(screen: Screen, fault: Fault) -> None:
    """Say what is wrong and what to do about it, on standard error."""
    if screen.json:
        screen.complaint(fault)
        return
    where = f" (at `{shown(fault.where)}`)" if fault.where else ""
    screen.note(f"error: {shown(Words(fault.message))}{where} [{shown(fault.code)}]", "red")
    if fault.advice:
        screen.note(f"what to do: {shown(Words(fault.advice))}", "")


def tell_surprise(screen: Screen, error: BaseException, *, whole: bool) -> None:
    """Say that this is our mistake; the whole story only for those who asked for it."""
    message = f"{type(error).__name__}: {error}"
    tell(
        screen,
        Fault(
            code="error",
            message=f"this should not have happened: {message}",
            advice="run it again with TASKBOUND_LOG_LEVEL=debug, and report what it says",
        ),
    )
    if whole:
        for line in traceback.format_exception(error):
            for one in line.rstrip("\n").split("\n"):
                screen.note(shown(one), "dim")
