"""The ready tool files, each held against the real server that it is for.

1. A file has every tool of its server and no other, and a role for each argument and no other.
2. It relaxes an effect only where the server says nothing of the tool; what a server says is only tightened.
3. What it says is tried where that needs nobody else: what reads changes nothing, what may be repeated comes
   to the same, and what was tightened does what the server denies.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from taskbound.adapters.upstream.mcp.pin import resolve_command
from taskbound.core.tool import Effect, parse_definition
from taskbound.core.tool.file import parse_roles
from taskbound.surfaces.cli.ready import find_ready, read_ready, ready_names
from taskbound.wire.tool import ServerSpec
from tests.peers.rawclient import RawClient, result_of
from tests.servers.catalog import clean, make_ground, peers
from tests.surfaces.gateway.real import DEADLINE

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.tool.file import ToolFile
    from tests.servers.catalog import Ground, Peer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

NAMES: Final = ready_names()
_RANK: Final = {Effect.READ: 0, Effect.WRITE: 1, Effect.DESTRUCTIVE: 2}


@pytest.fixture
def own(tmp_path: Path, page: str, ground: Ground) -> Ground:
    """A ground that no other test works on."""
    folder = tmp_path / "own"
    folder.mkdir()
    return make_ground(folder, url=page, database=ground.database)


def peer_of(name: str, ground: Ground) -> Peer:
    return next(one for one in peers(ground) if one.name == name)


def client_of(peer: Peer, ground: Ground) -> RawClient:
    return RawClient(peer.command, env=clean(peer), cwd=ground.folder, deadline=DEADLINE)


def spec_of(peer: Peer, ground: Ground) -> ServerSpec:
    program, *words = peer.command
    found = resolve_command(program, words, environment=clean(peer), directory=str(ground.folder))
    return ServerSpec(
        name=peer.name,
        command=found.command,
        sha256=found.sha256,
        files=found.files,
        arguments=found.arguments,
        lock=found.lock,
    )


def test_there_is_a_ready_file_for_each_of_the_servers_that_are_used_most(ground: Ground) -> None:
    assert set(NAMES) == {
        "fetch", "filesystem", "git", "github", "memory", "playwright", "postgres", "slack", "sqlite", "time"
    }  # fmt: skip  # a list of words reads better as words
    for name in NAMES:
        found = find_ready(spec_of(peer_of(name, ground), ground))
        assert found is not None, name
        assert found[0] == name
    assert find_ready(spec_of(peer_of("calculator", ground), ground)) is None


@pytest.mark.parametrize("name", NAMES)
async def test_a_ready_file_has_each_tool_and_argument_of_the_real_server_and_no_other(
    name: str, ground: Ground
) -> None:
    file = read_ready(name)
    async with client_of(peer_of(name, ground), ground) as client:
        await client.handshake()
        listed = {one["name"]: parse_definition(json.dumps(one).encode()) for one in await client.tools()}
    said = {one.name: one for one in file.tools}
    assert said.keys() == listed.keys()
    for tool, definition in listed.items():
        properties = definition.input_schema.get("properties")
        arguments = set(properties) if isinstance(properties, dict) else set()
        assert parse_roles(said[tool].roles or ()).keys() == arguments, tool
        effect = said[tool].effect
        assert effect is not None, tool
        if _RANK[effect] < _RANK[definition.effect]:
            assert not definition.value.get("annotations"), f"{tool} is relaxed against its server's word"
        assert not (said[tool].idempotent and definition.denies_idempotence), tool


# --- what reads changes nothing ----------------------------------------------------------------------


def readings(ground: Ground) -> dict[str, dict[str, Any]]:
    """Arguments for each tool that is declared as reading, of the servers that work on the ground."""
    folder, repository = str(ground.folder), {"repo_path": str(ground.repository)}
    note = {"path": f"{folder}/note.txt"}
    return {
        "filesystem": {
            "read_file": note, "read_text_file": note, "read_media_file": note, "get_file_info": note,
            "read_multiple_files": {"paths": [note["path"]]}, "list_directory": {"path": folder},
            "list_directory_with_sizes": {"path": folder}, "directory_tree": {"path": folder},
            "search_files": {"path": folder, "pattern": "*.txt"}, "list_allowed_directories": {},
        },
        "git": {
            "git_status": repository, "git_diff_unstaged": repository, "git_diff_staged": repository,
            "git_diff": repository | {"target": "HEAD"}, "git_log": repository,
            "git_show": repository | {"revision": "HEAD"},
            "git_branch": repository | {"branch_type": "local"},
        },
        "memory": {"read_graph": {}, "search_nodes": {"query": "ann"}, "open_nodes": {"names": ["ann"]}},
        "sqlite": {
            "read_query": {"query": "SELECT * FROM bills"}, "list_tables": {},
            "describe_table": {"table_name": "bills"},
        },
    }  # fmt: skip  # a list of words reads better as words


def state(ground: Ground) -> dict[str, str]:
    """What the ground holds, but git's index: it holds the times of files that were looked at."""
    found = {}
    for path in sorted(ground.folder.rglob("*")):
        if path.is_file() and path.name not in {"index", "index.lock"}:
            found[str(path.relative_to(ground.folder))] = sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("name", ["filesystem", "git", "memory", "sqlite"])
async def test_what_a_ready_file_calls_reading_changes_nothing(name: str, own: Ground) -> None:
    calls = readings(own)[name]
    declared = {one.name for one in read_ready(name).tools if one.effect is Effect.READ}
    assert calls.keys() == declared
    before = state(own)
    async with client_of(peer_of(name, own), own) as client:
        await client.handshake()
        for tool, arguments in calls.items():
            answer = await client.call(tool, json.dumps(arguments).encode())
            assert not result_of(answer).get("isError"), (tool, answer)
    assert state(own) == before


async def test_a_statement_that_writes_is_refused_where_sqlite_is_read(own: Ground) -> None:
    async with client_of(peer_of("sqlite", own), own) as client:
        await client.handshake()
        for statement in ("DELETE FROM bills", "SELECT 1; DELETE FROM bills"):
            await client.call("read_query", json.dumps({"query": statement}).encode())
    with closing(sqlite3.connect(own.folder / "bills.db")) as database:
        assert database.execute("SELECT count(*) FROM bills").fetchone() == (1,)


# --- what may be repeated comes to the same ----------------------------------------------------------


def repeats(ground: Ground) -> dict[str, dict[str, Any]]:
    folder, repository = str(ground.folder), {"repo_path": str(ground.repository)}
    (ground.repository / "b.txt").write_text("b\n", encoding="utf-8")
    return {
        "filesystem": {
            "write_file": {"path": f"{folder}/new.txt", "content": "new"},
            "create_directory": {"path": f"{folder}/a/b"},
        },
        "git": {"git_add": repository | {"files": ["b.txt"]}, "git_reset": repository},
        "memory": {
            "delete_observations": {"deletions": [{"entityName": "ann", "observations": ["pays bills"]}]},
            "delete_relations": {"relations": [{"from": "ann", "to": "bob", "relationType": "knows"}]},
            "delete_entities": {"entityNames": ["ann"]},
        },
    }


def idempotent(file: ToolFile) -> set[str]:
    return {one.name for one in file.tools if one.idempotent}


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_ready_file_calls_idempotent_comes_to_the_same_twice(name: str, own: Ground) -> None:
    calls = repeats(own).get(name, {})
    assert calls.keys() == idempotent(read_ready(name))
    if not calls:
        return
    async with client_of(peer_of(name, own), own) as client:
        await client.handshake()
        for tool, arguments in calls.items():
            raw = json.dumps(arguments).encode()
            first = result_of(await client.call(tool, raw))
            once = state(own)
            second = result_of(await client.call(tool, raw))
            assert (first.get("isError"), second.get("isError")) in {(None, None), (False, False)}, tool
            assert state(own) == once, tool


# --- what was tightened ------------------------------------------------------------------------------


async def test_a_browser_s_tool_that_says_it_only_reads_writes_the_file_that_it_is_told(own: Ground) -> None:
    target = own.folder / "browser" / "shot.png"
    async with client_of(peer_of("playwright", own), own) as client:
        await client.handshake()
        tools = {one["name"]: one for one in await client.tools()}
        assert tools["browser_take_screenshot"]["annotations"]["readOnlyHint"] is True
        result_of(await client.call("browser_navigate", json.dumps({"url": own.url}).encode()))
        shot = json.dumps({"filename": str(target)}).encode()
        result_of(await client.call("browser_take_screenshot", shot))
    assert target.read_bytes().startswith(b"\x89PNG")
    said = {one.name: one for one in read_ready("playwright").tools}
    assert said["browser_take_screenshot"].effect is Effect.WRITE
    writing = [name for name, one in said.items() if "filename=path" in (one.roles or ())]
    assert all(said[name].effect is not Effect.READ for name in writing)


async def test_a_query_that_ends_the_server_s_reading_transaction_writes(own: Ground) -> None:
    name = f"left_{own.folder.parent.name.replace('-', '_')}"[:60]
    statement = f"COMMIT; CREATE TABLE {name} (id int)"
    async with client_of(peer_of("postgres", own), own) as client:
        await client.handshake()
        await client.call("query", json.dumps({"sql": statement}).encode())
    with psycopg.connect(own.database, autocommit=True) as database:
        found = database.execute("SELECT count(*) FROM pg_tables WHERE tablename = %s", [name]).fetchone()
        database.execute(f"DROP TABLE IF EXISTS {name}".encode())
    assert found == (1,)
    (query,) = read_ready("postgres").tools
    assert query.effect is Effect.DESTRUCTIVE
