from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from taskbound.surfaces.cli.clients.places import Client, Found, Server, find_configs, is_gateway


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "project").mkdir()
    return tmp_path


def put(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def find(person: Path, *extra: Path, **environ: str) -> Found:
    return find_configs(home=person, folder=person / "project", extra=extra, environ=environ)


def only(found: Found) -> Server:
    (one,) = found.servers
    return one


def test_each_client_is_found_where_it_keeps_its_configuration(person: Path) -> None:
    stdio = {"command": "x", "args": ["1"]}
    put(person / ".config/Claude/claude_desktop_config.json", {"mcpServers": {"desktop": stdio}})
    put(
        person / ".claude.json",
        {
            "numStartups": 7,
            "mcpServers": {"code": {"type": "stdio", **stdio, "env": {}}},
            "projects": {"/srv/p": {"allowedTools": [], "mcpServers": {"local": stdio}}, "/srv/q": {}},
        },
    )
    put(person / "project/.mcp.json", {"mcpServers": {"shared": stdio}})
    put(person / ".cursor/mcp.json", {"mcpServers": {"cursor": stdio}})
    put(person / "project/.cursor/mcp.json", {"mcpServers": {"cursor-project": stdio}})
    put(person / ".config/Code/User/mcp.json", {"inputs": [], "servers": {"code-user": stdio}})
    put(person / "project/.vscode/mcp.json", '{ // mine\n "servers": {"code-project": {"command": "x",},},}')
    found = find(person)
    assert [(one.config.client, one.name) for one in found.servers] == [
        (Client.CLAUDE_DESKTOP, "desktop"),
        (Client.CLAUDE_CODE, "code"),
        (Client.CLAUDE_CODE, "local"),
        (Client.CLAUDE_CODE, "shared"),
        (Client.CURSOR, "cursor"),
        (Client.CURSOR, "cursor-project"),
        (Client.VS_CODE, "code-user"),
        (Client.VS_CODE, "code-project"),
    ]
    assert not any(one.problem for one in found.servers)
    assert {one.name: one.directory for one in found.servers}["local"] == "/srv/p"
    assert {one.name: one.directory for one in found.servers}["shared"] == str(person / "project")


def test_macos_configurations_are_found_in_the_library(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    put(
        person / "Library/Application Support/Claude/claude_desktop_config.json",
        {"mcpServers": {"desktop": {"command": "x"}}},
    )
    put(person / "Library/Application Support/Code/User/mcp.json", {"servers": {"code": {"command": "x"}}})
    assert [one.name for one in find(person).servers] == ["desktop", "code"]


def test_a_file_that_the_person_names_counts_whatever_it_is_called(person: Path) -> None:
    put(person / "mine.json", {"mcpServers": {"a": {"command": "x"}}})
    put(person / "other.json", {"servers": {"b": {"command": "x"}}})
    found = find(person, person / "mine.json", person / "other.json")
    assert [(one.name, one.config.keys) for one in found.servers] == [
        ("a", ("mcpServers",)),
        ("b", ("servers",)),
    ]


def test_one_file_by_two_ways_counts_once(person: Path) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}}})
    (person / "link.json").symlink_to(person / ".cursor/mcp.json")
    assert len(find(person, person / "link.json").servers) == 1


def test_a_file_that_can_not_be_read_is_named_and_hides_no_other(person: Path) -> None:
    put(person / ".cursor/mcp.json", "{ broken")
    put(person / "project/.mcp.json", {"mcpServers": {"a": {"command": "x"}}})
    found = find(person, person / "none.json")
    assert [one.name for one in found.servers] == ["a"]
    assert {path.name for path, _ in found.unreadable} == {"mcp.json", "none.json"}


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"url": "https://example.com/mcp"}, "remote"),
        ({"type": "http", "url": "https://example.com/mcp", "headers": {}}, "remote"),
        ({"type": "sse", "command": "x"}, "remote"),
        ({"command": "x", "disabled": True}, "disabled"),
        ({"command": "x", "envFile": ".env"}, "envFile"),
        ({"args": []}, "no command"),
        ({"command": ""}, "no command"),
        ({"command": "x", "args": "y"}, "not what they should be"),
        ({"command": "x", "args": [1]}, "not what they should be"),
        ({"command": "x", "env": {"A": None}}, "not what they should be"),
        ("x", "no object"),
    ],
)
def test_what_can_not_be_gated_is_listed_with_the_reason(person: Path, body: object, part: str) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": body}})
    assert part in only(find(person)).problem


def test_an_editor_fills_in_its_own_variables(person: Path) -> None:
    body = {
        "command": "${userHome}/bin/x",
        "args": ["${workspaceFolder}${/}data", "${workspaceFolderBasename}", "${env:ROOT}", "$HOME"],
        "cwd": "${workspaceFolder}/sub",
    }
    put(person / "project/.vscode/mcp.json", {"servers": {"a": body}})
    one = only(find(person, ROOT="/srv"))
    project = person / "project"
    assert one.command == (f"{person}/bin/x", f"{project}/data", "project", "/srv", "$HOME")
    assert one.directory == f"{project}/sub"
    assert one.filled == ("ROOT",)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${input:key}", "asks the person for `key`"),
        ("${command:x.y}", "only the client"),
        ("${config:a}", "only the client"),
        ("${env:NONE}", "needs the variable `NONE`"),
        ("${workspaceFolder:other}", "only the client"),
    ],
)
def test_what_only_the_editor_knows_leaves_the_server_where_it_is(person: Path, text: str, part: str) -> None:
    put(person / "project/.vscode/mcp.json", {"servers": {"a": {"command": "x", "env": {"K": text}}}})
    assert part in only(find(person)).problem


def test_a_users_own_configuration_has_no_workspace(person: Path) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": {"command": "x", "args": ["${workspaceFolder}"]}}})
    assert "only the client" in only(find(person)).problem


def test_claude_code_fills_in_variables_and_their_defaults(person: Path) -> None:
    body = {"command": "x", "args": ["${ROOT}/a", "${NONE:-b}"], "env": {"K": "${KEY}"}}
    put(person / "project/.mcp.json", {"mcpServers": {"a": body}})
    one = only(find(person, ROOT="/srv", KEY="k"))
    assert one.command == ("x", "/srv/a", "b")
    assert one.environment == (("K", "k"),)
    assert one.filled == ("KEY", "ROOT")
    assert "needs the variable" in only(find(person, ROOT="/srv")).problem


def test_claude_desktop_fills_in_nothing(person: Path) -> None:
    put(
        person / ".config/Claude/claude_desktop_config.json",
        {"mcpServers": {"a": {"command": "x", "args": ["${HOME}"]}}},
    )
    assert only(find(person, HOME="/x")).command == ("x", "${HOME}")


def test_our_own_gateway_is_known_and_no_other_program_is() -> None:
    assert is_gateway(["/opt/bin/taskbound", "gateway", "--agent", "a", "--home", "/x"])
    assert is_gateway(["/usr/bin/python3", "-m", "taskbound.wiring.cli", "gateway", "--agent", "a"])
    assert not is_gateway(["/opt/bin/other", "gateway", "--agent", "a"])
    assert not is_gateway(["/opt/bin/taskbound", "serve"])
    assert not is_gateway([])
