"""`taskbound task` and `taskbound template`: tasks and their templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from taskbound.core.task import Holds, TaskState
from taskbound.surfaces.cli.evidence import EvidenceOption, TokenOption, evidence_words, issuers, read_tokens
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, read_scope, spell_seconds
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import task as wire

if TYPE_CHECKING:
    from taskbound.surfaces.cli.screen import Screen
    from taskbound.wire.target import CredentialRow


DEFAULT_LENGTH: Final = "1h"
_ALIVE: Final = ("proposed", "running", "paused")
_ENDINGS: Final = ("completed", "failed", "cancelled", "revoked")
app = group("task", "Declare tasks, look at them, end them. Nothing is permitted without one.")
app.add_typer(issuers)
templates = group("template", "Scopes and lengths of time kept under a name, to make tasks of.")

TaskArgument = Annotated[str, argument("TASK", "The task's id, whole or as a list shortens it.")]
ReasonOption = Annotated[str, option("--reason", "Why; it is recorded.")]
AgentOption = Annotated[str, option("--agent", "The agent that is to act.")]
TemplateOption = Annotated[str, option("--template", "Make it of this template.")]
ScopeOption = Annotated[str, option("--scope FILE", "Its scope, YAML or JSON; `-` reads it.")]
PurposeOption = Annotated[str, option("--purpose", "Why, in 1 to 500 characters.")]
LengthOption = Annotated[str, option("--for TIME", "Time until it ends, such as 30m.")]
StateOption = Annotated[
    str,
    option(
        "--state",
        "Only those in this state, such as running.",
        autocompletion=lambda: [one.value for one in TaskState],
    ),
]
EndingOption = Annotated[
    str, option("--how", "completed, failed, cancelled or revoked.", autocompletion=lambda: list(_ENDINGS))
]
LearningOption = Annotated[
    bool, option("--learning", "A task to learn from: its agent's owner asks, for at most 14 days.")
]


HeartbeatOption = Annotated[
    str, option("--heartbeat TIME", "Pause it when it has no connection for so long.")
]
GraceOption = Annotated[str, option("--grace TIME", "End it when it stays paused so for this long.")]


HoldsOption = Annotated[
    str,
    option(
        "--holds WORD",
        "What becomes of held actions when their calls are over: outlive-the-call, or end-with-the-call,"
        " which is so if nothing is said.",
        autocompletion=lambda: [one.value for one in Holds],
    ),
]


def make_start(
    session: Session,
    *,
    agent: str,
    template: str,
    scope: str,
    purpose: str,
    length: str,
    evidence: list[str] | None = None,
    tokens: list[str] | None = None,
    learning: bool = False,
    heartbeat: str = "",
    grace: str = "",
) -> wire.StartTask:
    agent = agent or session.place.agent
    if not agent:
        raise BadInputError(
            "no agent is named", remedy="name one with `--agent`, or set `agent` in taskbound.toml"
        )
    if template and scope:
        raise BadInputError("a task has a template or a scope, not both")
    template = template or ("" if scope else session.place.template)
    if not template and not scope:
        raise BadInputError(
            "the task has no scope", remedy="give one with `--template NAME` or `--scope FILE`"
        )
    seconds = parse_seconds(length) if length else 0
    if template and not (seconds and purpose):
        found = next(
            (
                one
                for one in session.ask(wire.ListTemplates(), wire.TemplateRows).rows
                if one.name == template
            ),
            None,
        )
        seconds = seconds or (found.seconds if found else 0)
        purpose = purpose or (found.purpose if found else "")
    if not purpose:
        raise BadInputError("the task has no purpose", remedy="say why with `--purpose`")
    return wire.StartTask(
        agent=agent,
        purpose=purpose,
        seconds=seconds or parse_seconds(DEFAULT_LENGTH),
        template=template,
        scope=read_scope(scope)[1] if scope else msgspec.UNSET,
        evidence=tuple(evidence or ()),
        tokens=read_tokens(tokens),
        learning=learning,
        heartbeat=parse_seconds(heartbeat) if heartbeat else 0,
        grace=parse_seconds(grace) if grace else 0,
    )


@command(
    app,
    "start",
    examples="taskbound task start --agent helper --template default --purpose 'look at the history'\n"
    "taskbound task start --agent helper --scope scope.yaml --purpose 'pay invoice 7' --for 10m\n"
    "taskbound task start --agent helper --purpose 'close OPS-17' --evidence ticket:jira:OPS-17\n"
    "taskbound task start --learning --agent helper --scope broad.json --purpose 'see how it works' --for 9d",
)
def start(
    session: Session,
    *,
    agent: AgentOption = "",
    template: TemplateOption = "",
    scope: ScopeOption = "",
    purpose: PurposeOption = "",
    length: LengthOption = "",
    evidence: EvidenceOption = None,
    evidence_jws: TokenOption = None,
    learning: LearningOption = False,
    heartbeat: HeartbeatOption = "",
    grace: GraceOption = "",
) -> None:
    """Declare and start a task: agent, scope, purpose and deadline."""
    order = make_start(
        session,
        agent=agent,
        template=template,
        scope=scope,
        purpose=purpose,
        length=length,
        evidence=evidence,
        tokens=evidence_jws,
        learning=learning,
        heartbeat=heartbeat,
        grace=grace,
    )
    task = session.show(order, wire.TaskDetail)
    show_task(session.screen, task)


@command(
    app,
    "delegate",
    examples="taskbound task delegate tsk_… --agent payer --scope part.yaml --purpose 'pay two of them'\n"
    "taskbound task delegate tsk_… --agent reader --template reading --purpose 'look them up' --for 10m",
)
def delegate(
    session: Session,
    parent: TaskArgument,
    *,
    agent: AgentOption,
    template: TemplateOption = "",
    scope: ScopeOption = "",
    purpose: PurposeOption,
    length: LengthOption = "",
    evidence: EvidenceOption = None,
    evidence_jws: TokenOption = None,
    heartbeat: HeartbeatOption = "",
    grace: GraceOption = "",
) -> None:
    """Delegate a part of a task to an agent; the child's limits are taken out of this task's."""
    if bool(template) is bool(scope):
        raise BadInputError("give the child a scope", remedy="with `--scope FILE` or `--template NAME`")
    order = wire.DelegateTask(
        parent=whole_task(session, parent),
        agent=agent,
        purpose=purpose,
        seconds=parse_seconds(length) if length else 0,
        template=template,
        scope=read_scope(scope)[1] if scope else msgspec.UNSET,
        evidence=tuple(evidence or ()),
        tokens=read_tokens(evidence_jws),
        heartbeat=parse_seconds(heartbeat) if heartbeat else 0,
        grace=parse_seconds(grace) if grace else 0,
    )
    task = session.show(order, wire.TaskDetail)
    show_task(session.screen, task)


@command(app, "step", examples="taskbound task step tsk_…\ntaskbound task step tsk_… pay")
def step(
    session: Session,
    task: TaskArgument,
    name: Annotated[str, argument("[NAME]", "The name of the next step.")] = "",
) -> None:
    """Enter the next step: its grants apply, and earlier grants end unless the step keeps them."""
    found = session.show(wire.StepTask(task=whole_task(session, task), name=name), wire.TaskDetail)
    show_task(session.screen, found)


@command(app, "show", examples="taskbound task show tsk_…")
def show(session: Session, task: TaskArgument) -> None:
    """Show one task: its scope in words, the rest of its limits, and its result."""
    found = session.show(wire.ShowTask(task=whole_task(session, task)), wire.TaskDetail)
    show_task(session.screen, found)


@command(app, "list", examples="taskbound task list --state running")
def list_tasks(
    session: Session,
    agent: Annotated[str, option("--agent", "Only those of this agent.")] = "",
    state: StateOption = "",
    limit: Annotated[int, option("--limit", "At most so many.", min=1, max=500)] = 50,
    before: Annotated[str, option("--before TASK", "Go on after this one.")] = "",
) -> None:
    """List tasks, newest first."""
    page = session.show(wire.ListTasks(agent=agent, state=state, limit=limit, before=before), wire.TaskRows)
    session.screen.table(
        ("TASK", "AGENT", "STATE", "ENDS", "ACTIONS", "PURPOSE"),
        [
            (
                one.task,
                one.agent,
                _state(one),
                moment(one.deadline),
                one.actions,
                one.purpose,
            )
            for one in page.rows
        ],
        "no tasks like that"
        if agent or state or before
        else "no tasks; start one with `taskbound task start` or `taskbound run`",
    )
    if page.more:
        session.screen.hint(f"there are more: go on with `--before {shown(page.rows[-1].task)}`")


@command(app, "pause", asks=True, examples="taskbound task pause tsk_… --reason 'it looks odd'")
def pause(session: Session, task: TaskArgument, reason: ReasonOption = "") -> None:
    """Pause the task: it has no authority until it is resumed."""
    task = whole_task(session, task)
    session.act(wire.PauseTask(task=task, reason=reason), f"{shown(task)} is paused")


@command(app, "resume", asks=True, examples="taskbound task resume tsk_…")
def resume(session: Session, task: TaskArgument) -> None:
    """Resume a paused task."""
    task = whole_task(session, task)
    session.act(wire.ResumeTask(task=task), f"{shown(task)} runs again")


@command(app, "end", asks=True, examples="taskbound task end tsk_… --how revoked --reason 'wrong account'")
def end(
    session: Session,
    task: TaskArgument,
    how: EndingOption = "completed",
    reason: ReasonOption = "",
) -> None:
    """End the task for good: calls in flight are cancelled, and their results withheld."""
    if how not in _ENDINGS:
        raise BadInputError(f"a task can't end as `{shown(how)}`", remedy=f"use one of {', '.join(_ENDINGS)}")
    task = whole_task(session, task)
    session.confirm(f"End {shown(task)} as {shown(how)}? It can't be started again.")
    session.act(wire.EndTask(task=task, how=how, reason=reason), f"{shown(task)} has ended")
    if not session.screen.json:
        _say_next(session.screen, session.ask(wire.ShowTask(task=task), wire.TaskDetail))


@command(
    templates,
    "save",
    examples="taskbound template save reading --scope scope.yaml --for 2h\n"
    "taskbound template save paying --scope scope.yaml --for 1d --heartbeat 1m --grace 1h\n"
    "taskbound template save nightly --scope scope.yaml --for 1d --holds outlive-the-call",
)
def save(
    session: Session,
    name: Annotated[str, argument("", "Its name.")],
    scope: Annotated[str, option("--scope FILE", "The scope, YAML or JSON; `-` reads it.")],
    *,
    length: LengthOption = DEFAULT_LENGTH,
    purpose: Annotated[str, option("--purpose", "The purpose when a task names none.")] = "",
    heartbeat: HeartbeatOption = "",
    grace: GraceOption = "",
    holds: HoldsOption = "",
) -> None:
    """Save a scope, duration, heartbeat and the handling of holds under a name."""
    parsed, raw = read_scope(scope)
    order = wire.SaveTemplate(
        name=name,
        scope=raw,
        seconds=parse_seconds(length),
        purpose=purpose,
        heartbeat=parse_seconds(heartbeat) if heartbeat else 0,
        grace=parse_seconds(grace) if grace else 0,
        holds=holds,
    )
    session.act(order, f"template {shown(name)} saved, with {len(parsed.grants)} grants")


@command(templates, "list", examples="taskbound template list")
def list_templates(session: Session) -> None:
    """List the templates, and what each lets an agent do."""
    found = session.show(wire.ListTemplates(), wire.TemplateRows)
    if not found.rows:
        session.screen.line("no templates; make one with `taskbound template save`")
    for one in found.rows:
        session.screen.heading(shown(one.name))
        session.screen.fields(
            [
                ("  purpose", one.purpose or "-"),
                ("  for", spell_seconds(one.seconds)),
                *[(f"  {name}", words) for name, words in (*_heartbeat(one), *_holds(one))],
                ("  may", tuple(map(Words, one.scope_words))),
            ]
        )


@command(templates, "remove", asks=True, examples="taskbound template remove reading --yes")
def remove(session: Session, name: Annotated[str, argument("", "Its name.")]) -> None:
    """Remove a template; tasks that were made from it go on."""
    session.confirm(f"Remove the template {shown(name)}?")
    session.act(wire.RemoveTemplate(name=name), f"template {shown(name)} removed")


def _heartbeat(one: wire.TemplateRow | wire.TaskDetail) -> list[tuple[str, str]]:
    if not one.heartbeat:
        return []
    return [("heartbeat", f"{spell_seconds(one.heartbeat)}, with a grace of {spell_seconds(one.grace)}")]


def _holds(one: wire.TemplateRow | wire.TaskDetail) -> list[tuple[str, str]]:
    return [("holds", one.holds)] if one.holds == Holds.OUTLIVE_CALL.value else []


def _state(row: wire.TaskRow) -> str:
    return f"{row.state} (learning)" if row.learning else row.state


def _say_next(screen: Screen, task: wire.TaskDetail) -> None:
    if task.row.learning and task.row.state not in _ALIVE:
        screen.hint(f"next: `taskbound scope suggest --task {shown(task.row.task)}`")


def _credentials(task: wire.TaskDetail) -> list[tuple[str, tuple[str, ...]]]:
    lines = [f"{one.id} {one.target}/{one.kind} is {_standing(one)}" for one in task.credentials]
    if task.credential_count > len(lines):
        lines.append(f"and {task.credential_count - len(lines)} more: see `taskbound credential list --task`")
    return [("credentials", tuple(lines))] if lines else []


def _standing(credential: CredentialRow) -> str:
    if credential.state == "unsupported":
        return f"{credential.state}: nothing ends it before {moment(credential.ends)}"
    return f"{credential.state}, overdue" if credential.overdue else credential.state


def show_task(screen: Screen, task: wire.TaskDetail) -> None:
    row = task.row
    screen.heading(shown(row.task))
    screen.fields(
        [
            ("state", _state(row)),
            ("agent", row.agent),
            ("requester", row.requester),
            ("purpose", row.purpose),
            ("evidence", tuple(map(evidence_words, task.evidence))),
            ("started", moment(row.started)),
            ("ends", moment(row.deadline)),
            ("may", tuple(map(Words, task.scope_words))),
            ("left", tuple(f"{limit}: {left} of {of}" for limit, left, of in task.remainders)),
            ("actions", row.actions),
            *([("step", f"{task.step} (of {', '.join(task.steps)})")] if task.steps else []),
            *([("parent", task.parent)] if task.parent else []),
            *([("children", task.children)] if task.children else []),
            *([("amendment", f"{task.amendment} waits for an answer")] if task.amendment else []),
            ("connections", task.connections),
            *_credentials(task),
            *_heartbeat(task),
            *_holds(task),
            ("history", tuple(map(Words, task.history))),
        ]
    )
    _say_next(screen, task)
