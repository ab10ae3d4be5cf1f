"""Where MCP clients keep their configurations, and what servers those name.

1. Only files that are there are looked at; a file that can't be read is named, and the others still count.
2. What a client would fill in itself (`${workspaceFolder}`, `${env:NAME}`, `${NAME}`) is filled in here as
   that client does it; what only the client can know leaves the server where it is, with the reason.
3. A server that can't be gated is never silently skipped: it bypasses the gateway, and is said to.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.surfaces.cli.clients.errors import BadConfigError
from taskbound.surfaces.cli.clients.jsonc import Document, parse_jsonc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue

__all__ = ["Client", "Config", "Found", "Server", "find_configs", "is_gateway", "read_text", "servers_of"]

_LARGEST: Final = 32 * 1024 * 1024
_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_ENTRIES: Final = ("mcpServers",)


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
    """One entry of a configuration, as the client would start it."""

    config: Config
    name: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    directory: str = ""
    problem: str = ""
    """Why it can't be gated, in words; empty when it can."""
    gateway: bool = False
    """Whether it is our own gateway already."""
    filled: tuple[str, ...] = ()
    """Variables of the environment whose values were filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of all clients."""

    servers: tuple[Server, ...]
    unreadable: tuple[tuple[Path, str], ...]


def find_configs(*, home: Path, folder: Path, extra: Sequence[Path], environ: Mapping[str, str]) -> Found:
    """Every server of every configuration that is there.

    Args:
        home: The user's home directory.
        folder: The working directory, whose project's configurations count too.
        extra: Files named by the person, with `mcpServers` or `servers`.
        environ: The environment, for what a client would fill in.
    """
    servers: list[Server] = []
    unreadable: list[tuple[Path, str]] = []
    seen: set[Path] = set()
    for client, path, project in _candidates(home, folder, extra, environ):
        real = path.resolve()
        if real in seen or not (path.is_file() or path in extra):
            continue
        seen.add(real)
        try:
            document = parse_jsonc(read_text(path))
            for config in _objects(client, path, project, document):
                servers.extend(servers_of(config, document, home=home, environ=environ))
        except BadConfigError as error:
            unreadable.append((path, error.message))
    return Found(servers=tuple(servers), unreadable=tuple(unreadable))


def read_text(path: Path) -> str:
    """The file's text, with its line ends and its byte-order mark as they are.

    Raises:
        BadConfigError: It can't be read, is too large, or is no UTF-8.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > _LARGEST:
            raise BadConfigError(f"`{path}` is larger than {_LARGEST} bytes")
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except OSError as error:
        raise BadConfigError(f"`{path}` can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadConfigError(f"`{path}` is no UTF-8") from error


def _candidates(
    home: Path, folder: Path, extra: Sequence[Path], environ: Mapping[str, str]
) -> Iterator[tuple[Client, Path, Path | None]]:
    """Each file that a client would read (rule 1), and the project that it is for."""
    told = environ.get("XDG_CONFIG_HOME", "")
    config = Path(told) if told.startswith("/") else home / ".config"
    if sys.platform == "darwin":
        config = home / "Library" / "Application Support"
    yield Client.CLAUDE_DESKTOP, config / "Claude" / "claude_desktop_config.json", None
    yield Client.CLAUDE_CODE, home / ".claude.json", None
    yield Client.CLAUDE_CODE, folder / ".mcp.json", folder
    yield Client.CURSOR, home / ".cursor" / "mcp.json", None
    yield Client.CURSOR, folder / ".cursor" / "mcp.json", folder
    for edition in ("Code", "Code - Insiders", "VSCodium"):
        yield Client.VS_CODE, config / edition / "User" / "mcp.json", None
    yield Client.VS_CODE, folder / ".vscode" / "mcp.json", folder
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
        raise BadConfigError(f"`{path}` has neither `mcpServers` nor `servers`")
    projects = root.find("projects") if client is Client.CLAUDE_CODE else None
    for one in projects.members if projects else ():
        if one.value.find("mcpServers") is not None:
            inner = ("projects", one.key, "mcpServers")
            yield Config(client=client, path=path, keys=inner, folder=Path(one.key))


def servers_of(
    config: Config, document: Document, *, home: Path, environ: Mapping[str, str]
) -> tuple[Server, ...]:
    """The servers that a configuration names, in its order."""
    node = document.root.find(*config.keys)
    if node is None or not isinstance(node.value, dict):
        return ()
    return tuple(_server(config, name, body, home, environ) for name, body in node.value.items())


def is_gateway(command: Sequence[str]) -> bool:
    """Whether a command is our own gateway."""
    words = list(command)
    at = words.index("gateway") if "gateway" in words else -1
    if at < 0 or "--agent" not in words[at:]:
        return False
    return Path(words[0]).name == "taskbound" or "taskbound.wiring.cli" in words[:at]


def _server(config: Config, name: str, body: JsonValue, home: Path, environ: Mapping[str, str]) -> Server:
    problem = _problem(body)
    if problem or not isinstance(body, dict):
        return Server(config=config, name=name, problem=problem)
    arguments = body.get("args", [])
    variables = body.get("env", {})
    words = [body.get("command"), *(arguments if isinstance(arguments, list) else [None])]
    pairs = list(variables.items()) if isinstance(variables, dict) else [("", None)]
    texts = [one for one in words if isinstance(one, str)]
    values = [
        (key, value if isinstance(value, str) else str(value)) for key, value in pairs if value is not None
    ]
    if len(texts) != len(words) or len(values) != len(pairs):
        return Server(config=config, name=name, problem="its `args` or `env` are not what they should be")
    if is_gateway(texts):
        return Server(config=config, name=name, command=tuple(texts), gateway=True)
    fill = _Fill(config=config, home=home, environ=environ)
    directory = body.get("cwd")
    try:
        return Server(
            config=config,
            name=name,
            command=tuple(fill.text(one) for one in texts),
            environment=tuple(sorted((key, fill.text(value)) for key, value in values)),
            directory=_directory(config, fill.text(directory) if isinstance(directory, str) else "", home),
            filled=tuple(sorted(fill.used)),
        )
    except _UnknownVariableError as error:
        return Server(config=config, name=name, problem=str(error))


def _problem(body: JsonValue) -> str:
    """Why an entry can't be gated (rule 3)."""
    if not isinstance(body, dict):
        return "it is no object"
    kind = body.get("type", body.get("transport", "stdio"))
    if "url" in body or kind not in {"stdio", None}:
        return "it is a remote server, which can't be gated yet"
    if body.get("disabled") is True:
        return "it is disabled, and stays as it is"
    if "envFile" in body:
        return "it reads its variables from a file (`envFile`), which would not be pinned"
    if not isinstance(body.get("command"), str) or not body.get("command"):
        return "it has no command"
    return ""


def _directory(config: Config, told: str, home: Path) -> str:
    start = config.folder or home
    return str((start / Path(told).expanduser()) if told else start)


class _UnknownVariableError(Exception):
    """Something that only the client can fill in."""


@dataclass(slots=True, kw_only=True)
class _Fill:
    """Fills in what the client of a configuration would (rule 2)."""

    config: Config
    home: Path
    environ: Mapping[str, str]
    used: set[str]

    def __init__(self, *, config: Config, home: Path, environ: Mapping[str, str]) -> None:
        self.config = config
        self.home = home
        self.environ = environ
        self.used = set()

    def text(self, text: str) -> str:
        """The text as the server would get it."""
        match self.config.client:
            case Client.CLAUDE_DESKTOP | Client.GENERIC:
                return text
            case Client.CLAUDE_CODE:
                return _VARIABLE.sub(lambda found: self._shell(found[1]), text)
            case Client.CURSOR | Client.VS_CODE:
                return _VARIABLE.sub(lambda found: self._editor(found[1]), text)

    def _shell(self, name: str) -> str:
        name, mark, default = name.partition(":-")
        value = self.environ.get(name) or (default if mark else None)
        if value is None:
            raise _UnknownVariableError(f"it needs the variable `{escape_text(name)}`, which is not set here")
        if name in self.environ:
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
                raise _UnknownVariableError(f"it asks the person for `{escape_text(rest)}` at each start")
            case _:
                raise _UnknownVariableError(f"only the client can fill in `{escape_text(name)}`")
