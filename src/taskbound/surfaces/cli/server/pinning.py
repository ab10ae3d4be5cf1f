"""`taskbound tool pin`: pins a program's guarded functions as the tools of one server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from taskbound.surfaces.cli.server.tool import app
from taskbound.surfaces.cli.server.upstream import pin_listed
from taskbound.surfaces.cli.session import Session, command


@command(
    app,
    "pin",
    examples="taskbound tool pin notes.py\n"
    "taskbound tool pin desk.tools --server notes --python .venv/bin/python",
)
def pin(
    session: Session,
    application: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file of Python, or a module, with guarded functions.", show_default=False
        ),
    ],
    *,
    server: Annotated[
        str,
        typer.Option("--server", metavar="NAME", help="Whose functions, where there are several servers."),
    ] = "",
    python: Annotated[
        str,
        typer.Option("--python", metavar="PATH", help="The program's own Python, which has `taskbound`."),
    ] = "",
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, max=600, help="How long loading it may take.")
    ] = 60,
) -> None:
    """Pin the guarded functions of a program.

    This runs the program's code: its own Python loads it in this folder, as you, under a name other than
    `__main__`. No function is called.
    """
    found = session.plugs.define(application, server, python, seconds)
    is_file = application.endswith(".py")
    program = (str(Path(application).absolute()),) if is_file else ("-m", application)
    pin_listed(
        session, found.server, (python or sys.executable, *program), [bytes(one) for one in found.tools]
    )
