from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.core.credential.static import Worth
from taskbound.surfaces.cli.clients.static import project_readers, read_servers, user_readers

W = "canary-w0rd"
GITHUB = "ghp_" + "c" * 36


def members(server: dict[str, Any], key: str = "mcpServers") -> list[str]:
    found = list(read_servers(json.dumps({key: {"x": server}})))
    assert not any(W in repr(one) or GITHUB in repr(one) for one in found)
    return [one.member for one in found]


@pytest.mark.parametrize(
    ("server", "member"),
    [
        ({"env": {"API_TOKEN": W}}, "env.API_TOKEN"),
        ({"env": {"PLAIN": GITHUB}}, "env.PLAIN"),
        ({"env": {"PIN_PASSWORD": 1234}}, "env.PIN_PASSWORD"),
        ({"env": {"T_TOKEN": "${T:-" + W + "}"}}, "env.T_TOKEN"),
        ({"headers": {"Authorization": f"Bearer {W}"}}, "headers.Authorization"),
        ({"headers": {"X-Session-Id": W}}, "headers.X-Session-Id"),
        ({"args": ["-y", "--token", W]}, "args[2]"),
        ({"args": [f"--api-key={W}"]}, "args[0]"),
        ({"args": [f"postgres://u:{W}@h/d"]}, "args[0]"),
        ({"args": [GITHUB]}, "args[0]"),
        ({"url": f"https://h/mcp?api_key={W}"}, "url"),
        ({"url": f"https://u:{W}@h/mcp"}, "url"),
        ({"auth": {"clientSecret": W}}, "auth.clientSecret"),
        ({"oauth": {"more": [{"password": W}]}}, "oauth.more[0].password"),
    ],
)
def test_a_secret_of_an_entry_is_found_by_its_place(server: dict[str, Any], member: str) -> None:
    for key in ("mcpServers", "servers"):
        assert members(server, key) == [f"{key}.x.{member}"]


@pytest.mark.parametrize(
    "server",
    [
        {"env": {"TOKEN": "${TOKEN}", "B": "${env:TOKEN}", "C": "${input:token}", "PATH": "/bin"}},
        {"headers": {"Authorization": "Bearer ${TOKEN}", "Accept": "text/html"}},
        {"args": ["--token", "${TOKEN}", "--api-key=${KEY}", "-y", "server", "https://h/x?y=1"]},
        {"url": "https://h/mcp?api_key=${KEY}&v=1"},
        {"url": "https://${USER}:${PASS}@h/mcp"},
        {"command": "x", "disabled": True, "env": {"TOKEN": ""}},
        {"env": [], "args": {}, "headers": None, "url": 5},
    ],
)
def test_what_a_client_fills_in_and_what_is_no_secret_is_none(server: dict[str, Any]) -> None:
    assert members(server) == []


def test_a_placeholder_is_marked_and_so_are_those_of_a_project_of_claude() -> None:
    entry = {"mcpServers": {"x": {"env": {"TOKEN": "<token>"}}}}
    (one,) = read_servers(json.dumps({"projects": {"/p": entry}}))
    assert (one.worth, one.member) == (Worth.PLACEHOLDER, "projects./p.mcpServers.x.env.TOKEN")


def test_a_line_is_told_in_a_file_with_comments() -> None:
    (one,) = read_servers('{\n // c\n "mcpServers": {"x": {\n "env": {"TOKEN": "' + W + '",},},},\n}')
    assert one.line == 4


@pytest.mark.parametrize(
    "text", ["", "{", f'{{"mcpServers": {W}', "[" * 100_000, '{"a":1,"a":2}', "[]", "5", '{"mcpServers": 5}']
)
def test_a_hostile_file_breaks_nothing_and_is_not_quoted(text: str) -> None:
    said = ""
    try:
        assert list(read_servers(text)) == []
    except ValueError as error:
        said = str(error)
    assert said in {"", "it is no configuration"}


def test_a_name_that_is_a_secret_itself_is_not_told() -> None:
    (one,) = read_servers(json.dumps({"mcpServers": {GITHUB: {"env": {"TOKEN": W}}}}))
    assert GITHUB not in one.member


def test_each_place_that_init_knows_is_looked_at() -> None:
    found = user_readers("/home/ann", {})
    assert {"/home/ann/.claude.json", "/home/ann/.cursor/mcp.json"} <= found.keys()
    assert set(project_readers()) == {".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json"}
