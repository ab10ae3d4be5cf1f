"""Where MCP clients keep their configurations, and what servers those name.

1. Only files that are there are looked at; a file that can't be read is named, and the others still count.
2. One file that is reached in two ways counts once.

The places stand in the clients' own documentation:
Claude Desktop: https://modelcontextprotocol.io/docs/develop/connect-local-servers (macOS; there is no client
of the vendor's for Linux, and those who build one keep to `~/.config/Claude`).
Claude Code: https://code.claude.com/docs/en/mcp (`~/.claude.json` for user and local scope, the latter under
`projects`; `.mcp.json` in a project). Cursor: https://cursor.com/docs/mcp (`~/.cursor/mcp.json`,
`.cursor/mcp.json`). VS Code: https://code.visualstudio.com/docs/copilot/reference/mcp-configuration
(`mcp.json` of each profile, `.vscode/mcp.json`) and /docs/configure/profiles.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.surfaces.cli.clients.entries import Client, Config, Server, servers_of
from taskbound.surfaces.cli.clients.errors import BadConfigError
from taskbound.surfaces.cli.clients.jsonc import Document, parse_jsonc
from taskbound.surfaces.cli.clients.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


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
    """What was found of all clients."""

    servers: tuple[Server, ...]
    unreadable: tuple[tuple[Path, str], ...]
    looked: tuple[tuple[Client, Path], ...]
    """Each file that was looked for, and the client that reads it."""


def find_configs(
    *, home: Path, folders: Sequence[Path], extra: Sequence[Path], environ: Mapping[str, str]
) -> Found:
    """Every server of every configuration that is there.

    Args:
        home: The user's home directory.
        folders: Directories of projects, whose configurations count too; the working directory, for one.
        extra: Files named by the person, with `mcpServers` or `servers`.
        environ: The environment, for what a client would fill in.
    """
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
    """Whether there is anything of this name; what can't be told counts as there, and is then named."""
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
    """Each file that a client would read (rule 1), and the project that it is for."""
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
