from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.surfaces.cli.installation import TOOLS, Installation


def left_behind(fresh: Installation) -> list[Path]:
    trials = Path(tempfile.gettempdir()).glob("taskbound-try-*")
    return [*trials, *(one for one in (fresh.home,) if one.exists())]


def test_a_trial_shows_what_an_agent_sees_and_leaves_nothing_behind(fresh: Installation) -> None:
    log = fresh.root / "seen"
    ended = fresh.ended("try", "--", *fresh.server, "--log", str(log))
    assert ended.status == 0, ended
    assert "fs__drop" not in ended.out
    lines = ended.out.splitlines()
    assert "  server__read" in lines
    assert "  server__drop" not in lines
    assert "It calls server__write, and gets" in lines
    assert "no grant names the tool" in ended.out
    assert b"tools/call" not in log.read_bytes(), "no tool of the server is ever called"
    assert left_behind(fresh) == []


@pytest.mark.parametrize("tools", [[TOOLS[0]], [TOOLS[2]]], ids=["only reads", "says nothing"])
def test_a_trial_of_a_server_with_one_tool_shows_a_refusal_too(
    fresh: Installation, tools: list[dict[str, Any]]
) -> None:
    fresh.tools.write_text(json.dumps(tools), encoding="utf-8")
    report = fresh.ended("try", "--json", "--", *fresh.server).document
    assert report["listed"] == [f"server__{tools[0]['name']}"]
    assert "efused" in report["answer"]
    assert left_behind(fresh) == []


def test_a_trial_of_what_is_no_server_ends_in_words(fresh: Installation) -> None:
    ended = fresh.ended("try", "--", "/bin/false")
    assert ended.status in {2, 4}
    assert ended.err.startswith("error: ")
    assert left_behind(fresh) == []
