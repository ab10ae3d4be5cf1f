"""`taskbound stop`, the kill switch, and `taskbound revocation tail`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command, group, option
from taskbound.wire.connection import Done
from taskbound.wire.token import FeedEntry, FeedRows, ReadFeed, Stop

app = group("revocation", "What ended authority, as enforcement points hear of it.")

_WAIT: Final = 2_000
"""Milliseconds that one question waits."""


def add_stop(app: typer.Typer) -> None:
    command(
        app, "stop", asks=True, examples="taskbound stop --reason 'something is wrong'\ntaskbound stop --lift"
    )(stop)


def stop(
    session: Session,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")] = "",
    lift: Annotated[bool, option("--lift", "Let things go on again; this one asks.")] = False,
) -> None:
    """Stop everything at once: nothing is permitted until the stop is lifted.

    Stopping asks for no confirmation. Tasks can still be shown, paused and ended.
    """
    if lift:
        session.confirm("Lift the stop, and let every running task act again?")
    session.show(Stop(stopped=not lift, reason=reason), Done)
    session.screen.line("the stop is lifted" if lift else "stopped: nothing is permitted any more")


@command(app, "tail", examples="taskbound revocation tail\ntaskbound revocation tail -f")
def tail(
    session: Session,
    follow: Annotated[bool, option("--follow -f", "Go on with what comes.")] = False,
) -> None:
    """Show what ended, was stopped or resumed in the last ten minutes.

    `--follow --json` prints each non-empty page as one JSON document per line.
    """
    page = session.ask(ReadFeed(), FeedRows)
    first = True
    while True:
        if session.screen.json and (page.entries or first):
            session.screen.document(page)
        for one in page.entries:
            session.screen.line(_line(one))
        if not page.entries and first and not follow:
            session.screen.line("nothing ended in the last ten minutes")
        if not follow and not page.more:
            return
        first = False
        page = session.ask(ReadFeed(after=page.through, mark=page.mark, wait=_WAIT), FeedRows)


def _line(one: FeedEntry) -> str:
    what = f"{one.about} {shown(one.id)}" if one.id else one.about
    return f"{moment(one.at)}  {one.place}  {one.turn}  {what}"
