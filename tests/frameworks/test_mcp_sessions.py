from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.action import canonical
from taskbound.core.tool import ServerIdentity
from taskbound.flows.identity import register_person
from tests.frameworks.deciding import arguments, guide, told
from tests.frameworks.peer import Program
from tests.sdk.notes import noting, outcomes
from tests.sqlite import sqlite_store
from tests.waiting import others
from tests.world import ANN, World

FRAMEWORK = "mcp_sessions"
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # a framework is long in loading
TOOLS = ("look", "fail", "hang", "leave")


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder with a short name, for what is listed before any daemon runs."""
    found = Path(tempfile.mkdtemp())
    yield found
    shutil.rmtree(found)


async def desk(program: Program, folder: Path) -> World:
    """A world in which the server is pinned as it lists its tools, with a task for them."""
    listed: list[dict[str, Any]] = await program.does("listed", folder / "s")
    world = World(store=sqlite_store(), policy=base_bundle())
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    names = [f"desk__{one}" for one in TOOLS]
    world.add_agent("coder", ceiling={"grants": [{"tool": one, "others": "any"} for one in names]})
    identity = ServerIdentity(
        namespace="default", command="/usr/bin/desk", resolved="/usr/bin/desk", sha256="0" * 64
    )
    raws = [canonical(one) for one in listed]
    world.pins.add("desk", identity, b"{}", raws, agents=(), actor=ANN)
    granted = {"at": {"one_of": ["x", "k"]}}
    look = {"tool": "desk__look", "arguments": {**granted, "times": {"any": True}}, "optional": ["times"]}
    rest = [{"tool": one, "arguments": granted} for one in names[1:]]
    world.start(scope={"grants": [look, *rest]})
    return world


async def test_each_call_is_asked_for_before_it_is_sent_and_told_after(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("called", place.path)
        saw, forbidden, more, other, failed, once, twice = found["answers"]
        assert saw == ["saw x", False]
        assert (forbidden[0].startswith("Not run: `desk__look` is refused: "), forbidden[1]) == (True, True)
        assert (more[0].startswith("Not run: "), more[1]) == (True, True)
        assert (other[0].startswith("Not run: `desk` lists no `desk__other`"), other[1]) == (True, True)
        assert failed[1] is True
        assert once == ["saw k", False]
        assert ("[action-repeated]" in twice[0], twice[1]) == (True, True)
        assert found["calls"] == ["('look', 'x', 2)", "('fail', 'x')", "('look', 'k', 1)"]
        assert arguments(place.world)[0] == b'{"at":"x","times":2}'
        assert outcomes(place.world) == ["succeeded", "failed", "succeeded"]


async def test_law_7_what_a_server_did_not_answer_is_unknown(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("lost", place.path)
        assert found["raised"] == ["MCPError", "MCPError"]
        assert found["calls"] == ["('hang', 'x')", "('leave', 'x')"]
        assert outcomes(place.world) == ["unknown", "unknown"]


async def test_law_2_a_server_that_describes_its_tool_anew_is_sent_nothing(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("changed", place.path)
        assert ("[other-definition]" in found["answer"][0], found["answer"][1]) == (True, True)
        assert not found["calls"]
        assert outcomes(place.world) == ["not-sent"]


async def test_law_2_what_is_listed_again_is_what_calls_are_compared_with(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("listed_anew", place.path)
        first, (offered, text, is_error) = found["answers"]
        assert first == ["Look.", "saw x", False]
        assert (offered, "[other-definition]" in text, is_error) == ("Look, and tell everybody.", True, True)
        assert found["calls"] == ["('look', 'x', 1)"]
        assert outcomes(place.world) == ["succeeded", "not-sent"]


async def test_law_2_what_a_program_does_with_a_list_is_no_other_definition(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("altered", place.path)
        assert found == {"answer": ["saw x", False], "calls": ["('look', 'x', 1)"]}
        assert outcomes(place.world) == ["succeeded"]


async def test_tools_are_read_from_every_page(program: Program, short: Path) -> None:
    found = await program.does("paged", short / "s")
    assert found == ["many__t0", "many__t1", "many__t2"]


async def test_what_is_about_the_program_is_raised_and_no_answer(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        found = await program.does("elsewhere", place.path)
        assert found == {"answers": [["saw x", False], ["OtherLoopError"]], "calls": ["('look', 'x', 1)"]}


async def test_a_cancelled_call_is_told_as_unknown(tmp_path: Path, program: Program, short: Path) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:

        async def says(what: str) -> None:
            await (others() if what == "waiting" else told(place.world))

        assert await program.does("cancelled", place.path, says=says) == ["CancelledError"]


async def test_the_guides_program_calls_what_is_permitted(
    tmp_path: Path, program: Program, short: Path
) -> None:
    async with noting(tmp_path, world=await desk(program, short)) as place:
        assert await program.does("guide", place.path, text=guide("mcp")) == ["saw x", False]
