from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskbound.core.approval import AnswerKind
from tests.frameworks.deciding import NOTE_HELD, arguments, guide, offer, told
from tests.frameworks.peer import Program
from tests.sdk.noted import note, spend
from tests.sdk.notes import held_world, noting, outcomes

FRAMEWORK = "langchain"
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # a framework is long in loading


async def test_a_model_is_offered_what_is_pinned_and_what_it_says_is_what_is_decided(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("decided", place.path)
        assert [one["function"] for one in found["offered"]] == [offer(note), offer(spend)]
        (first, refused, text, number, more, less, last) = found["answers"]
        assert first == ["noted hello", "success"]
        assert refused[1] == "error"
        assert refused[0].startswith("Not run: `notes__note` is refused: ")
        assert "[outside-scope]. Instead: stay within that" in refused[0]
        assert text[0].startswith("Not run: `amount` of `notes__spend` is not of its type")
        assert number[0] == "5"  # 5.0 is 5: JSON has one kind of number
        assert more[0].startswith("Not run: `notes__spend` takes no `runtime`")
        assert less[0].startswith("Not run: `notes__spend` needs `amount`")
        assert last == ["5", "success"]
        assert found["ran"] == [["hello", ["a", "a"]], 5, 5]
        assert arguments(place.world) == [
            b'{"tags":["a","a"],"text":"hello"}',
            b'{"tags":null,"text":"else"}',
            b'{"amount":5}',
            b'{"amount":5}',
        ]


async def test_calls_of_one_message_are_each_asked_for(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("parallel", place.path)
        assert found["answers"] == [[f"noted t{number}", "success"] for number in range(8)]
        assert found["ran"] == [f"t{number}" for number in range(8)]
        assert sorted(arguments(place.world)) == [b'{"text":"t%d"}' % number for number in range(8)]
        assert outcomes(place.world) == ["succeeded"] * 8


async def test_a_function_that_blocks_runs_in_a_graph_that_is_awaited(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("blocking_awaited", place.path) == [["noted hello", "success"]]


async def test_a_held_call_stops_the_graph_until_people_have_answered_whatever_it_is_resumed_with(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("paused", place.path, says=lambda _: people.say(place))
        stop = found["stops"][0]
        assert [one["action"] for one in found["stops"]] == [stop["action"]] * 2
        assert (stop["tool"], stop["arguments"]) == ("notes__note", {"text": "hello"})
        assert stop["look"] == f"taskbound approval show {stop['approval']}"
        assert found["early"] == [1]  # the other call of the message ran, once
        assert found["answers"] == [["noted hello", "success"], ["1", "success"]]
        assert found["ran"] == [1, ["hello", None]]
        assert sorted(outcomes(world)) == ["succeeded", "succeeded"]


async def test_a_graph_whose_held_call_people_refused_goes_on_without_it(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)

    async with noting(tmp_path, world=world) as place:
        found = await program.does("paused", place.path, says=lambda _: people.say(place, AnswerKind.DENY))
        (said, status), _ = found["answers"]
        assert (said.startswith("Not run: "), "[hold-over]" in said, status) == (True, True, "error")
        assert found["ran"] == [1]


async def test_another_client_that_resumes_a_graph_has_people_asked_anew(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("resumed_elsewhere", place.path, says=lambda _: people.say(place))
        assert (found["answers"], found["ran"]) == ([], [])
        assert len(world.events("approval-asked")) == 2


async def test_without_a_pause_a_model_is_told_that_people_are_asked_and_may_call_again(
    tmp_path: Path, program: Program
) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does("told", place.path, says=lambda _: people.say(place))
        first, second, third = found["answers"]
        assert first == second
        assert "people are asked" in first[0]
        assert third == ["noted hello", "success"]
        assert found["ran"] == [["hello", None]]


async def test_law_7_a_node_that_is_run_again_runs_no_tool_twice_and_asks_again_for_what_did_nothing(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("retried", place.path)
        assert found["ran"] == [["hello", None]]
        assert found["tries"] == 3
        assert found["raised"] == "ZeroDivisionError"
        assert sorted(outcomes(place.world)) == ["failed", "failed", "failed", "succeeded"]


async def test_what_was_refused_is_not_tried_again_by_any_setting_of_the_framework(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        found = await program.does("refused_once", place.path)
        assert [status for _, status in found] == ["error"] * 3
        assert len(place.world.events("action-decided")) == 3


async def test_a_program_without_a_client_is_an_error_of_the_program(
    tmp_path: Path, program: Program
) -> None:
    async with noting(tmp_path) as place:
        assert await program.does("direct", place.path) == [
            "noted hello",
            "noted hello",
            "NoClientError",
            "`notes__note_later` is awaited: use `ainvoke`",
        ]


async def test_a_cancelled_run_leaves_no_permit_behind(tmp_path: Path, program: Program) -> None:
    async with noting(tmp_path) as place:
        found: Any = await program.does("cancelled", place.path, says=lambda _: told(place.world))
        assert found == ["CancelledError"]


async def test_the_guides_program_waits_for_people_and_goes_on(tmp_path: Path, program: Program) -> None:
    world, people = held_world(NOTE_HELD)
    async with noting(tmp_path, world=world) as place:
        found = await program.does(
            "guide", place.path, says=lambda _: people.say(place), text=guide(FRAMEWORK)
        )
        assert found == {"answer": "done", "ran": [["hello", None]]}
