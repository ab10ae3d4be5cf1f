"""The whole program: every command in its place, and one edge where errors become words and a status."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.main import get_command

from taskbound import __version__
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli import (
    action,
    asked,
    audit,
    consent,
    copies,
    discover,
    leaving,
    looking,
    revocation,
    service,
    target,
    task,
    tool,
    trust,
)
from taskbound.surfaces.cli.demo.command import add_demo
from taskbound.surfaces.cli.doctor import add_doctor
from taskbound.surfaces.cli.errors import SURPRISE, fault_of, status_of, tell, tell_surprise, usage_fault
from taskbound.surfaces.cli.exec import add_exec
from taskbound.surfaces.cli.init import add_init
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.policy import life as policy
from taskbound.surfaces.cli.run import add_run
from taskbound.surfaces.cli.scope import commands as scope
from taskbound.surfaces.cli.screen import Screen
from taskbound.surfaces.cli.serve import add_gateway, add_serve
from taskbound.surfaces.cli.session import HomeOption, JsonOption, NamespaceOption
from taskbound.surfaces.cli.try_ import add_try

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.surfaces.cli.plugs import Plugs

__all__ = ["build", "run"]

_INTERRUPTED: Final = 130
_USAGE: Final = 2
_EPILOG: Final = (
    "Start with `taskbound init`, or look with `taskbound try -- SERVER`.\n\n"
    "The first five minutes: docs/guides/first-use.md"
)


def build() -> typer.Typer:
    """The program with all its commands."""
    app = typer.Typer(
        name="taskbound",
        help="Authorizes AI agents one action at a time: no task, no action.",
        epilog=with_pages(_EPILOG),
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    add_init(app)
    add_try(app)
    add_run(app)
    add_exec(app)
    add_demo(app)
    add_doctor(app)
    revocation.add_stop(app)
    for one in (scope.app, task.app, task.templates, trust.agents, leaving.people, service.app):
        app.add_typer(one)
    for one in (
        tool.app,
        looking.app,
        target.app,
        discover.app,  # the whole of `credential`
        policy.app,
        action.app,
        asked.app,
        revocation.app,
        audit.app,
        consent.app,
        copies.app,  # with all of `database`
    ):
        app.add_typer(one)
    add_serve(app)
    add_gateway(app)
    return app


def run(arguments: Sequence[str], plugs: Plugs) -> int:
    """Run one command; its exit status.

    Args:
        arguments: What the person typed after the program's name.
        plugs: What wiring gives.
    """
    own = list(arguments)
    screen = Screen(json="--json" in (own[: own.index("--")] if "--" in own else own))
    try:
        found = _command()(args=own, prog_name="taskbound", obj=plugs, standalone_mode=False)
    except TaskboundError as error:
        tell(screen, fault_of(error), getattr(error, "__notes__", ()))
        return status_of(error)
    except typer.TyperException as error:
        tell(screen, usage_fault(error))
        return _USAGE
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SURPRISE
    except Exception as error:  # noqa: BLE001 -- the outermost edge: nobody else would say anything
        tell_surprise(screen, error, whole=plugs.environ.get("TASKBOUND_LOG_LEVEL") == "debug")
        return SURPRISE
    return found if isinstance(found, int) else 0


@cache
def _command() -> Callable[..., object]:
    """All of it, made once a process: making it takes longer than most commands, and no call changes it."""
    return get_command(build())


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version),
    ] = False,
    home: HomeOption = "",
    namespace: NamespaceOption = "",
    json: JsonOption = False,
) -> None:
    """Take what stands before the command; the version is said as soon as it is asked for."""
    del version, home, namespace, json  # a command finds them by its context
