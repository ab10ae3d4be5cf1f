"""What stands on a framework is checked by its types, in the environment where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks.peer import PYTHON
from tests.house.tree import ROOT

RIGHT = """
from agents import Agent as OpenAiAgent
from langchain.agents import create_agent
from pydantic_ai import Agent

from taskbound import Client, guard
from taskbound.sdk.tool import langchain, openai_agents, pydantic_ai

@guard(server="notes")
def note(text: str) -> str:
    return text

with Client(agent="helper").task("keep notes"):
    create_agent("openai:gpt-5", [langchain.as_tool(note, pause=True)])
    OpenAiAgent(name="helper", tools=[openai_agents.as_tool(note.using(wait=5))])
    Agent("openai:gpt-5", tools=[pydantic_ai.as_tool(note)])
"""
WRONG = """
from taskbound.sdk.tool import langchain, openai_agents, pydantic_ai

def plain(text: str) -> str:
    return text

langchain.as_tool(plain)
openai_agents.as_tool(plain)
pydantic_ai.as_tool(plain)
"""


@pytest.mark.timeout(600)
def test_adapters_their_tests_and_a_users_program_are_typed_whole_and_a_wrong_one_is_told_where(
    tmp_path: Path,
) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    ours = ["src/taskbound/sdk/tool", "tests/frameworks/programs"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file=", "--strict", "--explicit-package-bases"),
            *("--no-error-summary", "--python-executable", str(PYTHON)),
            *("--cache-dir", str(PYTHON.parents[1] / "mypy-cache")),
            *ours,
            *(str(tmp_path / name) for name in ("right.py", "wrong.py")),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": f"src:.:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [Path(line.partition(":")[0]).name for line in lines] == ["wrong.py"] * 3, (
        done.stdout + done.stderr
    )
    assert [line.split(":")[1] for line in lines] == ["7", "8", "9"]
