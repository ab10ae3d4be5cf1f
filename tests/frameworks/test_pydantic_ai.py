from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.core.approval import AnswerKind
from tests.frameworks.deciding import NOTE_HELD, arguments, ended, guide, offer, require_calls, told
from tests.frameworks.peer import Program
from tests.sdk.noted import note, spend
from tests.sdk.notes import held_world, noting, outcomes

FRAMEWORK = "pydantic_ai"
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # a framework is long in loading


async def test_a_model_is_offered_what_is_pinned_and_what_it_says_is_what_is_decided(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("decided", place.path)
        assert found["offered"] == [{**offer(one), "strict": False} for one in (note, spend)]
        require_calls([text for text, _ in found["answers"]], place.world)
        assert found["ran"] == [["hello", ["a", "a"]], 5]


async def test_calls_of_one_message_are_each_asked_for(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("parallel", place.path)
        assert [text for text, _ in found["answers"]] == [f"noted t{number}" for number in range(8)]
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


async def test_a_held_call_ends_the_run_until_people_have_answered_whatever_is_approved_there(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("paused", place.path, says=lambda _: people.say(place))
        first, second = found["stops"]
        assert first == second
        assert (first["tool"], first["arguments"]) == ("notes__note", {"text": "hello"})
        assert first["look"] == f"taskbound approval show {first['approval']}"
        assert found["early"] == [1]
        assert found["answers"] == [["1", "success"], ["noted hello", "success"]]
        assert found["ran"] == [1, ["hello", None]]
        assert outcomes(world) == ["succeeded", "succeeded"]


async def test_law_7_a_run_that_goes_on_twice_from_one_history_runs_a_call_once(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("run_twice", place.path, says=lambda _: people.say(place))
        first, second = found["answers"]
        assert first == ["noted hello", "success"]
        assert (second[1], "[action-repeated]" in second[0]) == ("failed", True)
        assert found["ran"] == [["hello", None]]
        assert outcomes(world) == ["succeeded"]


async def test_what_people_refused_is_told_and_ends_no_run_again(tmp_path: Path, program: Program) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("answered", place.path, says=lambda _: people.say(place, AnswerKind.DENY))
        ((text, outcome),) = found["answers"]
        assert (text.startswith("Not run: "), outcome, found["output"]) == (True, "failed", "done")


async def test_without_pause_a_held_call_is_told_and_ends_nothing(tmp_path: Path, program: Program) -> None:
    world, _ = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("told", place.path)
        ((text, outcome),) = found["answers"]
        assert ("people are asked" in text, outcome, found["output"]) == (True, "failed", "done")


async def test_a_call_of_another_conversation_is_another_call_by_whatever_name(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("apart", place.path)
        assert found == {"answers": [["noted hello", "success"]] * 2, "ran": [["hello", None]] * 2}
        assert outcomes(place.world) == ["succeeded", "succeeded"]


async def test_what_is_no_json_is_told_to_the_model(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("unwritable", place.path)
        assert [text.startswith("Not run: ") for text, _ in found["answers"]] == [True, True]
        assert found["ran"] == []


async def test_law_7_what_ran_is_never_told_to_have_not_run(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        ((text, outcome),) = await program.does("withheld", place.path, says=lambda _: ended(place))
        assert (text.startswith("Run, and its result may not be used: "), outcome) == (True, "failed")


async def test_what_is_about_the_program_is_raised_and_no_answer(tmp_path: Path, program: Program) -> None:
    found = await program.does("clientless", tmp_path)
    assert found == {"raised": [[["NoClientError"]]] * 2, "ran": []}


async def test_a_tools_schema_is_its_own(tmp_path: Path, program: Program) -> None:
    assert await program.does("own", tmp_path) == ["tags", "text"]


async def test_a_functions_own_error_is_what_it_is_to_the_framework(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("failing", place.path) == "ZeroDivisionError"
        assert outcomes(place.world) == ["failed"]


async def test_the_guides_program_does_what_is_permitted(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("guide", place.path, text=guide(FRAMEWORK))
        assert found == {"answer": "done", "ran": [["hello", None]]}
