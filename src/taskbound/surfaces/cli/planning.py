"""`taskbound approval plan`: proposes a list of exact calls that people approve together.

1. The file is a YAML or JSON list, or JSON lines (`.jsonl`), one step per line.
2. Errors name the line where the step begins, also those of the daemon.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec.structs import replace

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval import BadPlanError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.approval import app
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import read_file
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.approval import PlanProposed, PlanStep, ProposePlan
from taskbound.wire.document import Source, read_document

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue


_NAMED: Final = re.compile(r"step ([0-9]{1,3}) ")
_LINES: Final = ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    source: Source
    steps: tuple[PlanStep, ...]
    places: tuple[int, ...]


@command(
    app,
    "plan",
    examples="taskbound approval plan steps.yaml --task tsk_01ab\n"
    "taskbound approval plan steps.jsonl --task tsk_01ab --json",
)
def plan(
    session: Session,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A list of steps, each `tool` and `arguments`.", show_default=False
        ),
    ],
    task: Annotated[str, typer.Option("--task", help="The task whose calls they are.")],
) -> None:
    """Request approval of several calls together: exactly these, each once, in this order.

    A proposal permits nothing. One signature answers all steps. The first call that needs approval and is not
    the next step ends the rest of the plan, and is asked about separately.
    """
    read = _read_steps(read_file(file), file)
    try:
        said = session.ask(ProposePlan(task=whole_task(session, task), steps=read.steps), PlanProposed)
    except RefusedByDaemonError as error:
        raise _with_line(error, read) from None
    if session.screen.json:
        session.screen.document(said)
        return
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
    steps: list[PlanStep] = []
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


def _step(value: JsonValue, where: str) -> PlanStep:
    if not isinstance(value, dict) or value.keys() != {"tool", "arguments"}:
        raise BadPlanError("a step has `tool` and `arguments`, and nothing else", where=where)
    tool, arguments = value["tool"], value["arguments"]
    if not isinstance(tool, str):
        raise BadPlanError("a tool is a name", where=f"{where}.tool")
    if not isinstance(arguments, dict):
        raise BadPlanError("arguments are an object", where=f"{where}.arguments")
    return PlanStep(tool=tool, arguments=canonical(arguments).decode())
