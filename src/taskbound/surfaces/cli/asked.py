"""`taskbound approval stats` and `limits`: how many questions people get, and how fast they answer."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.approval import app
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.approval import (
    ApprovalLimits,
    ApprovalStats,
    LimitApprovals,
    MeasureApprovals,
)


@command(app, "stats", examples="taskbound approval stats\ntaskbound approval stats --hours 168 --json")
def stats(
    session: Session,
    hours: Annotated[int, typer.Option("--hours", min=1, max=8784, help="Within so many hours.")] = 24,
) -> None:
    """Show how many questions agents raised, and how fast people answered.

    BUSIEST is the maximum within one hour. A yes is hasty if it came sooner than the sheet can be read or if
    the sheet was never shown here; SPEED is the reading speed that the median answer implies.
    """
    found = session.ask(MeasureApprovals(hours=hours), ApprovalStats)
    if session.screen.json:
        session.screen.document(found)
        return
    screen = session.screen
    screen.table(
        ("AN HOUR", "BUSIEST", "ASKED", "AGENT"),
        [
            (f"{one.asked / found.hours:.1f}", str(one.busiest), str(one.asked), one.agent)
            for one in found.agents
        ],
        "no agent asked anything",
    )
    screen.table(
        ("AN HOUR", "BUSIEST", "SHOWN", "YES", "NO", "HASTY", "UNSEEN", "MEDIAN", "SPEED", "PERSON"),
        [
            (
                f"{one.shown / found.hours:.1f}",
                *map(str, (one.busiest, one.shown, one.yes, one.no, one.hasty, one.unseen)),
                f"{one.median / 1_000_000:.1f} s" if one.median >= 0 else "-",
                f"{one.speed}/s" if one.speed >= 0 else "-",
                one.person,
            )
            for one in found.persons
        ],
        "no questions were shown or answered",
    )
    _limits(session, found.limits)


@command(
    app, "limits", examples="taskbound approval limits\ntaskbound approval limits --hourly 30 --speed 60"
)
def limits(
    session: Session,
    most: Annotated[
        int, typer.Option("--open", metavar="N", min=0, help="Questions of a task that are open at once.")
    ] = 0,
    hourly: Annotated[
        int, typer.Option("--hourly", metavar="N", min=0, help="Questions of an agent within an hour.")
    ] = 0,
    speed: Annotated[
        int, typer.Option("--speed", metavar="N", min=0, help="Characters a second that anybody can read.")
    ] = 0,
) -> None:
    """Limit how many questions people of the namespace get; a task that would exceed a limit is paused.

    Only the owner of the data directory sets limits. Without options the limits are shown.
    """
    if not (most or hourly or speed):
        found = session.ask(MeasureApprovals(hours=1), ApprovalStats).limits
    else:
        found = session.ask(LimitApprovals(open=most, hourly=hourly, speed=speed), ApprovalLimits)
    if session.screen.json:
        session.screen.document(found)
        return
    _limits(session, found)


def _limits(session: Session, found: ApprovalLimits) -> None:
    session.screen.fields(
        [
            ("open questions of a task", found.open),
            ("questions of an agent an hour", found.hourly),
            ("characters a second", found.speed),
        ]
    )
