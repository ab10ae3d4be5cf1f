"""From what a person types to what is pinned: one program, every file that decides what it is, a lock.

1. A name without a slash is looked for in PATH; entries of PATH that are not absolute are
   passed over, because they mean another place for every caller.
2. Links in the directory are followed, the last one is kept: `.venv/bin/python` is a link,
   and its place says which environment it is. Where it leads is pinned beside it.
3. Relative scripts among the arguments are written out, so that no directory decides.
4. The directory is pinned; the gateway's own is never used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.errors import FloatingVersionError, NoSuchCommandError, UnpinnableError
from taskbound.adapters.upstream.mcp.runner import lock_of
from taskbound.adapters.upstream.mcp.script import (
    Module,
    entry_of,
    find_module,
    is_python,
    module_of,
    scripts_of,
    shebang_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_TURNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A command line as it is pinned."""

    command: str
    resolved: str
    sha256: str
    arguments: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """(absolute path, SHA-256), sorted."""
    directory: str
    lock: str


def resolve_command(
    command: str, arguments: Sequence[str], *, environment: Mapping[str, str], directory: str
) -> Resolved:
    """The program behind a command line, with everything that is pinned.

    Args:
        command: A path, or a name to look for in PATH.
        arguments: What stands behind it.
        environment: What the server will see; its PATH is the one that is searched.
        directory: Absolute path in which the server will run.

    Raises:
        NoSuchCommandError: There is no such program, or it can't be read.
        NoSuchModuleError: The interpreter knows no such module.
        FloatingVersionError: A runner was given no exact version; the advice says how to lock it.
        UnpinnableError: Nobody can tell what would run.
    """
    where = Path(directory).resolve()
    if not where.is_dir():
        raise NoSuchCommandError(f"`{shown(directory)}` is no directory")
    search = environment.get("PATH", "")
    found = _find(command, search, where)
    lock = lock_of(found.name, arguments) or lock_of(found.resolve().name, arguments)
    program, words, files = _interpreted(found, list(arguments), search, where)
    scripts = scripts_of(program.name, words, where)
    ran = _module(program, words, files, environment, where)
    if ran is not None:
        scripts.append(ran.path)
        lock = lock or (f"{ran.version}, as it is installed" if ran.version else "")
    if lock.startswith("uv run"):
        scripts.append(_lock_file(words, where))
    resolved = program.resolve()
    pinned = {str(one): hash_file(one) for one in (*files, *scripts) if one != resolved}
    return Resolved(
        command=str(program),
        resolved=str(resolved),
        sha256=hash_file(resolved),
        arguments=tuple(_written_out(word, scripts, where) for word in words),
        files=tuple(sorted(pinned.items())),
        directory=str(where),
        lock=lock,
    )


def _find(command: str, search: str, directory: Path) -> Path:
    """The absolute path of the program, its last link kept (rules 1 and 2)."""
    if "/" in command:
        try:
            places = [directory / Path(command).expanduser()]
        except RuntimeError:  # what Python raises for the home of an account that is not there
            places = []
    else:
        places = [Path(one) / command for one in search.split(os.pathsep) if Path(one).is_absolute()]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place.parent.resolve() / place.name
    raise NoSuchCommandError(f"there is no program `{shown(command)}`")


def _interpreted(
    program: Path, words: list[str], search: str, directory: Path
) -> tuple[Path, list[str], list[Path]]:
    """The program that runs in the end, its arguments, and every script and interpreter on the way."""
    files: list[Path] = []
    for _ in range(_TURNS):
        target = program.resolve()
        shebang = shebang_of(target)
        if not shebang:
            return program, words, files
        interpreter = Path(shebang[0])
        if interpreter.name == "env":
            files.append(target)
            program, words = _find(shebang[1], search, directory), [*shebang[2:], str(target), *words]
            continue
        if shebang_of(interpreter):
            raise UnpinnableError(f"`{shown(shebang[0])}` is itself a script")
        # By the path that the system will follow: a link that leads elsewhere tomorrow is seen.
        return program, words, [*files, interpreter]
    raise UnpinnableError(f"`{shown(str(program))}` is a script of a script of a script")


def _module(
    program: Path, words: list[str], files: list[Path], environment: Mapping[str, str], directory: Path
) -> Module | None:
    """The module that `python -m` or an installer's script would run."""
    module, python = module_of(program.name, words), program
    main = module is not None
    if module is None and files and is_python(files[-1].name):
        module, python = entry_of(program.resolve()), files[-1]
    if not module and not main:
        return None
    return find_module(python, module or "", main=main, environment=environment, directory=directory)


def _lock_file(words: list[str], directory: Path) -> Path:
    """The lock file of the project that `uv run` would run."""
    place = directory
    for at, word in enumerate(words):
        option, mark, value = word.partition("=")
        if option in {"--directory", "--project"}:
            place /= value if mark else "".join(words[at + 1 : at + 2])
    file = (place / "uv.lock").resolve()
    if not file.is_file():
        raise FloatingVersionError(
            f"there is no `uv.lock` in `{shown(str(place))}`",
            remedy="run `uv lock` there first, or name the project with `--directory`",
        )
    return file


def _written_out(word: str, scripts: list[Path], directory: Path) -> str:
    """The argument, as an absolute path without links when it is one of the scripts (rule 3)."""
    path = (directory / word).resolve() if word and "\0" not in word else directory
    return str(path) if path in scripts else word
