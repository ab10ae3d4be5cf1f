"""`taskbound stop`: the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.connection import Done
from taskbound.wire.revocation import Stop

__all__ = ["add_stop", "stop"]


def add_stop(app: typer.Typer) -> None:
    """Put the command into the program."""
    command(
        app, "stop", asks=True, examples="taskbound stop --reason 'something is wrong'\ntaskbound stop --lift"
    )(stop)


def stop(
    session: Session,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Let things go on again; this one asks.")] = False,
) -> None:
    """Stop everything at once: nothing is permitted until the stop is lifted.

    Throwing the switch never asks. Tasks can still be looked at, paused and ended.
    """
    if lift:
        session.confirm("Lift the stop, and let every running task act again?")
    answer = session.ask(Stop(stopped=not lift, reason=reason), Done)
    if session.screen.json:
        session.screen.document(answer)
        return
    session.screen.line("the stop is lifted" if lift else "stopped: nothing is permitted any more")
