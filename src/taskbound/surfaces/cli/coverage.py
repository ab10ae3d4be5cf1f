"""`taskbound audit coverage`: which of an application's tools are guarded, whether pinned or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
import typer

from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.sdk.tool.coverage.found import FoundTool, State
from taskbound.surfaces.cli.audit import app
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire.tool import ListTools, ToolRows

if TYPE_CHECKING:
    from collections.abc import Mapping


Pin: TypeAlias = Literal["", "pinned", "unpinned", "changed", "not-looked-at"]


class CoverageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tool that an application exposes."""

    name: str
    """What the model calls it."""
    state: State
    tool: str
    """`server__tool`, where it is guarded."""
    pin: Pin
    """Whether its definition is the one that is pinned; empty where it has none that is compared."""
    definition: str
    """Digest of its definition."""
    kind: str
    """Its type."""
    place: str
    """Where it was found."""
    why: str


class CoverageReport(msgspec.Struct, frozen=True, kw_only=True, tag="coverage", tag_field="is"):
    """The tools that an application exposes."""

    application: str
    guarded: int
    unguarded: int
    untold: int
    not_looked: str
    """Why the daemon was not asked what is pinned; empty where it was."""
    rows: tuple[CoverageRow, ...]


@command(
    app,
    "coverage",
    examples="taskbound audit coverage desk.agents:triage\n"
    "taskbound audit coverage desk.agents:triage --python .venv/bin/python\n"
    "taskbound audit coverage desk.tools --json",
)
def coverage(
    session: Session,
    application: Annotated[
        str,
        argument(
            "MODULE[:OBJECT]",
            "An agent, a graph, a server, a session, a list of tools or functions, or a module of them.",
        ),
    ],
    python: Annotated[
        str, option("--python PATH", "The application's own Python, which has `taskbound`.")
    ] = "",
    seconds: Annotated[int, option("--seconds", "How long loading it may take.", min=1, max=600)] = 60,
) -> None:
    """List every tool that an application exposes, and which of them are not guarded.

    This imports and runs the application's module with its own Python, in this folder, as you. No tool is
    called. Nested agents and handoffs are included. The status is 0 if all tools are guarded, and 1 if one is
    not or if that can't be known before a run.
    """
    found = session.plugs.cover(application, python, seconds)
    pinned, why = _pinned(session, found.tools)
    rows = tuple(_row(one, pinned) for one in found.tools)
    report = CoverageReport(
        application=found.application,
        guarded=_count(rows, "guarded"),
        unguarded=_count(rows, "unguarded"),
        untold=_count(rows, "untold"),
        not_looked=why,
        rows=rows,
    )
    _show(session, report)
    if report.unguarded or report.untold:
        raise typer.Exit(1)


def _pinned(session: Session, tools: tuple[FoundTool, ...]) -> tuple[Mapping[str, str] | None, str]:
    if not any(one.definition for one in tools):
        return {}, ""
    try:
        rows = session.ask(ListTools(), ToolRows).rows
    except UnavailableError as error:
        return None, error.message
    except TaskboundError as error:  # a daemon that says no, which the rows say
        return None, fault_of(error).message
    return {one.name: one.definition for one in rows}, ""


def _row(one: FoundTool, pinned: Mapping[str, str] | None) -> CoverageRow:
    return CoverageRow(
        name=one.name,
        state=one.state,
        tool=one.tool,
        pin=_pin(one, pinned),
        definition=one.definition,
        kind=one.kind,
        place=one.place,
        why=one.why,
    )


def _pin(one: FoundTool, pinned: Mapping[str, str] | None) -> Pin:
    if not one.definition:
        return ""
    if pinned is None:
        return "not-looked-at"
    if one.tool not in pinned:
        return "unpinned"
    return "pinned" if pinned[one.tool] == one.definition else "changed"


def _count(rows: tuple[CoverageRow, ...], state: State) -> int:
    return sum(one.state == state for one in rows)


def _show(session: Session, report: CoverageReport) -> None:
    screen = session.screen
    screen.report(report)
    screen.table(
        ("NAME", "STATE", "TOOL", "PINNED", "WHERE AND WHY"),
        [
            (
                one.name,
                one.state,
                one.tool or "-",
                one.pin or "-",
                f"{one.place}: {one.why}" if one.why else one.place,
            )
            for one in report.rows
        ],
        "it exposes no tools",
    )
    if report.not_looked:
        screen.status("warn", f"what is pinned was not looked at: {report.not_looked}")
    total = f"{len(report.rows)} tools of {shown(report.application)}"
    screen.line(
        f"{total}: {report.guarded} guarded, {report.unguarded} unguarded, {report.untold} that can't be told"
    )
