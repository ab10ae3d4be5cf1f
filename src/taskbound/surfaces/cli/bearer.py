"""`taskbound task bearer`: what lets an agent in that speaks MCP over HTTP.

1. The bearer is printed once, alone on standard output, so that it can be put where it is needed without
   passing through anybody's command line; what is to be said of it stands on standard error.
"""

from __future__ import annotations

from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.surfaces.cli.task import TaskArgument, app
from taskbound.wire.task import BearerMade, MakeBearer

__all__ = ["app", "bearer"]


@command(app, "bearer", examples="taskbound task bearer tsk_…")
def bearer(session: Session, task: TaskArgument) -> None:
    """Make a bearer of the task for `taskbound gateway --listen`; the one before opens nothing more.

    Whoever has it acts as the task's agent for this task, until it ends. It is shown this once.
    """
    made = session.ask(MakeBearer(task=whole_task(session, task)), BearerMade)
    if session.screen.json:
        session.screen.document(made)
        return
    session.screen.word(made.bearer)
    session.screen.note(
        f"shown this once; whoever has it acts for {shown(made.task)}. Send it as `Authorization: Bearer …`",
        "dim",
    )
