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

`taskbound run` and `taskbound exec` end with their command's own status; only when the command never ran is
it one of these, and where `exec` had to end a command that then says 0.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import FAMILIES
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    import typer

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.cli.screen import Screen


SURPRISE: Final = FAMILIES[""].exit_status
_FAMILY: Final = {"store-behind": "tampered"}
"""Codes with the exit status of another family: a store that lacks records may serve again once restored,
and its log is not what it claims to be."""


def fault_of(error: TaskboundError) -> Fault:
    """The error as one message: the daemon's own when it is the daemon's, also of one that does not start."""
    if isinstance(told := getattr(error, "fault", None), Fault):
        return told
    return Fault(code=error.code, message=error.message, advice=error.advice, where=error.where)


def status_of(error: TaskboundError) -> int:
    """The exit status of the error's family; of a daemon's fault, of the family that the daemon gave it."""
    fault = fault_of(error)
    family = _FAMILY.get(fault.code) or fault.family or error.family
    return FAMILIES.get(family, FAMILIES[error.family]).exit_status


def usage_fault(error: typer.TyperException) -> Fault:
    """What is wrong with the words that were typed, and whose help says how they are meant."""
    where = getattr(error, "ctx", None)  # only an error about words has one
    path = where.command_path if where is not None else "taskbound"
    message = error.format_message().strip().rstrip(".")
    message = message[:1].lower() + message[1:] if message else "no command was given"
    return Fault(code="malformed", message=shown(message), advice=f"see `{path} --help`")


def tell(screen: Screen, fault: Fault, excerpt: Iterable[str] = ()) -> None:
    """Say what is wrong and what to do about it, on standard error.

    Args:
        screen: Where.
        fault: What is wrong.
        excerpt: Lines of the file that is wrong, escaped, with a caret; not with `--json`.
    """
    if screen.json:
        screen.complaint(fault)
        return
    where = f" (at `{shown(fault.where)}`)" if fault.where else ""
    screen.note(f"error: {shown(Words(fault.message))}{where} [{shown(fault.code)}]", "red")
    for line in excerpt:
        screen.note(line, "dim")
    if fault.advice:
        screen.note(f"what to do: {shown(Words(with_pages(fault.advice)))}", "")


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
