"""`taskbound approval watch`, `stats` and `limits`: what people are asked, and how fast they answer."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from taskbound.surfaces.cli.amendment import amendment_columns
from taskbound.surfaces.cli.approval import OPEN_STATES, app, approval_columns
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.amendment import AmendmentRow
from taskbound.wire.approval import (
    ApprovalLimits,
    ApprovalRow,
    ApprovalRows,
    ApprovalStats,
    LimitApprovals,
    ListApprovals,
    MeasureApprovals,
)

__all__ = ["app", "limits", "stats", "watch"]

_EVERY: Final = 1.0


@command(app, "watch", examples="taskbound approval watch\ntaskbound approval watch --once")
def watch(
    session: Session,
    *,
    once: Annotated[bool, typer.Option("--once", help="Say what waits now, and end.")] = False,
) -> None:
    """Say each question as it is asked, and each answer, until you end it."""
    known: dict[str, str] = {}
    while True:
        states = () if known and not once else OPEN_STATES  # first all that waits, however much ended since
        page = session.ask(ListApprovals(states=states, limit=500), ApprovalRows)
        rows: tuple[AmendmentRow | ApprovalRow, ...] = (*page.amendments, *page.rows)
        for one in reversed(rows):
            name = one.amendment if isinstance(one, AmendmentRow) else one.approval
            first = name not in known
            if known.get(name) == one.state or (first and one.state not in OPEN_STATES):
                known[name] = one.state
                continue
            known[name] = one.state
            if session.screen.json:
                session.screen.document(one)
            else:
                columns = amendment_columns(one) if isinstance(one, AmendmentRow) else approval_columns(one)
                session.screen.line("  ".join(shown(word) for word in columns))
        if once:
            return
        time.sleep(_EVERY)


@command(app, "stats", examples="taskbound approval stats\ntaskbound approval stats --hours 168 --json")
def stats(
    session: Session,
    hours: Annotated[int, typer.Option("--hours", min=1, max=8784, help="Within so many hours.")] = 24,
) -> None:
    """Say how much agents asked of people, and how fast people answered.

    BUSIEST is within one hour. A yes is hasty when it came sooner than anybody can read the sheet, or when
    the question was never shown to them here; SPEED is what the median answer had to be read with.
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
        "nobody was shown or answered anything",
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
    """Say how much people of the namespace may be asked; what would be asked beyond it pauses the task.

    To say it is the act of the account that owns the data directory; without options it is shown.
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
