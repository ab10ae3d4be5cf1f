from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.core.approval import AnswerKind
from tests.frameworks.deciding import NOTE_HELD, arguments, ended, guide, offer, require_calls, told
from tests.frameworks.peer import Program
from tests.sdk.noted import note, spend
from tests.sdk.notes import held_world, noting, outcomes

FRAMEWORK = "openai_agents"
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # a framework is long in loading


async def test_a_model_is_offered_what_is_pinned_and_what_it_says_is_what_is_decided(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("decided", place.path)
        assert found["offered"] == [{**offer(one), "strict": False} for one in (note, spend)]
        require_calls(found["answers"], place.world)
        assert found["ran"] == [["hello", ["a", "a"]], 5]


async def test_calls_of_one_message_are_each_asked_for(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("parallel", place.path)
        assert found["answers"] == [f"noted t{number}" for number in range(8)]
        assert found["ran"] == [f"t{number}" for number in range(8)]
        assert sorted(arguments(place.world)) == [b'{"text":"t%d"}' % number for number in range(8)]
        assert outcomes(place.world) == ["succeeded"] * 8


async def test_a_refusal_is_told_to_the_model_and_is_no_retry_of_the_frameworks(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("refused_many", place.path)
        assert len(found["answers"]) == 6
        assert found["output"] == "done"
        assert len(place.world.events("action-decided")) == 6


async def test_a_cancelled_run_leaves_no_permit_behind(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("cancelled", place.path, says=lambda _: told(place.world)) == [
            "CancelledError"
        ]


async def test_what_is_held_stops_the_run_at_its_next_call_until_people_have_answered(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("paused", place.path, says=lambda _: people.say(place))
        assert [name for name, _ in found["stops"]] == ["notes__note", "notes__note"]
        assert found["early"] == [1]
        told, other, early, last = found["answers"]
        assert (told, other, last) == (early, "1", "noted hello")
        assert "people are asked" in told
        assert found["ran"] == [1, ["hello", None]]
        assert len(world.events("approval-asked")) == 1
        assert outcomes(world) == ["succeeded", "succeeded"]


async def test_law_7_a_run_that_goes_on_twice_from_one_state_runs_a_call_once(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("run_twice", place.path, says=lambda _: people.say(place))
        _, first, _, second = found["answers"]
        assert (first, "[action-repeated]" in second) == ("noted hello", True)
        assert found["ran"] == [["hello", None]]
        assert outcomes(world) == ["succeeded"]


@pytest.mark.parametrize(
    ("kind", "second"),
    [(AnswerKind.APPROVE, "noted hello"), (AnswerKind.DENY, "Not run: ")],
    ids=["approved", "denied"],
)
async def test_what_people_have_answered_stops_no_later_call_of_the_same(
    tmp_path: Path, program: Program, kind: AnswerKind, second: str
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("answered", place.path, says=lambda _: people.say(place, kind))
        assert (found["stops"], found["output"]) == (0, "done")
        first, answer, last = found["answers"]
        assert "people are asked" in first
        assert answer.startswith(second)
        assert last.startswith("Not run: ")


async def test_without_pause_a_held_call_is_told_each_time_and_stops_nothing(
    tmp_path: Path, program: Program
) -> None:
    world, _ = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("told", place.path)
        assert found["output"] == "done"
        assert ["people are asked" in one for one in found["answers"]] == [True, True]


async def test_a_function_that_blocks_runs_beside_its_loop(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("beside", place.path) == ["t meanwhile"]
        assert outcomes(place.world) == ["succeeded"]


async def test_law_7_what_ran_is_never_told_to_have_not_run(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        (found,) = await program.does("withheld", place.path, says=lambda _: ended(place))
        assert found.startswith("Run, and its result may not be used: ")


async def test_what_is_about_the_program_is_raised_and_no_answer(tmp_path: Path, program: Program) -> None:
    found = await program.does("clientless", tmp_path)
    assert found == {"raised": [["UserError", "NoClientError"]] * 2, "ran": []}


async def test_a_tools_schema_is_its_own(tmp_path: Path, program: Program) -> None:
    assert await program.does("own", tmp_path) == ["tags", "text"]


async def test_a_functions_own_error_ends_the_run_as_of_every_tool_that_is_no_decorated_function(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("failing", place.path) == ["UserError", "ZeroDivisionError"]
        assert outcomes(place.world) == ["failed"]


async def test_the_guides_program_does_what_is_permitted(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("guide", place.path, text=guide(FRAMEWORK))
        assert found == {"answer": "done", "ran": [["hello", None]]}
