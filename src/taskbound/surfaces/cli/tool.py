"""`taskbound tool`: what the pinned servers offer, and what changed since it was pinned."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.core.tool import parse_definition
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.session import Session, command, group
from taskbound.wire.connection import Done
from taskbound.wire.tool import AcceptTool, DiffTool, ListTools, ToolDiff, ToolRows

__all__ = ["accept", "app", "diff", "list_tools"]

app = group("tool", "The tools of the pinned servers, and what changed since a person pinned them.")

ToolArgument = Annotated[str, typer.Argument(metavar="TOOL", help="As server__tool.", show_default=False)]


@command(app, "list", examples="taskbound tool list\ntaskbound tool list --server git")
def list_tools(
    session: Session,
    server: Annotated[str, typer.Option("--server", help="Only those of this server.")] = "",
) -> None:
    """List the pinned tools and what each of them may do to the world, by its server's own word."""
    found = session.ask(ListTools(server=server), ToolRows)
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.table(
        ("TOOL", "EFFECT", "STATE", "DESCRIPTION"),
        [(one.name, one.effect, one.state, _description(bytes(one.raw))) for one in found.rows],
        "no tools are pinned; add a server with `taskbound upstream add` or `taskbound init`",
    )


@command(app, "diff", examples="taskbound tool diff git__git_log")
def diff(session: Session, name: ToolArgument) -> None:
    """Show how the definition that was last seen differs from the pinned one."""
    found = session.ask(DiffTool(name=name), ToolDiff)
    if session.screen.json:
        session.screen.document(found)
        return
    _show(session, found)


@command(app, "accept", asks=True, examples="taskbound tool accept git__git_log")
def accept(
    session: Session,
    name: ToolArgument,
    definition: Annotated[
        str, typer.Option("--definition", metavar="DIGEST", help="Accept only this one.")
    ] = "",
) -> None:
    """Pin the definition that was last seen, after a look at what differs.

    A person's act: it is refused from inside a gateway or a `taskbound run`.
    """
    found = session.ask(DiffTool(name=name), ToolDiff)
    if not found.seen:
        raise BadInputError(f"nothing else was seen of `{shown(name)}` that could be accepted")
    digest = parse_definition(found.seen.encode()).digest  # of what is shown here, whoever says what it is
    if definition not in {"", digest}:
        raise BadInputError(
            f"the definition last seen is `{digest}`", remedy="look at it with `taskbound tool diff`"
        )
    _show(session, found)
    session.confirm(f"Pin this definition of {shown(name)}?")
    answer = session.ask(AcceptTool(name=name, definition=digest), Done)
    session.done(answer, f"{shown(name)} is pinned as {digest}")


def _show(session: Session, found: ToolDiff) -> None:
    session.screen.heading(shown(found.name))
    session.screen.fields(
        [
            ("state", found.state),
            ("differs", tuple(map(Words, found.differences))),
            # Canonical JSON: a backslash is an escape of its own already.
            ("pinned", Words(found.pinned)),
            ("seen", Words(found.seen or "-")),
        ]
    )


def _description(raw: bytes) -> str:
    """The pinned description's text, on one line when it is printed."""
    value = parse_definition(raw).value.get("description")
    return value if isinstance(value, str) else ""
