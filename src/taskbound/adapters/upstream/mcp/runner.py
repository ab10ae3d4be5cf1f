"""Commands that fetch what they run: accepted with an exact version, refused when it floats.

1. `npx`, `uvx`, `pipx run` and the like run whatever is newest unless the package has an
   exact version; then the version is the lock (design 2, tool). `docker run` needs the
   image's digest: a tag floats too.
2. Options are known by name. With an unknown one nobody can tell which word is the
   package, so it refuses.
3. A shell line, `env`, `sudo` and the like hide what runs, and refuse.
4. A lock says how far it goes: what the package itself depends on is resolved anew.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.adapters.upstream.mcp.errors import FloatingVersionError, UnpinnableError
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """How one runner's command line is read."""

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
    """The exact version that a runner was given and how far that goes; empty for a program of its own.

    Args:
        program: The last part of the command's path.
        arguments: What stands behind it.

    Raises:
        FloatingVersionError: The version floats (rule 1); the advice says how to lock it.
        UnpinnableError: Nobody can tell what would run (rules 2 and 3).
    """
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
    """Every package that this command line fetches, each with its exact version."""
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
            raise UnpinnableError(f"nobody can tell what `{shown(word)}` makes of what follows")  # 2
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
    """What a package manager does beside fetching: run a project, which its lock file pins."""
    if name == "uv" and "run" in arguments:
        return _uv_run(arguments)
    verb = " ".join((name, *arguments[:1]))
    raise UnpinnableError(
        f"nobody can tell what `{shown(verb)}` would run",
        remedy=f"give the program itself, or a package with its version: `{runner.example}`",
    )


def _uv_run(arguments: Sequence[str]) -> str:
    """The project's own lock file, when uv is told to leave it as it is."""
    said: set[str] = set()
    at = 0
    while at < len(arguments) and (arguments[at].startswith("-") or arguments[at] == "run"):
        option, mark, _ = arguments[at].partition("=")
        if option not in _UV_VALUED | _UV_FLAGS:
            raise UnpinnableError(f"nobody can tell what `{shown(arguments[at])}` makes of what follows")
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
