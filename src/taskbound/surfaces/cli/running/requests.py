"""Requests for credentials as a user writes them; the daemon decides which task the process belongs to."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

from taskbound.sdk.wish import CredentialWish
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import option
from taskbound.wire.target import ListTargets, TargetRows
from taskbound.wire.task import ShowTask, TaskDetail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.action import Refused


OfTaskOption = Annotated[
    str, option("--task TASK", "The task that asks; `TASKBOUND_TASK` where it is not named.")
]
OfAgentOption = Annotated[
    str, option("--agent", "The task's agent, where the account may not look at tasks.")
]
SecondsOption = Annotated[
    int,
    option(
        "--seconds N",
        "For how long; as long as the kind allows if not said. Needed where the scope limits `seconds`.",
        min=0,
    ),
]


class AskedFor(NamedTuple):
    """A credential as written; `kind` is empty if omitted."""

    target: str
    kind: str
    values: dict[str, str]


class CommandTask(NamedTuple):
    """The task that a command requests credentials for, and its agent."""

    task: str
    agent: str


def parse_asked(text: str) -> AskedFor:
    name, mark, rest = text.partition(":")
    target, slash, kind = name.partition("/")
    if not target or (slash and not kind) or (mark and not rest):
        raise BadInputError(
            f"`{shown(text)}` is no credential", remedy="write TARGET/KIND, or TARGET/KIND:name=value"
        )
    return AskedFor(target, kind, parse_values(rest.split(",") if rest else ()))


def parse_values(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not name or not mark:
            raise BadInputError(f"`{shown(word)}` gives no value", remedy="write it as name=value")
        if name in found:
            raise BadInputError(f"`{shown(name)}` stands twice", remedy="give one value for each name")
        found[name] = value
    return found


def stand_in(session: Session, task: str, agent: str) -> CommandTask:
    task = task or session.plugs.environ.get("TASKBOUND_TASK", "")
    if not task:
        raise BadInputError(
            "no task is named", remedy="name it with `--task TASK`; see `taskbound task list`"
        )
    if agent:
        return CommandTask(task, agent)
    task = whole_task(session, task)
    return CommandTask(task, session.ask(ShowTask(task=task), TaskDetail).row.agent)


def wish_of(session: Session, asked: AskedFor, seconds: int) -> CredentialWish:
    kind = asked.kind or _implied(session, asked.target)
    return CredentialWish(target=asked.target, kind=kind, seconds=seconds, parameters=asked.values)


def _implied(session: Session, target: str) -> str:
    rows = session.ask(ListTargets(name=target), TargetRows).rows
    kinds = [kind.name for row in rows if row.name == target for kind in row.kinds]
    if len(kinds) != 1:
        has = f"has the kinds {', '.join(map(shown, kinds))}" if kinds else "has no kind of credential"
        raise BadInputError(f"`{shown(target)}` {has}", remedy="name one, as in TARGET/KIND")
    return kinds[0]


def say_held(session: Session, refused: Refused) -> None:
    screen = session.screen
    screen.note(
        f"taskbound: {shown(refused.action)} is {shown(refused.waits)}; this command continues once it is"
        " answered"
    )
    for one in refused.reasons:
        screen.note(f"taskbound:   {shown(one.text)}", "")
    action = shown(refused.action)
    screen.note(
        f"taskbound: `taskbound approval show {action}` shows it to them, and they sign it with"
        f" `taskbound approval sign {action} --key FILE`; Ctrl-C takes the question back",
        "",
    )


@contextmanager
def interruptible() -> Iterator[None]:
    asked = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, signal.default_int_handler) for one in asked}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
