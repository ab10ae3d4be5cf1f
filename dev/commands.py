"""The page of the command line, made from the program itself."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from typer.main import get_command

from taskbound.surfaces.cli import errors
from taskbound.surfaces.cli.app import build
from taskbound.wiring.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = "docs/reference/cli.md"
SETTINGS = "docs/reference/settings.md"

_HEAD = """\
# The command line

Every command of `taskbound`, as `taskbound COMMAND --help` says it. This page is made from the program by
`dev/docs`.

Every command takes `--home DIR` (the data directory; else `TASKBOUND_HOME`, else the user's own),
`--namespace NAME` and `--json`, with which standard output gets one JSON document and nothing else, in
ASCII, and errors are one JSON document on standard error. A command that destroys something asks, and takes
`--yes`; without a terminal and without `--yes` it refuses. Color needs a terminal and no `NO_COLOR`.
`taskbound --install-completion` completes words in your shell.

"""
_SETTINGS_HEAD = """\
# Settings

One file, `taskbound.toml`, in the data directory; each setting also as a variable of the environment. The
command line goes before the environment, the environment before the file, the file before the default. A
key that is not in this table, a key that stands twice, a value of the wrong kind, and a file that other
users can write are errors. A daemon that a command starts reads the file only, so that what it obeys does
not depend on who happened to start it.

The data directory itself is `--home`, else `TASKBOUND_HOME`, else `$XDG_DATA_HOME/taskbound`, else
`~/.local/share/taskbound` (macOS: `~/Library/Application Support/taskbound`). This page is made from the
code by `dev/docs`.

| key | variable | default | meaning |
| --- | --- | --- | --- |
"""
_SHARED = frozenset({"home", "namespace", "json", "help"})


def commands(*words: str) -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, in the program's order; or what two words that were typed load."""
    yield from _beneath("taskbound", get_command(build(*words)))


def cli_page() -> str:
    """The page, from the commands as they are."""
    status = (inspect.getdoc(errors) or "").partition("\n\n")[2]
    parts = [_HEAD, "## How it ends\n\n", status.strip(), "\n\n"]
    for name, one in commands():
        parts.append(_section(name, one))
    return "".join(parts).rstrip("\n") + "\n"


def settings_page() -> str:
    """The page of the settings, from their class."""
    source = inspect.getsource(Settings).split('"""')
    words = dict(zip((line.strip() for line in source[2::2]), source[3::2], strict=False))
    rows = []
    for field in fields(Settings):
        said = next(text for head, text in words.items() if head.startswith(f"{field.name}:"))
        shown = str(field.default).lower() if isinstance(field.default, bool) else f'"{field.default}"'
        rows.append(f"| `{field.name}` | `TASKBOUND_{field.name.upper()}` | `{shown}` | {said} |\n")
    return _SETTINGS_HEAD + "".join(rows)


def _beneath(name: str, one: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- typer's own classes are private
    inner: Mapping[str, Any] = getattr(one, "commands", {})
    for word, command in inner.items():
        if getattr(command, "commands", None):
            yield from _beneath(f"{name} {word}", command)
        else:
            yield f"{name} {word}", command


def _section(name: str, one: Any) -> str:  # noqa: ANN401 -- typer's own classes are private
    arguments = [p for p in one.params if p.param_type_name == "argument"]
    options = [p for p in one.params if p.param_type_name == "option" and p.name not in _SHARED]
    usage = [name, *(["[OPTIONS]"] if options else []), *(_usage(p) for p in arguments)]
    parts = [f"## {name}\n\n```\n{' '.join(usage)}\n```\n\n{inspect.cleandoc(one.help or '')}\n\n"]
    rows = [(_usage(p).strip("[]"), p.help or "") for p in arguments]
    rows += [(_option(p), _meaning(p)) for p in options]
    if rows:
        parts.append("| | |\n| --- | --- |\n")
        parts += [f"| `{what.replace('|', chr(92) + '|')}` | {text} |\n" for what, text in rows]
        parts.append("\n")
    if one.epilog:
        parts.append(f"```\n{one.epilog.replace(chr(10) * 2, chr(10))}\n```\n\n")
    return "".join(parts)


def _usage(parameter: Any) -> str:  # noqa: ANN401 -- typer's own classes are private
    shown = parameter.metavar or str(parameter.name).upper()
    return shown if parameter.required or shown.startswith("[") else f"[{shown}]"


def _option(parameter: Any) -> str:  # noqa: ANN401 -- typer's own classes are private
    words = ", ".join(sorted(parameter.opts, key=len))
    return words if parameter.is_flag else f"{words} {parameter.metavar or 'TEXT'}"


def _meaning(parameter: Any) -> str:  # noqa: ANN401 -- typer's own classes are private
    default = parameter.default
    more = f" Without it: `{default}`." if default not in (None, "", False) else ""
    return f"{parameter.help or ''}{' Required.' if parameter.required else ''}{more}"
