from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.cli.clients.entries import Server, find_configs, plan_gates
from taskbound.surfaces.cli.clients.undo import apply

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = ("/opt/bin/taskbound", "gateway", "--agent", "helper", "--home", "/srv/home")


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "project").mkdir()
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path


def put(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def read(path: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def found(person: Path) -> tuple[Server, ...]:
    return find_configs(home=person, folders=(person / "project",), extra=(), environ={}).servers


def gate(person: Path, *names: str, agent: str = "helper") -> None:
    servers = found(person)
    chosen = [one for one in servers if one.name in names]
    command = [agent if word == "helper" else word for word in COMMAND]
    apply(person / "home", plan_gates(chosen, servers, agent=agent, command=command))


def test_each_client_gets_one_entry_of_its_own_format(person: Path) -> None:
    stdio = {"command": "x"}
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": stdio, "b": stdio}})
    put(person / "project/.vscode/mcp.json", {"servers": {"c": stdio}})
    put(
        person / ".claude.json",
        {"mcpServers": {"d": stdio}, "projects": {"/p": {"mcpServers": {"e": stdio}}}},
    )
    gate(person, "a", "b", "c", "d", "e")
    entry = {"command": COMMAND[0], "args": list(COMMAND[1:])}
    assert read(person / ".cursor/mcp.json") == {"mcpServers": {"taskbound": entry}}
    typed = {"type": "stdio", **entry}
    assert read(person / "project/.vscode/mcp.json") == {"servers": {"taskbound": typed}}
    assert read(person / ".claude.json") == {
        "mcpServers": {"taskbound": typed},
        "projects": {"/p": {"mcpServers": {"taskbound": typed}}},
    }


def test_a_rewritten_configuration_is_read_back_as_gated(person: Path) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}}})
    gate(person, "a")
    assert [one.gateway for one in found(person)] == [True]


def test_a_later_server_joins_the_entry_that_is_there(person: Path) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}})
    gate(person, "a")
    gate(person, "b")
    assert list(read(person / ".cursor/mcp.json")["mcpServers"]) == ["taskbound"]


def test_a_server_of_a_person_that_is_called_taskbound_is_not_overwritten(person: Path) -> None:
    own = {"command": "mine"}
    put(person / ".cursor/mcp.json", {"mcpServers": {"taskbound": own, "a": {"command": "x"}}})
    gate(person, "a")
    servers = read(person / ".cursor/mcp.json")["mcpServers"]
    assert servers["taskbound"] == own
    assert list(servers) == ["taskbound", "taskbound-helper"]


def test_another_agent_gets_an_entry_of_its_own(person: Path) -> None:
    put(person / ".cursor/mcp.json", {"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}})
    gate(person, "a")
    gate(person, "b", agent="other")
    assert list(read(person / ".cursor/mcp.json")["mcpServers"]) == ["taskbound", "taskbound-other"]
