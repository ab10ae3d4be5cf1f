"""The program: all commands, and the one place where errors become messages and an exit status.

1. Only the modules of the typed command are loaded: loading all takes longer than most commands.
2. `wiring` reports which extra installs a missing package.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.main import get_command

from taskbound import __version__
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.errors import SURPRISE, fault_of, status_of, tell, tell_surprise, usage_fault
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.screen import Screen
from taskbound.surfaces.cli.session import HomeOption, JsonOption, NamespaceOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.surfaces.cli.plugs import Dependencies


_INTERRUPTED: Final = 130
_USAGE: Final = 2
_EPILOG: Final = (
    "Start with `taskbound init`, or look with `taskbound try -- SERVER`.\n\n"
    "The first five minutes: docs/guides/first-use.md"
)


_HERE: Final = "taskbound.surfaces.cli"
_PERSONS: Final = ("people.grants", "people.keys", "people.accounts")
_WHERE: Final[dict[str, tuple[str, ...]]] = {
    "init": ("init.command:add_init",),
    "try": ("init.trial:add_try",),
    "run": ("running.run:add_run",),
    "exec": ("running.exec:add_exec",),
    "demo": ("demo.command:add_demo",),
    "doctor": ("doctor.command:add_doctor",),
    "stop": ("revocation:add_stop",),
    "scope": ("scope.commands:app",),
    "task": ("task:app",),
    "template": ("task:templates",),
    "agent": ("people.identity:agents", *_PERSONS, "people.workload"),
    "person": ("people.identity:people", *_PERSONS),
    "service": ("service:app",),
    "tool": ("server.tool:app",),
    "upstream": ("server.upstream:app", "server.comparison"),
    "target": ("target.command:app",),
    "credential": ("target.credential:app", "target.discover"),
    "policy": ("policy.commands:app", "policy.life"),
    "action": ("action:app",),
    "approval": ("approval.command:app", "approval.queue"),
    "revocation": ("revocation:app",),
    "audit": ("audit:app",),
    "token": ("token:app",),
    "db": ("database:app",),
    "serve": ("serve:add_serve",),
    "gateway": ("serve:add_gateway",),
    "guard": ("serve:add_guard",),
}
"""By the first word: the module with what adds its commands or is their group, and the modules that add more
commands to that group. All in help's order."""
_MORE: Final = {"audit": "coverage", "task": "approval.amendment", "tool": "server.pinning"}
"""The module that adds one more command to a group and takes long to load: for that command and for help."""
_TAKE_ONE: Final = ("--home", "--namespace")


def build(first: str = "", second: str = "") -> typer.Typer:
    """Build the program with all commands, or with only those that the first two words need."""
    app = typer.Typer(
        name="taskbound",
        help="Authorizes AI agents one action at a time: no task, no action.",
        epilog=with_pages(_EPILOG),
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for word in [first] if first else _WHERE:
        where, *more = _WHERE[word]
        module, _, name = where.partition(":")
        found = getattr(import_module(f"{_HERE}.{module}"), name)
        for one in more:
            import_module(f"{_HERE}.{one}")
        if more:
            _sort(found, [f"{_HERE}.{one}" for one in (module, *more)])
        if word in _MORE and second not in {one.name for one in found.registered_commands}:
            import_module(f"{_HERE}.{_MORE[word]}")
        if isinstance(found, typer.Typer):
            app.add_typer(found)
        else:
            found(app)
    return app


def _sort(group: typer.Typer, modules: list[str]) -> None:
    def place(callback: Callable[..., object] | None) -> int:
        module = callback.__module__ if callback else ""
        return modules.index(module) if module in modules else 0

    group.registered_commands.sort(key=lambda one: place(one.callback))
    group.registered_groups.sort(
        key=lambda one: place(one.typer_instance and one.typer_instance.registered_commands[0].callback)
    )


def run(arguments: Sequence[str], plugs: Dependencies) -> int:
    own = list(arguments)
    screen = Screen(json="--json" in (own[: own.index("--")] if "--" in own else own))
    try:
        found = _command(*_first(own))(args=own, prog_name="taskbound", obj=plugs, standalone_mode=False)
    except TaskboundError as error:
        tell(screen, fault_of(error), error.added_notes())
        return status_of(error)
    except typer.TyperException as error:
        tell(screen, usage_fault(error))
        return _USAGE
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SURPRISE
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("taskbound"):
            raise  # rule 2
        tell_surprise(screen, error, whole=plugs.environ.get("TASKBOUND_LOG_LEVEL") == "debug")
        return SURPRISE
    return found if isinstance(found, int) else 0


def _first(words: Sequence[str]) -> tuple[str, str]:
    found: list[str] = []
    left = iter(words)
    for word in left:
        if word in _TAKE_ONE:
            next(left, "")
        elif word != "--json" and not word.startswith(tuple(f"{one}=" for one in _TAKE_ONE)):
            found.append(word)
            if len(found) == 2:  # noqa: PLR2004 -- the two words of its name
                break
    first, second = (*found, "", "")[:2]
    return (first, second) if first in _WHERE else ("", "")


@cache
def _command(first: str, second: str) -> Callable[..., object]:
    """Return the built command; cached, because building takes longer than most commands."""
    return get_command(build(first, second))


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
    del version, home, namespace, json  # a command finds them by its context
