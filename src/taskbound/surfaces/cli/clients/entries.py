"""Finds entries of MCP clients' configurations and routes them through the gateway.

1. Variables (`${env:NAME}`) are filled in as the client does; an unknown one leaves the entry in place.
2. An entry that would lose something (sandbox, sign-in) or that clients read differently stays in place.
3. Secrets go into slots; a secret without a slot leaves the entry in place, because pins are shown.
4. An entry that can't be gated is always reported as bypassing the gateway.
5. A variable whose name suggests a secret is never filled into a command, directory or URL.
6. An entry with variables beyond our own, which could decide what runs, is not taken for our gateway.

Sources: https://code.visualstudio.com/docs/copilot/reference/mcp-configuration,
https://code.claude.com/docs/en/mcp, https://cursor.com/docs/mcp and
https://modelcontextprotocol.io/docs/develop/connect-local-servers (Claude Desktop fills in nothing).
"""

from __future__ import annotations

import re
import sys
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.slot import may_name_secret
from taskbound.surfaces.cli.clients.files import BadConfigError, read_text
from taskbound.surfaces.cli.clients.jsonc import (
    Document,
    UnplaceableError,
    has_secret,
    parse_environment,
    parse_jsonc,
    part_remote,
    part_started,
)
from taskbound.surfaces.cli.clients.undo import Change, Planned, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import Slot


_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_REMOTE: Final = frozenset({"http", "sse", "streamable-http", "streamableHttp", "streamable_http"})
_LOST: Final[Mapping[str, str]] = {
    "auth": "its client signs in for it (`auth`)",
    "headersHelper": "its client has a program make its headers (`headersHelper`)",
    "oauth": "its client signs in for it (`oauth`)",
    "sandboxEnabled": "its client runs it in a sandbox (`sandboxEnabled`), which would be lost",
}
_PINNED: Final = "its arguments hold a secret, and what is pinned is stored and shown"
_OWN: Final = "TASKBOUND_"
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d+)?t?)?", re.ASCII)
_FRONT: Final = re.compile(r"/mcp/[a-z0-9][a-z0-9-]*/?", re.ASCII)
_NEAR: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Client(Enum):
    """A program that starts MCP servers."""

    CLAUDE_DESKTOP = "Claude Desktop"
    CLAUDE_CODE = "Claude Code"
    CURSOR = "Cursor"
    VS_CODE = "VS Code"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One object of servers in one file."""

    client: Client
    path: Path
    keys: tuple[str, ...]
    """The way to the object of servers."""
    folder: Path | None
    """The project that it is for; none for a user's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One entry of a configuration, as the client would start or reach it."""

    config: Config
    name: str
    line: int = 0
    """Where the entry begins in its file."""
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    directory: str = ""
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[Slot, str], ...] = field(default=(), repr=False)
    """What goes into its slots (rule 3)."""
    problem: str = ""
    """Why it can't be gated, in words; empty when it can."""
    gateway: bool = False
    """Whether it is our own gateway already."""
    filled: tuple[str, ...] = ()
    """Variables of the environment whose values were filled in."""
    front: bool = False
    """Whether it is reached where our own HTTP front serves, or something that looks like it."""
    read: str = ""
    """The file that its variables were read from as well."""

    @property
    def start(self) -> tuple[object, ...]:
        """Return the command or URL; equal for two entries that mean the same server."""
        return self.command, self.environment, self.directory, self.url, self.headers, self.secrets


def servers_of(
    config: Config, document: Document, *, home: Path, environ: Mapping[str, str]
) -> tuple[Server, ...]:
    node = document.root.find(*config.keys)
    if node is None or not isinstance(node.value, dict):
        return ()
    found = []
    for member in node.members:
        fill = _Fill(config=config, home=home, environ=environ)
        line = document.line_of(member.start)
        try:
            found.append(_server(fill, member.key, line, member.value.value))
        except _StaysError as error:
            found.append(Server(config=config, name=member.key, line=line, problem=str(error)))
    return tuple(found)


def is_gateway(command: Sequence[str]) -> bool:
    match list(command):
        case [program, "gateway", *rest]:
            known = Path(program).name == "taskbound"
        case [program, "-P" | "-I", "-m", "taskbound.wiring.cli", "gateway", *rest]:
            known = _PYTHON.fullmatch(Path(program).name) is not None
        case _:
            return False
    placed = Path(program).is_absolute() or Path(program).name == program
    return known and placed and "${" not in program and "--agent" in rest


def told_option(command: Sequence[str], name: str) -> str:
    words = list(command)
    at = words.index(name) + 1 if name in words else len(words)
    return words[at] if at < len(words) else ""


class _StaysError(Exception):
    """The reason why an entry can't be gated."""


def _server(fill: _Fill, name: str, line: int, body: JsonValue) -> Server:
    config = fill.config
    if not isinstance(body, dict):
        raise _StaysError("it is no object")
    if _has_zero(body) or "\0" in str(config.folder or ""):
        raise _StaysError("it holds a zero character, which no program can be given")
    kind = body.get("type", body.get("transport"))
    if body.get("disabled") is True or body.get("enabled") is False:
        raise _StaysError("it is disabled, and stays as it is")
    for key, why in _LOST.items():
        if body.get(key):
            raise _StaysError(why)  # 2
    if not isinstance(kind, str | None) or kind not in {None, "stdio", *_REMOTE}:
        raise _StaysError("its `type` is unknown")
    if ("command" in body) == ("url" in body) or (kind in _REMOTE and "url" not in body):
        raise _StaysError(_unclear(body))
    if "url" in body:
        return _reached(fill, name, line, body)
    if not isinstance(body["command"], str) or not body["command"]:
        raise _StaysError("it has no command")
    words = [body["command"], *_texts(body.get("args", []), "args")]
    if is_gateway(words):
        if body.get("envFile") or not all(
            key.startswith(_OWN) for key, _ in _pairs(body.get("env", {}), "env")
        ):
            raise _StaysError("it starts Taskbound's gateway with variables that decide what runs in it")  # 6
        return Server(config=config, name=name, line=line, command=tuple(words), gateway=True)
    declared = _pairs(body.get("env", {}), "env")
    read, more = _environment_file(fill, body.get("envFile"))
    told = body.get("cwd")
    command = tuple(fill.pinned(one) for one in words)
    parted = part_started({**more, **{key: fill.text(one) for key, one in declared}})
    return Server(
        config=config,
        name=name,
        line=line,
        command=command,
        problem=_PINNED if has_secret(command) else "",  # 3
        environment=parted.environment,
        secrets=parted.secrets,
        directory=fill.place(fill.pinned(told) if isinstance(told, str) else ""),
        filled=tuple(sorted(fill.used)),
        read=read,
    )


def _has_zero(value: JsonValue) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or _has_zero(one) for key, one in value.items())
        case list():
            return any(map(_has_zero, value))
        case _:
            return False


def _unclear(body: Mapping[str, JsonValue]) -> str:
    if "command" in body and "url" in body:
        return "it has both a command and a URL, and clients disagree about which one counts"
    return "it is a remote server without a URL" if body.get("type") in _REMOTE else "it has no command"


def _reached(fill: _Fill, name: str, line: int, body: Mapping[str, JsonValue]) -> Server:
    told = body["url"]
    if not isinstance(told, str) or not told:
        raise _StaysError("its `url` is not what it should be")
    url = fill.pinned(told)
    declared = _pairs(body.get("headers", {}), "headers")
    headers = {key.lower(): fill.text(one) for key, one in declared}
    if len(headers) != len(declared):
        raise _StaysError("two of its headers have the same name")
    if _is_front(url):
        why = "it is reached where Taskbound's own HTTP front serves an agent, and stays"
        return Server(config=fill.config, name=name, line=line, url=url, problem=why, front=True)
    try:
        parted = part_remote(url, headers)  # 3
    except UnplaceableError as error:
        return Server(config=fill.config, name=name, line=line, url=url, problem=str(error))
    return Server(
        config=fill.config,
        name=name,
        line=line,
        url=parted.url,
        headers=parted.headers,
        secrets=parted.secrets,
        filled=tuple(sorted(fill.used)),
    )


def _is_front(url: str) -> bool:
    try:
        split = urlsplit(url)
        return split.hostname in _NEAR and _FRONT.fullmatch(split.path) is not None
    except ValueError:
        return False


def _texts(value: JsonValue, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _StaysError(f"its `{what}` are not what they should be")
    return [one for one in value if isinstance(one, str)]


def _pairs(value: JsonValue, what: str) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise _StaysError(f"its `{what}` is not what it should be")
    found = []
    for key, one in value.items():
        if isinstance(one, bool) or not isinstance(one, str | int):
            raise _StaysError(f"its `{what}` is not what it should be: `{escape_text(key)}` is no text")
        found.append((key, str(one)))
    return found


def _environment_file(fill: _Fill, told: JsonValue) -> tuple[str, Mapping[str, str]]:
    if told is None:
        return "", {}
    if not isinstance(told, str) or not told or fill.config.client not in {Client.VS_CODE, Client.CURSOR}:
        raise _StaysError("it reads its variables from a file (`envFile`), which is not known of its client")
    path = Path(fill.place(fill.text(told)))
    try:
        return str(path), parse_environment(read_text(path))
    except BadConfigError as error:
        raise _StaysError(
            f"it reads its variables from `{escape_text(str(path))}`: {error.message}"
        ) from None


@dataclass(slots=True, kw_only=True)
class _Fill:
    config: Config
    home: Path
    environ: Mapping[str, str]
    used: set[str]

    def __init__(self, *, config: Config, home: Path, environ: Mapping[str, str]) -> None:
        self.config = config
        self.home = home
        self.environ = environ
        self.used = set()

    def place(self, told: str) -> str:
        start = self.config.folder or self.home
        try:
            return str((start / Path(told).expanduser()) if told else start)
        except RuntimeError:  # what Python raises for the home of an account that is not there
            raise _StaysError(f"`{escape_text(told)}` has no known location") from None

    def pinned(self, text: str) -> str:
        """Fill in text that the daemon pins and shows; variables with secret names are refused."""
        fresh = _Fill(config=self.config, home=self.home, environ=self.environ)
        filled = fresh.text(text)
        for name in sorted(fresh.used):
            if may_name_secret(name):
                raise _StaysError(f"the variable `{escape_text(name)}` may be a secret, and would be pinned")
        self.used |= fresh.used
        return filled

    def text(self, text: str) -> str:
        match self.config.client:
            case Client.CLAUDE_DESKTOP | Client.GENERIC:
                return text
            case Client.CLAUDE_CODE:
                return _VARIABLE.sub(lambda found: self._shell(found[1]), text)
            case Client.CURSOR | Client.VS_CODE:
                return _VARIABLE.sub(lambda found: self._editor(found[1]), text)

    def _shell(self, name: str) -> str:
        name, mark, default = name.partition(":-")
        value = self.environ.get(name)
        if mark and not value:
            return default
        if value is None:
            raise _StaysError(f"it needs the variable `{escape_text(name)}`, which is not set here")
        self.used.add(name)
        return value

    def _editor(self, name: str) -> str:
        kind, _, rest = name.partition(":")
        folder = self.config.folder
        match kind:
            case "env":
                return self._shell(rest)
            case "userHome":
                return str(self.home)
            case "pathSeparator" | "/":
                return "/"
            case "workspaceFolder" if folder is not None and not rest:
                return str(folder)
            case "workspaceFolderBasename" if folder is not None:
                return folder.name
            case "input":
                raise _StaysError(f"it asks the person for `{escape_text(rest)}` at each start")
            case _:
                raise _StaysError(f"only the client can fill in `{escape_text(name)}`")


def plan_gates(
    servers: Iterable[Server], found: Sequence[Server], *, agent: str, command: Sequence[str]
) -> tuple[Planned, ...]:
    files: dict[Path, dict[tuple[str, ...], list[Server]]] = {}
    for server in servers:
        files.setdefault(server.config.path, {}).setdefault(server.config.keys, []).append(server)
    return tuple(
        plan(path, [_change(some, found, agent, command) for some in objects.values()])
        for path, objects in files.items()
    )


def _change(some: Sequence[Server], found: Sequence[Server], agent: str, command: Sequence[str]) -> Change:
    config = some[0].config
    entry: dict[str, JsonValue] = {"command": command[0], "args": [*command[1:]]}
    if config.client in {Client.VS_CODE, Client.CLAUDE_CODE}:
        entry = {"type": "stdio", **entry}
    return Change(
        keys=config.keys,
        remove=tuple(one.name for one in some),
        name=_entry_name(config, found, agent),
        entry=entry,
    )


def _entry_name(config: Config, found: Sequence[Server], agent: str) -> str:
    here = {one.name: one for one in found if one.config == config}
    for name, one in here.items():
        if one.gateway and told_option(one.command, "--agent") == agent:
            return name
    names = ["taskbound", f"taskbound-{agent}", *(f"taskbound-{number}" for number in range(2, 100))]
    return next(name for name in names if name not in here)


_ENTRIES: Final = ("mcpServers",)
_EDITIONS: Final = ("Code", "Code - Insiders", "VSCodium")
PROJECT_FILES: Final[Mapping[str, Client]] = {
    ".mcp.json": Client.CLAUDE_CODE,
    ".cursor/mcp.json": Client.CURSOR,
    ".vscode/mcp.json": Client.VS_CODE,
}
"""What a client reads in the directory of a project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The servers of all clients, and the files that can't be read."""

    servers: tuple[Server, ...]
    unreadable: tuple[tuple[Path, str], ...]
    looked: tuple[tuple[Client, Path], ...]
    """Each file that was looked for, and the client that reads it."""


def find_configs(
    *, home: Path, folders: Sequence[Path], extra: Sequence[Path], environ: Mapping[str, str]
) -> Found:
    """Find every server; `folders` are project directories, `extra` files that the user named."""
    servers: list[Server] = []
    unreadable: list[tuple[Path, str]] = []
    seen: set[Path] = set()
    looked = tuple(_candidates(home, folders, extra, environ))
    for client, path, project in looked:
        if not is_there(path) and path not in extra:
            continue
        try:
            real = _resolved(path)
            if real in seen:
                continue
            seen.add(real)  # 2
            document = parse_jsonc(read_text(path))
            for config in _objects(client, path, project, document):
                servers.extend(servers_of(config, document, home=home, environ=environ))
        except BadConfigError as error:
            unreadable.append((path, error.message))  # 1
    return Found(
        servers=tuple(servers),
        unreadable=tuple(unreadable),
        looked=tuple((client, path) for client, path, _ in looked),
    )


def is_there(path: Path) -> bool:
    """Return whether the path exists; a path that can't be checked counts as existing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # Python before 3.13 raises the latter for links that lead round
        shown = escape_text(str(path))
        raise BadConfigError(f"`{shown}` can't be read: it is a link that leads round") from error


def _candidates(
    home: Path, folders: Sequence[Path], extra: Sequence[Path], environ: Mapping[str, str]
) -> Iterator[tuple[Client, Path, Path | None]]:
    told = environ.get("XDG_CONFIG_HOME", "")
    config = Path(told) if told.startswith("/") else home / ".config"
    if sys.platform == "darwin":
        config = home / "Library" / "Application Support"
    yield Client.CLAUDE_DESKTOP, config / "Claude" / "claude_desktop_config.json", None
    yield Client.CLAUDE_CODE, home / ".claude.json", None
    yield Client.CURSOR, home / ".cursor" / "mcp.json", None
    for edition in _EDITIONS:
        user = config / edition / "User"
        yield Client.VS_CODE, user / "mcp.json", None
        for profile in sorted(user.glob("profiles/*/mcp.json")):
            yield Client.VS_CODE, profile, None
    for folder in folders:
        for name, client in PROJECT_FILES.items():
            yield client, folder / name, folder
    for path in extra:
        yield Client.GENERIC, path, None


def _objects(client: Client, path: Path, project: Path | None, document: Document) -> Iterator[Config]:
    root = document.root
    keys = ("servers",) if client is Client.VS_CODE else _ENTRIES
    if client is Client.GENERIC and root.find(*keys) is None and root.find("servers") is not None:
        keys = ("servers",)
    if root.find(*keys) is not None:
        yield Config(client=client, path=path, keys=keys, folder=project)
    elif client is Client.GENERIC:
        raise BadConfigError(f"`{escape_text(str(path))}` has neither `mcpServers` nor `servers`")
    projects = root.find("projects") if client is Client.CLAUDE_CODE else None
    for one in projects.members if projects else ():
        if one.value.find("mcpServers") is not None:
            inner = ("projects", one.key, "mcpServers")
            yield Config(client=client, path=path, keys=inner, folder=Path(one.key))
