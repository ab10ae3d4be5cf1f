"""Resolves a typed command to a pinned program and the files that decide what it runs.

1. A name without slash is looked up in PATH; relative entries are skipped, since they depend on the caller.
2. Links in the directory are resolved, the last is kept, because `.venv/bin/python`'s path selects the
   environment. Its destination is pinned too.
3. Relative script arguments become absolute.
4. The working directory is pinned; the gateway's own is never used.

Runners:

1. `npx`, `uvx`, `pipx run` and the like need an exact package version, `docker run` an image digest.
2. An unknown option refuses, because the package can't be identified.
3. Shell lines, `env`, `sudo` and the like hide what runs, and are refused.
4. The lock text says that the package's dependencies are resolved anew.

Scripts:

1. A `#!` interpreter is pinned too. One found through `env` is resolved now, because PATH at start belongs to
   the agent's client.
2. An interpreter's first plain argument, and any argument with a script's suffix that exists, is a script.
3. For `python -m` and installers' console scripts, the interpreter itself is asked for the module's file.
4. What a script reads (imports, configuration) is not pinned.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.adapters.upstream.mcp.digest import hash_file
from taskbound.adapters.upstream.mcp.errors import (
    FloatingVersionError,
    NoSuchCommandError,
    NoSuchModuleError,
    UnpinnableError,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_DEPENDENCIES: Final = "its own dependencies are resolved at each start"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRAPPERS: Final = _words("chroot doas env nice nohup setsid stdbuf su sudo time timeout unshare xargs")
_SHELLS: Final = _words("ash bash csh dash fish ksh sh tcsh zsh")

_NPM: Final = re.compile(
    r"(?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+@\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)
_PYTHON: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._,-]*\])?(?:==|@)v?\d[A-Za-z0-9.!+]*")
_GIT: Final = re.compile(
    r"(?:[A-Za-z0-9._-]+ ?@ ?)?git\+[a-z+]+://[^@\s]+(?:@[^@/\s]+/[^@\s]+)?@[0-9a-f]{40}"
)
_IMAGE: Final = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runner:
    exact: tuple[re.Pattern[str], ...]
    example: str
    packages: frozenset[str] = frozenset()
    """Options whose value is a package to fetch."""
    source: frozenset[str] = frozenset()
    """Those of them whose package is the one that runs, so that the next word only names a program."""
    valued: frozenset[str] = frozenset()
    """Options with a value that is no package."""
    flags: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    """Options that run something else than a package."""


_UVX: Final = _Runner(
    exact=(_PYTHON, _GIT),
    example="uvx PACKAGE==1.2.3",
    packages=_words("--from --with -w"),
    source=_words("--from"),
    valued=_words(
        "--python -p --index --index-url -i --default-index --extra-index-url --cache-dir --link-mode"
    ),
    flags=_words(
        "-q --quiet -v --verbose --isolated --offline --no-cache -n --no-config --native-tls --no-progress"
    ),
    refused=_words("--with-editable --with-requirements --env-file --directory --project"),
)
_NPX: Final = _Runner(
    exact=(_NPM,),
    example="npx -y PACKAGE@1.2.3",
    packages=_words("--package -p"),
    source=_words("--package -p"),
    valued=_words("--cache --registry --loglevel"),
    flags=_words(
        "-y --yes -q --quiet --silent --prefer-offline --prefer-online --offline --no-audit --no-fund"
    ),
    refused=_words("-c --call -w --workspace --workspaces --prefix -C"),
)
_PIPX: Final = _Runner(
    exact=(_PYTHON, _GIT),
    example="pipx run PACKAGE==1.2.3",
    packages=_words("--spec --with"),
    source=_words("--spec"),
    valued=_words("--python --index-url -i --pip-args --fetch-missing-python"),
    flags=_words("-q --quiet -v --verbose --no-cache --pypackages"),
    refused=_words("--path"),
)
_DOCKER: Final = _Runner(
    exact=(_IMAGE,),
    example="docker run -i --rm IMAGE@sha256:DIGEST",
    valued=_words(
        "-e --env --env-file -v --volume --mount --name --network --net -p --publish -u --user -w --workdir"
        " -m --memory --cpus --entrypoint --platform --label -l --hostname -h --add-host --dns --tmpfs --pull"
        " --security-opt --cap-add --cap-drop --gpus --shm-size --ulimit --restart --stop-timeout"
    ),
    flags=_words("-i --interactive --rm -t --tty -it -ti --init --read-only -q --quiet --privileged"),
    refused=_words("-d --detach"),
)

_UV_VALUED: Final = _words("--directory --project --python -p --extra --group --package")
_UV_FLAGS: Final = _words(
    "run --frozen --locked --no-dev --no-sync --offline -q --quiet --isolated --all-extras --"
)

_Entry: TypeAlias = tuple[_Runner, tuple[tuple[str, ...], ...]]
_RUNNERS: Final[dict[str, _Entry]] = {
    "uvx": (_UVX, ((),)),
    "uv": (_UVX, (("tool", "run"), ("x",))),
    "npx": (_NPX, ((),)),
    "pnpx": (_NPX, ((),)),
    "bunx": (_NPX, ((),)),
    "npm": (_NPX, (("exec",), ("x",))),
    "pnpm": (_NPX, (("dlx",),)),
    "yarn": (_NPX, (("dlx",),)),
    "bun": (_NPX, (("x",),)),
    "pipx": (_PIPX, (("run",),)),
    "docker": (_DOCKER, (("run",), ("container", "run"))),
    "podman": (_DOCKER, (("run",), ("container", "run"))),
}
_ALIASES: Final = {"npx-cli.js": "npx", "npm-cli.js": "npm", "pnpm.cjs": "pnpm", "yarn.js": "yarn"}


def lock_of(program: str, arguments: Sequence[str]) -> str:
    """Returns a runner's locked version and its extent; '' for a plain program."""
    name = _ALIASES.get(program, program.removesuffix(".exe").removesuffix(".cmd"))
    if name in _WRAPPERS:
        raise UnpinnableError(f"`{shown(name)}` hides the program that it starts")
    if name in _SHELLS and any(re.fullmatch(r"-[a-z]*c[a-z]*", one) for one in arguments):
        raise UnpinnableError(f"a line for `{shown(name)}` hides the programs that it starts")
    if name == "deno":
        return _deno(arguments)
    entry = _RUNNERS.get(name)
    if entry is None:
        return ""
    runner, verbs = entry
    for verb in verbs:
        if tuple(arguments[: len(verb)]) == verb:
            packages = _packages(runner, arguments[len(verb) :])
            how = " ".join((name, *verb))
            end = "" if runner is _DOCKER else f"; {_DEPENDENCIES}"
            return f"{how}: {' '.join(packages)}{end}"
    return _other_verb(name, runner, arguments)


def _packages(runner: _Runner, words: Sequence[str]) -> list[str]:
    found: list[str] = []
    sourced = False
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--" or not word.startswith("-"):
            at += word == "--"
            if not sourced:
                found.append(_exact(runner, words[at] if at < len(words) else ""))
            return found
        option, mark, value = word.partition("=")
        if option in runner.packages | runner.valued and not mark:
            at += 1
            value = words[at] if at < len(words) else ""
        if option in runner.packages:
            found.append(_exact(runner, value))
            sourced = sourced or option in runner.source
        elif option not in runner.valued and (option not in runner.flags or mark):
            raise UnpinnableError(f"it can't be told what `{shown(word)}` makes of what follows")  # 2
        at += 1
    raise _floating(runner, "")


def _exact(runner: _Runner, package: str) -> str:
    if any(form.fullmatch(package) for form in runner.exact):
        return package
    raise _floating(runner, package)


def _floating(runner: _Runner, package: str) -> FloatingVersionError:
    what = f"`{shown(package)}` names no exact version" if package else "no package is named"
    return FloatingVersionError(what, remedy=f"lock it: `{runner.example}`")


def _other_verb(name: str, runner: _Runner, arguments: Sequence[str]) -> str:
    if name == "uv" and "run" in arguments:
        return _uv_run(arguments)
    verb = " ".join((name, *arguments[:1]))
    raise UnpinnableError(
        f"it can't be told what `{shown(verb)}` would run",
        remedy=f"give the program itself, or a package with its version: `{runner.example}`",
    )


def _uv_run(arguments: Sequence[str]) -> str:
    said: set[str] = set()
    at = 0
    while at < len(arguments) and (arguments[at].startswith("-") or arguments[at] == "run"):
        option, mark, _ = arguments[at].partition("=")
        if option not in _UV_VALUED | _UV_FLAGS:
            raise UnpinnableError(f"it can't be told what `{shown(arguments[at])}` makes of what follows")
        said.add(option)
        at += 2 if option in _UV_VALUED and not mark else 1
    if not said & {"--frozen", "--locked"}:
        raise FloatingVersionError(
            "`uv run` brings a project up to date before it runs it",
            remedy="say `uv run --frozen` with a `uv.lock` in the project, or `uvx PACKAGE==1.2.3`",
        )
    return "uv run: as uv.lock says"


def _deno(arguments: Sequence[str]) -> str:
    remote = [one for one in arguments if re.match(r"(?:npm|jsr|https?):", one)]
    for one in remote:
        scheme, _, package = one.partition(":")
        if scheme not in {"npm", "jsr"} or _NPM.fullmatch(package) is None:
            raise FloatingVersionError(
                f"`{shown(one)}` names no exact version", remedy="lock it: `deno run npm:PACKAGE@1.2.3`"
            )
    return f"deno: {' '.join(remote)}; {_DEPENDENCIES}" if remote else ""


_SHEBANG: Final = 256
_PATIENCE: Final = 30.0
_INTERPRETER: Final = re.compile(
    r"(?:python|pypy)[0-9.]*[a-z]*|node(?:js)?|bun|deno|ruby|perl|php|lua|Rscript|java|ba?sh|dash|zsh|tsx|ts-node"
)
_SCRIPT_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*[a-z]*")
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
    """Returns the words after `#!`, or an empty list; raises UnpinnableError for an unusable line."""
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
    rest = words[1].strip() if len(words) > 1 else ""
    parts = shlex.split(rest.removeprefix("-S")) if rest.startswith("-S") else rest.split()
    if not parts or parts[0].startswith("-") or "=" in parts[0]:
        raise UnpinnableError(f"the first line of `{shown(str(path))}` does not say what `env` would start")
    return [words[0], *parts]


def scripts_of(program: str, arguments: Sequence[str], directory: Path) -> list[Path]:
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
    return _SCRIPT_PYTHON.fullmatch(program) is not None


def module_of(program: str, arguments: Sequence[str]) -> str | None:
    """Returns the module of `python -m`, or None."""
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
    """Returns the module that a console script imports, or ''."""
    with script.open("rb") as file:
        text = file.read(_ENTRY_SIZE + 1)
    found = _ENTRY.findall(text)
    return found[0].decode() if len(text) <= _ENTRY_SIZE and len(found) == 1 else ""


def find_module(
    python: Path, module: str, *, main: bool, environment: Mapping[str, str], directory: Path
) -> Module:
    """Asks the interpreter for a module's file (script rule 3); raises NoSuchModuleError.

    `main` means that it is run, not imported.
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


_TURNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A resolved command line."""

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
    """Resolves a command with everything that is pinned; PATH is taken from `environment`."""
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
    module, python = module_of(program.name, words), program
    main = module is not None
    if module is None and files and is_python(files[-1].name):
        module, python = entry_of(program.resolve()), files[-1]
    if not module and not main:
        return None
    return find_module(python, module or "", main=main, environment=environment, directory=directory)


def _lock_file(words: list[str], directory: Path) -> Path:
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
    path = (directory / word).resolve() if word and "\0" not in word else directory
    return str(path) if path in scripts else word
