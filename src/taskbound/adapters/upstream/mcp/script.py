"""Which files beside the program decide what runs: scripts, their interpreters, modules.

1. A script that begins with `#!` is run by another program, which is pinned too. When that
   program is found through `env`, it is found now, and named from then on: at a start
   PATH is whatever the agent's client made it.
2. The first plain argument of a known interpreter is its script; so is any argument that
   names a file with a script's ending.
3. `python -m` runs a module's file, and the interpreter itself says which; so does what an
   installer wrote for a console script, which does nothing but import one module.
4. Not pinned is what a script reads in its turn: its imports, its configuration.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import NoSuchModuleError, UnpinnableError
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_SHEBANG: Final = 256
_PATIENCE: Final = 30.0
_INTERPRETER: Final = re.compile(
    r"(?:python|pypy)[0-9.]*[a-z]*|node(?:js)?|bun|deno|ruby|perl|php|lua|Rscript|java|ba?sh|dash|zsh|tsx|ts-node"
)
_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*[a-z]*")
_ENDINGS: Final = (
    ".cjs",
    ".jar",
    ".js",
    ".mjs",
    ".mts",
    ".php",
    ".pl",
    ".py",
    ".pyz",
    ".rb",
    ".sh",
    ".ts",
    ".wasm",
)
# Options of interpreters that take the next word as their value; those that name code name files.
_VALUED: Final = frozenset(
    {"-W", "-X", "--check-hash-based-pycs", "-cp", "-classpath", "--import", "--loader", "--require", "-r"}
)
_ENTRY: Final = re.compile(rb"^from ([A-Za-z_][\w.]*) import \w+\s*$", re.MULTILINE)
_ENTRY_SIZE: Final = 4096
# Nothing of the module is run: a package further down is looked for in the folders of the one above it.
_FIND: Final = """
import importlib.machinery, importlib.metadata, importlib.util, json, sys
first, *rest = sys.argv[1].split(".")
spec = importlib.util.find_spec(first)
if sys.argv[2] == "main":
    rest.append("__main__")
for name in rest:
    if spec is None or spec.submodule_search_locations is None:
        spec = spec if name == "__main__" else None
        break
    spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
known = importlib.metadata.packages_distributions().get(first, [])
versions = [one + " " + importlib.metadata.version(one) for one in sorted(set(known))]
print(json.dumps([spec.origin if spec is not None else None, versions]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module that an interpreter runs."""

    path: Path
    version: str
    """The distribution that it comes from, with its version; empty when it comes from none."""


def shebang_of(path: Path) -> list[str]:
    """The words behind `#!` at the beginning of a file; nothing when it does not begin so.

    Raises:
        UnpinnableError: There is no word, or the line is longer than every system reads.
    """
    with path.open("rb") as file:
        head = file.read(_SHEBANG)
    if not head.startswith(b"#!"):
        return []
    line, end, _ = head[2:].partition(b"\n")
    words = line.decode("utf-8", "replace").split(None, 1)
    if not end or not words or not words[0].startswith("/"):
        raise UnpinnableError(f"the first line of `{shown(str(path))}` names no program that can be pinned")
    if Path(words[0]).name != "env":
        return [word.strip() for word in words]
    return _through_env(path, words)


def _through_env(path: Path, words: list[str]) -> list[str]:
    """`env` and what it would start (rule 1)."""
    rest = words[1].strip() if len(words) > 1 else ""
    parts = shlex.split(rest.removeprefix("-S")) if rest.startswith("-S") else rest.split()
    if not parts or parts[0].startswith("-") or "=" in parts[0]:
        raise UnpinnableError(f"the first line of `{shown(str(path))}` does not say what `env` would start")
    return [words[0], *parts]


def scripts_of(program: str, arguments: Sequence[str], directory: Path) -> list[Path]:
    """The absolute paths of the scripts that a command line names (rule 2), as far as they exist."""
    named: list[Path] = []
    plain = _INTERPRETER.fullmatch(program) is not None and module_of(program, arguments) is None
    skip = False
    for word in arguments:
        if skip or word.startswith("-"):
            found = word if skip else ""
            skip = not skip and word in _VALUED
        else:
            found = word if plain or word.endswith(_ENDINGS) else ""
            plain = False
        if word in {"-c", "-e", "--eval", "-p", "--print"}:
            plain = False
        path = (directory / found).resolve() if found and "\0" not in found else directory
        if path.is_file():
            named.append(path)
    return named


def is_python(program: str) -> bool:
    """Whether a program of this name is a Python interpreter."""
    return _PYTHON.fullmatch(program) is not None


def module_of(program: str, arguments: Sequence[str]) -> str | None:
    """The module of `python -m`, when that is what the command line says."""
    if not is_python(program):
        return None
    skip = False
    for at, word in enumerate(arguments):
        if skip:
            skip = False
        elif word == "-m":
            return arguments[at + 1] if at + 1 < len(arguments) else ""
        elif word.startswith("-m") and not word.startswith("--"):
            return word[2:]
        elif not word.startswith("-") or word == "-c":
            return None
        else:
            skip = word in _VALUED
    return None


def entry_of(script: Path) -> str:
    """The module that an installer's console script imports, or nothing."""
    with script.open("rb") as file:
        text = file.read(_ENTRY_SIZE + 1)
    found = _ENTRY.findall(text)
    return found[0].decode() if len(text) <= _ENTRY_SIZE and len(found) == 1 else ""


def find_module(
    python: Path, module: str, *, main: bool, environment: Mapping[str, str], directory: Path
) -> Module:
    """The file of a module, as the interpreter itself finds it (rule 3).

    Args:
        python: The interpreter.
        module: The module's name.
        main: Whether it is run, and not imported.
        environment: What the server will see.
        directory: Where it will run.

    Raises:
        NoSuchModuleError: It finds none, or does not say so in time.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- the program that the person asked to pin
            [python, "-c", _FIND, module, "main" if main else "import"],
            capture_output=True,
            check=True,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
        )
        origin, versions = json.loads(done.stdout)
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        raise NoSuchModuleError(f"`{shown(str(python))}` can't find the module `{shown(module)}`") from error
    if not isinstance(origin, str) or not origin.startswith("/"):
        raise NoSuchModuleError(f"`{shown(str(python))}` knows no module `{shown(module)}` that can be run")
    return Module(path=Path(origin).resolve(), version=", ".join(versions))
