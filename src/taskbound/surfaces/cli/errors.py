"""How errors end a command: a message on standard error, and an exit status.

Status: 0 success, 1 bad findings or an unexpected error, 2 malformed, 3 denied, 4 unavailable (nothing was
allowed), 5 tampered, 130 interrupted. `taskbound run` and `exec` return their command's own status, unless
the command never ran, or `exec` had to end it and it returned 0.
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
    if isinstance(told := getattr(error, "fault", None), Fault):
        return told
    return Fault(code=error.code, message=error.message, advice=error.advice, where=error.where)


def status_of(error: TaskboundError) -> int:
    fault = fault_of(error)
    family = _FAMILY.get(fault.code) or fault.family or error.family
    return FAMILIES.get(family, FAMILIES[error.family]).exit_status


def usage_fault(error: typer.TyperException) -> Fault:
    where = getattr(error, "ctx", None)  # only an error about words has one
    path = where.command_path if where is not None else "taskbound"
    message = error.format_message().strip().rstrip(".")
    message = message[:1].lower() + message[1:] if message else "no command was given"
    return Fault(code="malformed", message=shown(message), advice=f"see `{path} --help`")


def tell(screen: Screen, fault: Fault, excerpt: Iterable[str] = ()) -> None:
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
    """Report an unexpected error as a defect of ours; the traceback only if `whole`."""
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
