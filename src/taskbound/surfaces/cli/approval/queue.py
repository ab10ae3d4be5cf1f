"""`taskbound approval list`, `watch`, `plan`, `stats` and `limits`."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Final

from msgspec.structs import replace

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval import BadPlanError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.approval.amendment import amendment_columns
from taskbound.surfaces.cli.approval.command import app
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import read_file
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, option
from taskbound.wire import approval as wire
from taskbound.wire.action import AmendmentRow
from taskbound.wire.document import Source, read_document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action import JsonValue


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
        str, option("--state", "Only of this state, or `all`.", autocompletion=lambda: [*_STATES, "all"])
    ] = "",
    task: Annotated[str, option("--task", "Only those of this task.")] = "",
    limit: Annotated[int, option("--limit", "At most so many.", min=1, max=500)] = 50,
    before: Annotated[str, option("--before APPROVAL", "Go on after this one.")] = "",
) -> None:
    """List open questions, newest first."""
    states = () if state == "all" else (state,) if state else _OPEN
    ask = wire.ListApprovals(states=states, task=whole_task(session, task), limit=limit, before=before)
    page = session.show(ask, wire.ApprovalRows)
    session.screen.table(
        ("APPROVAL", "ASKED", "STATE", "TOOL", "AGENT", "FOR", "MISSING"),
        [*map(amendment_columns, page.amendments), *_lines(page.rows)],
        "nothing waits for an answer" if states == _OPEN else "no approvals like that",
    )
    if page.more_amendments:
        last = shown(page.amendments[-1].amendment)
        session.screen.hint(f"there are more wider scopes: go on with `--before {last}`")
    if page.more:
        session.screen.hint(f"there are more: go on with `--before {shown(page.rows[-1].approval)}`")


@command(app, "watch", examples="taskbound approval watch\ntaskbound approval watch --once")
def watch(
    session: Session,
    *,
    once: Annotated[bool, option("--once", "Say what waits now, and end.")] = False,
) -> None:
    """Print each question as it is asked, and each answer, until interrupted."""
    known: dict[str, str] = {}
    while True:
        states = () if known and not once else _OPEN  # first all that waits, however much ended since
        page = session.ask(wire.ListApprovals(states=states, limit=500), wire.ApprovalRows)
        rows: tuple[AmendmentRow | wire.ApprovalRow, ...] = (*page.amendments, *page.rows)
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


def _step_columns(one: wire.ApprovalRow) -> tuple[str, ...]:
    plan = (f"step {one.step} of {one.plan}",) if one.plan else ()
    return (*_columns(one), *plan)


def _lines(rows: Iterable[wire.ApprovalRow]) -> list[tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    steps: dict[str, list[wire.ApprovalRow]] = {}
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


def _columns(one: wire.ApprovalRow) -> tuple[str, ...]:
    missing = one.missing or one.reason or "-"
    return (one.approval, moment(one.asked), one.state, one.tool, one.agent, one.requester, missing)


_NAMED: Final = re.compile(r"step ([0-9]{1,3}) ")
_LINES: Final = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    source: Source
    steps: tuple[wire.PlanStep, ...]
    places: tuple[int, ...]


@command(
    app,
    "plan",
    examples="taskbound approval plan steps.yaml --task tsk_01ab\n"
    "taskbound approval plan steps.jsonl --task tsk_01ab --json",
)
def plan(
    session: Session,
    file: Annotated[str, argument("FILE", "A list of steps, each `tool` and `arguments`.")],
    task: Annotated[str, option("--task", "The task whose calls they are.")],
) -> None:
    """Request approval of several calls together: exactly these, each once, in this order.

    A proposal permits nothing. One signature answers all steps. The first call that needs approval and is not
    the next step ends the rest of the plan, and is asked about separately.
    """
    read = _read_steps(read_file(file), file)
    try:
        said = session.ask(
            wire.ProposePlan(task=whole_task(session, task), steps=read.steps), wire.PlanProposed
        )
    except RefusedByDaemonError as error:
        raise _with_line(error, read) from None
    session.screen.report(said)
    session.screen.line(
        f"{shown(said.plan)} is asked: {len(read.steps)} steps; `taskbound approval show {shown(said.plan)}`"
    )


def _with_line(error: RefusedByDaemonError, read: _Read) -> RefusedByDaemonError:
    fault, named = error.fault, _NAMED.match(error.fault.where)
    if named is None or not 0 < int(named[1]) <= len(read.places):
        return error
    line, column = read.source.spot(read.places[int(named[1]) - 1])
    where = f"{read.source.name}:{line}:{column}"
    told = RefusedByDaemonError(replace(fault, message=f"{fault.where}: {fault.message}", where=where))
    return read.source.point(told, read.places[int(named[1]) - 1])


def _read_steps(raw: bytes, name: str) -> _Read:
    if name.lower().endswith(_LINES):
        return _read_lines(raw, name)
    document = read_document(raw, name)
    with document.pointing():
        value = document.value
        if not isinstance(value, list):
            raise BadPlanError("a plan is a list of steps")
        steps = tuple(_step(one, f"[{number}]") for number, one in enumerate(value))
    places = tuple(document.find(f"[{number}]") for number in range(len(steps)))
    return _Read(source=document.source, steps=steps, places=places)


def _read_lines(raw: bytes, name: str) -> _Read:
    source = Source(name=name, text=raw.decode(errors="replace"))
    steps: list[wire.PlanStep] = []
    places: list[int] = []
    at = 0
    for line in raw.split(b"\n"):
        if line.strip():
            try:
                steps.append(_step(parse_object(line), ""))
            except TaskboundError as error:
                raise source.point(error, at) from None
            places.append(at)
        at += len(line.decode(errors="replace")) + 1
    return _Read(source=source, steps=tuple(steps), places=tuple(places))


def _step(value: JsonValue, where: str) -> wire.PlanStep:
    if not isinstance(value, dict) or value.keys() != {"tool", "arguments"}:
        raise BadPlanError("a step has `tool` and `arguments`, and nothing else", where=where)
    tool, arguments = value["tool"], value["arguments"]
    if not isinstance(tool, str):
        raise BadPlanError("a tool is a name", where=f"{where}.tool")
    if not isinstance(arguments, dict):
        raise BadPlanError("arguments are an object", where=f"{where}.arguments")
    return wire.PlanStep(tool=tool, arguments=canonical(arguments).decode())


@command(app, "stats", examples="taskbound approval stats\ntaskbound approval stats --hours 168 --json")
def stats(
    session: Session,
    hours: Annotated[int, option("--hours", "Within so many hours.", min=1, max=8784)] = 24,
) -> None:
    """Show how many questions agents raised, and how fast people answered.

    BUSIEST is the maximum within one hour. A yes is hasty if it came sooner than the sheet can be read or if
    the sheet was never shown here; SPEED is the reading speed that the median answer implies.
    """
    found = session.show(wire.MeasureApprovals(hours=hours), wire.ApprovalStats)
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
    most: Annotated[int, option("--open N", "Questions of a task that are open at once.", min=0)] = 0,
    hourly: Annotated[int, option("--hourly N", "Questions of an agent within an hour.", min=0)] = 0,
    speed: Annotated[int, option("--speed N", "Characters a second that anybody can read.", min=0)] = 0,
) -> None:
    """Limit how many questions people of the namespace get; a task that would exceed a limit is paused.

    Only the owner of the data directory sets limits. Without options the limits are shown.
    """
    if not (most or hourly or speed):
        found = session.ask(wire.MeasureApprovals(hours=1), wire.ApprovalStats).limits
    else:
        found = session.ask(wire.LimitApprovals(open=most, hourly=hourly, speed=speed), wire.ApprovalLimits)
    session.screen.report(found)
    _limits(session, found)


def _limits(session: Session, found: wire.ApprovalLimits) -> None:
    session.screen.fields(
        [
            ("open questions of a task", found.open),
            ("questions of an agent an hour", found.hourly),
            ("characters a second", found.speed),
        ]
    )
