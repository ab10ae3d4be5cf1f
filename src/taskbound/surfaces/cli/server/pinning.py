"""`taskbound tool pin`: pins a program's guarded functions as the tools of one server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from taskbound.surfaces.cli.server.tool import app
from taskbound.surfaces.cli.server.upstream import pin_listed
from taskbound.surfaces.cli.session import Session, argument, command, option


@command(
    app,
    "pin",
    examples="taskbound tool pin notes.py\n"
    "taskbound tool pin desk.tools --server notes --python .venv/bin/python",
)
def pin(
    session: Session,
    application: Annotated[str, argument("FILE", "A file of Python, or a module, with guarded functions.")],
    *,
    server: Annotated[str, option("--server NAME", "Whose functions, where there are several servers.")] = "",
    python: Annotated[str, option("--python PATH", "The program's own Python, which has `taskbound`.")] = "",
    seconds: Annotated[int, option("--seconds", "How long loading it may take.", min=1, max=600)] = 60,
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
