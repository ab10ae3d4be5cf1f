from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.surfaces.cli.clients.entries import (
    Client,
    Config,
    Found,
    Server,
    find_configs,
    is_gateway,
    servers_of,
)
from taskbound.surfaces.cli.clients.jsonc import parse_jsonc


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "project").mkdir()
    return tmp_path


def put(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def find(person: Path, *extra: Path, **environ: str) -> Found:
    return find_configs(home=person, folders=(person / "project",), extra=extra, environ=environ)


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
    put(person / ".config/Code/User/profiles/-5a1f/mcp.json", {"servers": {"code-profile": stdio}})
    put(person / "project/.vscode/mcp.json", '{ // mine\n "servers": {"code-project": {"command": "x",},},}')
    found = find(person)
    assert [(one.config.client, one.name) for one in found.servers] == [
        (Client.CLAUDE_DESKTOP, "desktop"),
        (Client.CLAUDE_CODE, "code"),
        (Client.CLAUDE_CODE, "local"),
        (Client.CURSOR, "cursor"),
        (Client.VS_CODE, "code-user"),
        (Client.VS_CODE, "code-profile"),
        (Client.CLAUDE_CODE, "shared"),
        (Client.CURSOR, "cursor-project"),
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
        ({"type": "sse", "command": "x"}, "remote server without a URL"),
        ({"command": "x", "url": "https://example.com/mcp"}, "both a command and a URL"),
        ({"type": ["http"], "url": "https://example.com/mcp"}, "its `type` is unknown"),
        ({"type": "carrier-pigeon", "url": "https://example.com/mcp"}, "its `type` is unknown"),
        ({"url": 7}, "`url` is not what it should be"),
        ({"url": "https://example.com/mcp", "headers": ["A: b"]}, "`headers` is not what it should be"),
        ({"url": "https://example.com/mcp", "headers": {"X-A": "1", "x-a": "2"}}, "the same name"),
        ({"url": "https://example.com/mcp", "oauth": {"clientId": "x"}}, "signs in"),
        ({"url": "https://example.com/mcp", "auth": {"CLIENT_ID": "x"}}, "signs in"),
        ({"url": "https://example.com/mcp", "headersHelper": "/bin/x"}, "a program make its headers"),
        ({"url": "http://127.0.0.1:8700/mcp/assistant"}, "Taskbound's own HTTP front"),
        ({"url": "http://[::1]:9/mcp/assistant/"}, "Taskbound's own HTTP front"),
        ({"command": "x", "sandboxEnabled": True}, "sandbox"),
        ({"command": "x", "disabled": True}, "disabled"),
        ({"command": "x", "enabled": False}, "disabled"),
        ({"command": "x", "envFile": ".none"}, "can't be read"),
        ({"command": "x", "envFile": 1}, "envFile"),
        ({"command": "x", "env": {"A": True}}, "`A` is no text"),
        ({"command": "x\0"}, "zero character"),
        ({"command": "x", "cwd": "\0"}, "zero character"),
        ({"command": "x", "args": ["gateway", "--agent", "a", "--home", "\0"]}, "zero character"),
        ({"command": "x", "env": {"A\0": "b"}}, "zero character"),
        ({"command": "x", "cwd": "~nobody-of-this-name/a"}, "has no known location"),
        ({"args": []}, "no command"),
        ({"command": ""}, "no command"),
        ({"command": "x", "args": "y"}, "not what they should be"),
        ({"command": "x", "args": [1]}, "not what they should be"),
        ({"command": "x", "env": {"A": None}}, "`A` is no text"),
        ("x", "no object"),
    ],
)
def test_what_can_not_be_gated_is_listed_with_the_reason(person: Path, body: object, part: str) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": body}})
    assert part in only(find(person)).problem


@pytest.mark.parametrize("kind", [None, "http", "sse", "streamable-http", "streamableHttp"])
def test_a_remote_server_is_one_that_can_be_gated(person: Path, kind: str | None) -> None:
    body = {"url": "https://example.com/mcp?tenant=a", "headers": {"X-Tenant": "${env:TENANT}", "B": "c"}}
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": body | ({"type": kind} if kind else {})}})
    one = only(find(person, TENANT="acme"))
    assert one.problem == ""
    assert (one.url, one.command) == ("https://example.com/mcp?tenant=a", ())
    assert one.headers == (("b", "c"), ("x-tenant", "acme"))
    assert one.filled == ("TENANT",)
    assert "needs the variable `TENANT`" in only(find(person)).problem


def test_claude_code_fills_in_urls_and_headers_too(person: Path) -> None:
    body = {"type": "http", "url": "${BASE:-https://example.com}/mcp", "headers": {"X-A": "${A}"}}
    put(person / "project/.mcp.json", {"mcpServers": {"a": body}})
    one = only(find(person, A=""))
    assert (one.url, one.headers) == ("https://example.com/mcp", (("x-a", ""),))


def test_the_variables_of_a_file_are_given_too_and_those_of_the_entry_count_more(person: Path) -> None:
    (person / "project/.env").write_text("# mine\nA=1\nexport B='two words'\n\nC=\n", encoding="utf-8")
    body = {"command": "x", "envFile": "${workspaceFolder}/.env", "env": {"A": "mine", "N": 5}}
    put(person / "project/.vscode/mcp.json", {"servers": {"a": body}})
    one = only(find(person))
    assert one.environment == (("A", "mine"), ("B", "two words"), ("C", ""), ("N", "5"))
    assert one.read == str(person / "project/.env")


def test_a_file_of_variables_is_read_for_those_clients_only_that_read_one(person: Path) -> None:
    (person / ".env").write_text("A=1", encoding="utf-8")
    put(person / ".claude.json", {"mcpServers": {"a": {"command": "x", "envFile": ".env"}}})
    assert "not known of its client" in only(find(person)).problem


def test_a_server_has_the_line_of_its_entry(person: Path) -> None:
    put(person / ".cursor/mcp.json", '{\n "mcpServers": {\n  "a": {"command": "x"},\n\n  "b": 1}}')
    assert [(one.name, one.line) for one in find(person).servers] == [("a", 3), ("b", 5)]


def test_links_that_lead_round_pipes_and_giants_are_named_and_not_waited_for(person: Path) -> None:
    put(person / "project/.mcp.json", {"mcpServers": {"a": {"command": "x"}}})
    for name in ("project/.cursor", "project/.vscode", ".config/Code/User"):
        (person / name).mkdir(parents=True)
    (person / ".claude.json").symlink_to(person / ".claude.json")
    os.mkfifo(person / "project/.cursor/mcp.json")
    (person / ".config/Code/User/mcp.json").mkdir()
    with (person / "project/.vscode/mcp.json").open("wb") as stream:
        stream.truncate(1 << 40)
    found = find(person, person / "nobody.json")
    assert [one.name for one in found.servers] == ["a"]
    assert [
        (path.name, part in why)
        for (path, why), part in zip(
            found.unreadable,
            ("leads round", "no regular file", "no regular file", "larger than", "No such file"),
            strict=True,
        )
    ] == [(name, True) for name in (".claude.json", "mcp.json", "mcp.json", "mcp.json", "nobody.json")]


ODD = st.sampled_from(
    ["", "x", "\0", "~", "~y/z", "${env:A}", "${input:k}", "${", "https://[::1", "https://h/?a=b", "\u202e"]
)
VALUES = st.recursive(
    ODD | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["command", "args", "env", "cwd", "url", "headers", "type", "envFile", "disabled", "oauth"]
)


@given(st.dictionaries(MEMBERS, VALUES, max_size=6))
def test_any_entry_is_one_that_can_be_gated_or_has_a_reason(body: object) -> None:
    document = parse_jsonc(json.dumps({"mcpServers": {"a": body}}))
    for client in Client:
        config = Config(client=client, path=Path("/c"), keys=("mcpServers",), folder=Path("/p"))
        (one,) = servers_of(config, document, home=Path("/h"), environ={"A": "b"})
        assert bool(one.problem) or bool(one.command) != bool(one.url)


def test_a_project_that_can_be_no_directory_is_named_and_hides_no_other(person: Path) -> None:
    projects = {
        "/p\0": {"mcpServers": {"a": {"command": "x"}}},
        "/q": {"mcpServers": {"b": {"command": "x"}}},
    }
    put(person / ".claude.json", {"projects": projects})
    assert [(one.name, "zero" in one.problem) for one in find(person).servers] == [("a", True), ("b", False)]


def test_a_configuration_behind_a_link_is_read(person: Path) -> None:
    put(person / "dotfiles/cursor.json", {"mcpServers": {"a": {"command": "x"}}})
    (person / ".cursor").mkdir()
    (person / ".cursor/mcp.json").symlink_to("../dotfiles/cursor.json")
    assert only(find(person)).config.path == person / ".cursor/mcp.json"


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
    for python in ("/usr/bin/python3", "/usr/bin/python3.13"):
        assert is_gateway([python, "-P", "-m", "taskbound.wiring.cli", "gateway", "--agent", "a"])


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("/opt/bin/taskbound",),
        ("/opt/bin/taskbound", "serve"),
        ("/opt/bin/taskbound", "gateway", "--help"),
        ("/opt/bin/other", "gateway", "--agent", "a"),
        ("/opt/bin/taskbound", "run", "--", "evil", "gateway", "--agent", "a"),
        ("sh", "-c", "exec evil", "taskbound.wiring.cli", "gateway", "--agent", "a"),
        ("/usr/bin/python3", "evil.py", "-m", "taskbound.wiring.cli", "gateway", "--agent", "a"),
        ("/bin/evil", "-P", "-m", "taskbound.wiring.cli", "gateway", "--agent", "a"),
        ("/usr/bin/python3", "-m", "taskbound.wiring.cli", "gateway", "--agent", "a"),
        ("./taskbound", "gateway", "--agent", "a"),
        ("${workspaceFolder}/taskbound", "gateway", "--agent", "a"),
        ("/${workspaceFolder}/taskbound", "gateway", "--agent", "a"),
    ],
)
def test_no_other_program_is_taken_for_our_gateway(command: tuple[str, ...]) -> None:
    assert not is_gateway(command)


@pytest.mark.parametrize(
    "body",
    [
        {"command": "srv", "args": ["${BRAVE_API_KEY}"]},
        {"command": "srv", "args": ["--url=https://h.invalid/${BRAVE_API_KEY:-x}"]},
        {"command": "/srv/${BRAVE_API_KEY}"},
        {"command": "srv", "cwd": "/srv/${BRAVE_API_KEY}"},
        {"url": "https://h.invalid/${BRAVE_API_KEY}/sse"},
        {"url": "https://h.invalid/sse?x=${BRAVE_API_KEY}"},
    ],
)
def test_a_variable_that_may_be_a_secret_is_filled_into_nothing_that_is_pinned(
    person: Path, body: dict[str, object]
) -> None:
    put(person / "project/.mcp.json", {"mcpServers": {"a": body}})
    one = only(find(person, BRAVE_API_KEY="hunter2"))
    assert "`BRAVE_API_KEY` may be a secret" in one.problem
    assert "hunter2" not in repr(one)
