"""`taskbound token consent`: what a client asks for in a browser, answered in a terminal.

1. A code is typed from one's own browser. What waits under it is shown before anything is asked, and what the
   client says of itself as its own word.
2. Whoever consents says in which task: one of theirs that runs, or one that is started now.
3. A client that asks to act as the person is told of as just that, and no task is asked for.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from taskbound.core.token.values import LONGEST
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, spell_seconds
from taskbound.surfaces.cli.screen import moment, shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.surfaces.cli.token import app
from taskbound.wire.authorization import (
    AskedDetail,
    ConsentAsPerson,
    ConsentToClient,
    DenyClient,
    LookAtAsked,
)

_AS_YOU: Final = [
    ("  it may", "whatever you may do over the network API, in your name: no task bounds it"),
    ("  how long", f"{LONGEST // 60} minutes from when it fetches its token"),
]
"""What a client may do that acts as a person (rule 3)."""


@command(
    app,
    "consent",
    asks=True,
    examples="taskbound token consent BCDFG-HJKLM\n"
    "taskbound token consent BCDFG-HJKLM --template default --purpose 'look at the history'\n"
    "taskbound token consent BCDFG-HJKLM --deny",
)
def consent(
    session: Session,
    *,
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE", help="The ten letters that your own browser shows.", show_default=False
        ),
    ],
    task: Annotated[str, typer.Option("--task", help="Let it in to this task of yours, which runs.")] = "",
    template: Annotated[
        str, typer.Option("--template", help="Let it in to a task that is started from this template.")
    ] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Why that task is started.")] = "",
    length: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Time until that task ends, such as 30m.")
    ] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Let it have nothing.")] = False,
) -> None:
    """Answer a program that asks in your browser to act as an agent: choose the task in which it may.

    A program may also ask to act as you yourself. Then there is no task: it may do for some minutes whatever
    you may do over the network API.
    """
    if deny and (task or template or purpose or length):
        raise BadInputError("who denies says nothing of a task")
    if task and (template or purpose or length):
        raise BadInputError("a task that runs is chosen, or one is started from a template, not both")
    found = session.ask(LookAtAsked(typed=code), AskedDetail)
    _show_asked(session, found)
    client = shown(found.shown)
    if deny:
        session.confirm(f"Let {client} have nothing?")
        _answered(session, session.ask(DenyClient(typed=code), AskedDetail), f"{client} is told no")
        return
    if not found.agent:
        _let_act(session, found, code, chosen=bool(task or template or purpose or length))
        return
    if not (task or template):
        task, template = _choose(session, found)
    if template and not purpose:
        purpose = _purpose(session, found, template)
    where = f"task {shown(task)}" if task else f"a new task from template {shown(template)}"
    session.confirm(f"Let {client} act as agent {shown(found.agent)} in {where}?")
    order = ConsentToClient(
        typed=code,
        client=found.client,
        agent=found.agent,
        task=whole_task(session, task) if task else "",
        template=template,
        purpose=purpose,
        seconds=parse_seconds(length) if length else 0,
    )
    done = session.ask(order, AskedDetail)
    _answered(session, done, f"{client} is let in to task {shown(done.task)}; go on in your browser")


def _let_act(session: Session, found: AskedDetail, code: str, *, chosen: bool) -> None:
    """Let the client act as the person (rule 3)."""
    client = shown(found.shown)
    if chosen:
        raise BadInputError(
            "the program asks to act as you, and for no task", remedy="leave these options out, or deny"
        )
    session.confirm(f"Let {client} act as you, for {LONGEST // 60} minutes at most?")
    done = session.ask(ConsentAsPerson(typed=code, client=found.client), AskedDetail)
    _answered(session, done, f"{client} may act as you; go on in your browser")


def _show_asked(session: Session, found: AskedDetail) -> None:
    """What is asked (rule 1)."""
    if session.screen.json:
        return
    stands_for = f"the document at {shown(found.client)}" if found.host else f"{shown(found.client)}, here"
    session.screen.heading(f"A program asks to act as {'an agent' if found.agent else 'you'}")
    asked = [("  agent", found.agent)] if found.agent else _AS_YOU
    session.screen.fields(
        [
            ("  it calls itself", f"{shown(found.shown)} (its own word)"),
            ("  known by", stands_for),
            ("  your answer goes to", found.redirect),
            *asked,
            ("  where", found.resource),
            ("  until", moment(found.until)),
        ]
    )
    session.screen.note("answer only what you yourself just started, in a browser of your own")


def _choose(session: Session, found: AskedDetail) -> tuple[str, str]:
    """A task that runs, or a template, as the person chooses (rule 2)."""
    running = [(one.task, "", f"task {shown(one.task)}: {shown(one.purpose)}") for one in found.tasks]
    fresh = [
        ("", one.template, f"a new task from template {shown(one.template)}, {_length(one.seconds)}")
        for one in found.templates
    ]
    choices = [*running, *fresh]
    if not choices:
        raise BadInputError(
            f"you have no task of agent `{shown(found.agent)}` that runs, and there is no template",
            remedy="start one with `taskbound task start`, and name it with `--task`",
        )
    if not session.screen.json:
        for number, (_, _, words) in enumerate(choices, start=1):
            session.screen.line(f"  {number}  {words}")
    told = session.prompt(f"In which? 1 to {len(choices)}").strip()
    if not (told.isascii() and told.isdigit() and 0 < int(told) <= len(choices)):
        raise BadInputError(
            "none of these was chosen", remedy="type its number, or use `--task` or `--template`"
        )
    task, template, _ = choices[int(told) - 1]
    return task, template


def _purpose(session: Session, found: AskedDetail, template: str) -> str:
    """Why the task is started; what the template says of it where nobody can be asked."""
    known = next((one.purpose for one in found.templates if one.template == template), "")
    if session.yes or session.screen.json or not session.screen.interactive:
        return known
    return session.prompt("Why?", known)


def _length(seconds: int) -> str:
    return f"for {spell_seconds(seconds)}" if seconds else "for an hour"


def _answered(session: Session, done: AskedDetail, sentence: str) -> None:
    if session.screen.json:
        session.screen.document(done)
        return
    session.screen.line(sentence)
