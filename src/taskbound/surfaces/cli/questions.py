"""`taskbound approval list` and `watch`: open questions; a plan takes one line (rule 1)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from taskbound.surfaces.cli.amendment import amendment_columns
from taskbound.surfaces.cli.approval import app
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.action import AmendmentRow
from taskbound.wire.approval import ApprovalRow, ApprovalRows, ListApprovals

if TYPE_CHECKING:
    from collections.abc import Iterable


_OPEN: Final = ("pending", "approved")
_STATES: Final = (
    *_OPEN,
    "denied",
    "expired",
    "withdrawn",
    "superseded",
    "consumed",
    "narrowed",
    "applied",
)
_EVERY: Final = 1.0


@command(app, "list", examples="taskbound approval list\ntaskbound approval list --state denied")
def list_approvals(
    session: Session,
    state: Annotated[
        str,
        typer.Option(
            "--state", help="Only of this state, or `all`.", autocompletion=lambda: [*_STATES, "all"]
        ),
    ] = "",
    task: Annotated[str, typer.Option("--task", help="Only those of this task.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many.")] = 50,
    before: Annotated[str, typer.Option("--before", metavar="APPROVAL", help="Go on after this one.")] = "",
) -> None:
    """List open questions, newest first."""
    states = () if state == "all" else (state,) if state else _OPEN
    ask = ListApprovals(states=states, task=whole_task(session, task), limit=limit, before=before)
    page = session.ask(ask, ApprovalRows)
    if session.screen.json:
        session.screen.document(page)
        return
    session.screen.table(
        ("APPROVAL", "ASKED", "STATE", "TOOL", "AGENT", "FOR", "MISSING"),
        [*map(amendment_columns, page.amendments), *_lines(page.rows)],
        "nothing waits for an answer" if states == _OPEN else "no approvals like that",
    )
    if page.more_amendments:
        last = shown(page.amendments[-1].amendment)
        session.screen.note(f"there are more wider scopes: go on with `--before {last}`", "dim")
    if page.more:
        session.screen.note(f"there are more: go on with `--before {shown(page.rows[-1].approval)}`", "dim")


@command(app, "watch", examples="taskbound approval watch\ntaskbound approval watch --once")
def watch(
    session: Session,
    *,
    once: Annotated[bool, typer.Option("--once", help="Say what waits now, and end.")] = False,
) -> None:
    """Print each question as it is asked, and each answer, until interrupted."""
    known: dict[str, str] = {}
    while True:
        states = () if known and not once else _OPEN  # first all that waits, however much ended since
        page = session.ask(ListApprovals(states=states, limit=500), ApprovalRows)
        rows: tuple[AmendmentRow | ApprovalRow, ...] = (*page.amendments, *page.rows)
        for one in reversed(rows):
            name = one.amendment if isinstance(one, AmendmentRow) else one.approval
            first = name not in known
            if known.get(name) == one.state or (first and one.state not in _OPEN):
                known[name] = one.state
                continue
            known[name] = one.state
            if session.screen.json:
                session.screen.document(one)
            else:
                columns = amendment_columns(one) if isinstance(one, AmendmentRow) else _step_columns(one)
                session.screen.line("  ".join(shown(word) for word in columns))
        if once:
            return
        time.sleep(_EVERY)


def _step_columns(one: ApprovalRow) -> tuple[str, ...]:
    plan = (f"step {one.step} of {one.plan}",) if one.plan else ()
    return (*_columns(one), *plan)


def _lines(rows: Iterable[ApprovalRow]) -> list[tuple[str, ...]]:
    """Return a line for each question, and one for each plan (rule 1)."""
    found: dict[str, tuple[str, ...]] = {}
    steps: dict[str, list[ApprovalRow]] = {}
    for one in rows:
        name = one.plan or one.approval
        steps.setdefault(name, []).append(one)
        found.setdefault(name, _columns(one))
        if one.plan:
            ordered = sorted(steps[name], key=lambda step: step.step)
            tools = ", ".join(dict.fromkeys(step.tool for step in ordered))
            many = f"{len(steps[name])} step{'s' if len(steps[name]) > 1 else ''}: {tools}"
            found[name] = (name, *found[name][1:3], many, *found[name][4:])
    return list(found.values())


def _columns(one: ApprovalRow) -> tuple[str, ...]:
    missing = one.missing or one.reason or "-"
    return (one.approval, moment(one.asked), one.state, one.tool, one.agent, one.requester, missing)
