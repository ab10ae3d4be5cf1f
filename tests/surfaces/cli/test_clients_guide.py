from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from taskbound.surfaces.cli.clients.entries import PROJECT_FILES, Client, find_configs
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

GUIDE = (ROOT / "docs/guides/clients.md").read_text(encoding="utf-8")
PLACES = {
    "Claude Code": (".claude.json", Client.CLAUDE_CODE),
    "Cursor": ("project/.cursor/mcp.json", Client.CURSOR),
    "VS Code": ("project/.vscode/mcp.json", Client.VS_CODE),
    "Claude Desktop, and any other": (".config/Claude/claude_desktop_config.json", Client.CLAUDE_DESKTOP),
}
MOVE = {"git", "wiki", "notes", "docs", "memory"}
STAY = {
    "web": "signs in",
    "issues": "asks the person for `key`",
    "build": "sandbox",
    "data": "arguments hold a secret",
}


def written(title: str) -> str:
    found = re.search(rf"^### {title}\n.*?^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("title", PLACES)
def test_each_entry_of_the_guide_moves_or_stays_as_the_guide_says(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    name, client = PLACES[title]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(written(title), encoding="utf-8")
    (tmp_path / "project").mkdir(exist_ok=True)
    (tmp_path / "project/.env").write_text("A=1", encoding="utf-8")
    found = find_configs(home=tmp_path, folders=(tmp_path / "project",), extra=(), environ={"TEAM": "a"})
    assert found.unreadable == ()
    assert {one.config.client for one in found.servers} == {client}
    for one in found.servers:
        assert (one.name in MOVE, STAY.get(one.name, "") in one.problem) == (not one.problem, True)


def test_the_guide_shows_each_entry_and_names_each_file_of_a_project() -> None:
    shown = {
        name for title in PLACES for name in re.findall(r'^    "([a-z]+)": \{', written(title), re.MULTILINE)
    }
    assert shown == MOVE | STAY.keys()
    assert [one for one in PROJECT_FILES if f"`{one}`" not in GUIDE] == []


def test_every_command_of_the_guide_does_what_the_guide_says(fresh: Installation) -> None:
    config = fresh.person / ".cursor/mcp.json"
    config.parent.mkdir()
    entry = {"command": fresh.server[0], "args": [*fresh.server[1:]]}
    config.write_text(json.dumps({"mcpServers": {"fs": entry}}), encoding="utf-8")
    before = config.read_bytes()
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    gated = False
    for line in "".join(blocks).splitlines():
        if not gated and "--dry-run" not in line:
            gated = fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}").status == 0
        done = fresh(*shlex.split(line)[1:])
        if "doctor" in line:  # its status is also that of parts that are just starting
            assert "one entry starts the gateway of Taskbound" in done.out
        else:
            assert done.status == 0, (line, done)
        gated = gated and "--undo" not in line
        assert (config.read_bytes() == before) is not gated
    assert gated
