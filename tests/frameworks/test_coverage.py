from __future__ import annotations

from functools import cache

import pytest

from taskbound.sdk.guard.signature import definition_digest
from taskbound.sdk.tool.coverage.found import FoundTool
from taskbound.wiring.application import ask_coverage
from tests.frameworks.peer import PYTHON, environ
from tests.house.tree import ROOT
from tests.sdk.noted import note
from tests.surfaces.cli.installation import Installation
from tests.surfaces.network.test_acting_guide import blocks

pytestmark = pytest.mark.timeout(180)  # a framework is long in loading


@cache
def everything(framework: str) -> tuple[FoundTool, ...]:
    """All of an application's tools; it is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("PYTHONPATH", environ()["PYTHONPATH"])
        name = f"tests.frameworks.programs.exposed_{framework}:everything"
        return ask_coverage(name, python=str(PYTHON), seconds=150).tools


def found(framework: str, name: str) -> list[FoundTool]:
    """Those of one of its parts."""
    return [one for one in everything(framework) if f":everything['{name}']" in one.place]


def states(framework: str, name: str) -> list[tuple[str, str]]:
    """Name and state of each tool, in the order of both."""
    return sorted((one.name, one.state) for one in found(framework, name))


@pytest.mark.parametrize("framework", ["openai_agents", "langchain", "pydantic_ai"])
def test_an_agent_whose_every_tool_is_guarded_is_covered(framework: str) -> None:
    tools = found(framework, "good")
    assert sorted((one.name, one.tool, one.state, one.why) for one in tools) == [
        ("notes__note", "notes__note", "guarded", ""),
        ("notes__spend", "notes__spend", "guarded", ""),
    ]
    assert definition_digest(note.definition) in {one.definition for one in tools}


def test_openai_agents_that_hand_to_each_other_are_told_tool_by_tool() -> None:
    tools = found("openai_agents", "triage")
    assert [(one.name, one.state) for one in tools] == [
        ("notes__note", "guarded"),
        ("notes__note", "guarded"),
        ("renamed", "guarded"),
        ("replaced", "unguarded"),
        ("partial", "unguarded"),
        ("notes__note", "unguarded"),
        ("plain", "unguarded"),
        ("note", "unguarded"),
        ("notes__note", "guarded"),
        ("WebSearchTool", "untold"),
        ("CodeInterpreterTool", "untold"),
        ("LocalShellTool", "unguarded"),
        ("files", "untold"),
        ("transfer_to_deep", "unguarded"),
        ("plain", "unguarded"),
        ("notes__spend", "guarded"),
    ]
    assert tools[0].definition != tools[8].definition
    assert {one.place.partition(" > ")[2] for one in tools} == {
        "triage",
        "triage > ask_deep > deep",
        "triage > refunds",
    }


def test_graphs_of_langgraph_are_told_tool_by_tool() -> None:
    assert states("langchain", "mixed") == [
        ("handed", "guarded"),
        ("inner", "unguarded"),
        ("mine", "unguarded"),
        ("notes__note", "guarded"),
        ("plain", "unguarded"),
        ("replaced", "unguarded"),
        ("web_search", "untold"),
    ]
    assert states("langchain", "around") == [("(middleware)", "untold"), ("notes__note", "guarded")]
    assert states("langchain", "own") == [
        ("ask", "untold"),
        ("notes__note", "guarded"),
        ("notes__spend", "guarded"),
        ("plain", "unguarded"),
    ]
    assert [state for _, state in states("langchain", "raw")] == ["untold"]
    assert len(states("langchain", "tools")) == 6


def test_toolsets_of_pydantic_ai_are_told_tool_by_tool() -> None:
    tools = sorted((one.name, one.state) for one in found("pydantic_ai", "mixed"))
    assert tools == [
        ("DynamicToolset", "untold"),
        ("ExternalToolset", "untold"),
        ("Hooks", "untold"),
        ("finish", "unguarded"),
        ("notes__note", "guarded"),
        ("notes__spend", "guarded"),
        ("plain", "unguarded"),
        ("swapped", "unguarded"),
        ("tests.frameworks.programs.exposed_pydantic_ai.Own", "untold"),
        ("web_search", "untold"),
    ]


def test_sessions_and_servers_of_mcp_are_told_by_what_stands_before_them() -> None:
    assert [(one.name, one.state, one.tool) for one in found("mcp", "sessions")] == [
        ("desk__*", "guarded", "desk__*"),
        ("desk__look", "guarded", "desk__look"),
        ("*", "unguarded", ""),
        ("*", "unguarded", ""),
        ("*", "unguarded", ""),
    ]
    assert states("mcp", "bare") == [("hidden", "unguarded"), ("pay", "unguarded"), ("rates", "unguarded")]
    assert sorted((one.name, one.state, one.tool) for one in found("mcp", "guarded")) == [
        ("hidden", "guarded", ""),
        ("pay", "guarded", "bank__pay"),
        ("rates", "unguarded", ""),
    ]
    assert states("mcp", "low") == [("*", "unguarded")]


def test_the_guides_application_is_told_as_the_guide_says() -> None:
    guide = ROOT / "docs" / "guides" / "frameworks.md"
    (program,) = [one for one in blocks("python", guide) if one.startswith("# desk.py")]
    (printed,) = [one for one in blocks("", guide) if one.startswith("NAME")]
    place = Installation()
    try:
        (place.project / "desk.py").write_text(program)
        words = ("audit", "coverage", "desk:triage", "--python", str(PYTHON), "--seconds", "150")
        ended = place(*words, PYTHONPATH=environ()["PYTHONPATH"])
    finally:
        place.end()
    assert ended.status == 1
    assert [one for one in ended.out.splitlines() if not one.startswith("warn")] == printed.splitlines()
