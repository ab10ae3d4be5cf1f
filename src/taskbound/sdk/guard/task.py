"""Tasks for the length of a program's block: started or joined, kept alive, ended with it.

A program run by a person, not below a gateway or run, may start a task as that person's act; its process is
registered as the task's run. From then on it is the agent's and starts no other task. A named task (`task=`
or `TASKBOUND_TASK`) is joined; its starter ends it. It ends as *completed*; as *failed* after an error,
*cancelled* after a signal or cancellation, with only the name of the error's type. A failure to end it is
raised, or added to the error that left the block.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.sdk.guard.errors import TaskNotEndedError, TaskNotStartedError
from taskbound.sdk.guard.flow import Pause, Say
from taskbound.sdk.guard.link import AsPerson
from taskbound.wire.connection import Done, Fault
from taskbound.wire.task import (
    EndTask,
    ListTemplates,
    RegisterRun,
    StartTask,
    TaskDetail,
    TemplateRows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.flow import Flow
    from taskbound.sdk.guard.link import Place
    from taskbound.wire.envelope import Answer


_SECONDS: Final = 1800
"""Default length of a task in seconds, as on the command line."""
_TRIES: Final = 20
_PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task to be started."""

    purpose: str
    template: str = ""
    scope: Mapping[str, JsonValue] | None = None
    """Exactly one of the two, or neither where the settings name a template."""
    seconds: int = 0
    """Time to its deadline; 0 for its template's, and half an hour without."""
    evidence: tuple[str, ...] = ()
    heartbeat: int = 0
    grace: int = 0


def started(order: Order, place: Place) -> Flow[TaskDetail]:
    """Starts a task with this process as its run; raises TaskNotStartedError."""
    template = order.template or ("" if order.scope is not None else place.template)
    seconds = order.seconds
    if template and not seconds:
        rows: Answer = yield Say(what=AsPerson(ask=ListTemplates()))
        known = rows.rows if isinstance(rows, TemplateRows) else ()
        seconds = next((one.seconds for one in known if one.name == template), 0)
    ask = StartTask(
        agent=place.agent,
        purpose=order.purpose,
        seconds=seconds or _SECONDS,
        template=template,
        scope=msgspec.UNSET if order.scope is None else msgspec.Raw(json.dumps(order.scope).encode()),
        evidence=order.evidence,
        heartbeat=order.heartbeat,
        grace=order.grace,
    )
    answer: Answer = yield Say(what=AsPerson(ask=ask))
    if not isinstance(answer, TaskDetail):
        raise _not_started(answer)
    registered: Answer = yield Say(what=AsPerson(ask=RegisterRun(task=answer.row.task)))
    if not isinstance(registered, Done):
        error = _not_started(registered)
        yield from _ended_beside(answer.row.task, error)
        raise error
    return answer


def ended(task: str, how: str, reason: str) -> Flow[None]:
    """Ends the task; raises TaskNotEndedError."""
    why = ""
    for _ in range(_TRIES):
        try:
            answer: Answer = yield Say(what=AsPerson(ask=EndTask(task=task, how=how, reason=reason)))
        except UnavailableError as error:
            why = error.message
        else:
            match answer:
                case Done():
                    return
                case Fault(family="unavailable", message=why):
                    pass
                case Fault(message=message, code=code, advice=advice):
                    raise TaskNotEndedError(
                        f"the task `{task}` was not ended: {message} [{code}]", remedy=advice
                    )
                case _:
                    why = f"the daemon answered `{type(answer).__name__}`"
        yield Pause(seconds=_PAUSE)
    raise TaskNotEndedError(f"the task `{task}` was not ended: {why}")


def how_of(error: BaseException | None) -> tuple[str, str]:
    """Returns how a task ends after this error, and the recorded reason."""
    if error is None:
        return "completed", ""
    return ("failed" if isinstance(error, Exception) else "cancelled"), type(error).__name__


def _ended_beside(task: str, error: TaskboundError) -> Flow[None]:
    try:
        yield from ended(task, "cancelled", "its run could not be registered")
    except TaskboundError as other:
        error.add_note(other.beside())


def _not_started(answer: Answer) -> TaskNotStartedError:
    if isinstance(answer, Fault):
        foreign = answer.code in {"not-outside", "unproven"}
        return TaskNotStartedError(
            f"no task was started: {answer.message} [{answer.code}]", remedy="" if foreign else answer.advice
        )
    return TaskNotStartedError(f"no task was started: the daemon answered `{type(answer).__name__}`")
