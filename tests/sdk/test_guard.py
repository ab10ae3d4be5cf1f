from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.action import canonical
from taskbound.core.task import TaskEvent
from taskbound.flows.decision.settlement import PERMIT_LIFE
from taskbound.sdk.guard import errors, flow
from taskbound.sdk.guard.guarded import guard
from tests.sdk.noted import FUNCTIONS, fail, note, note_later, ran
from tests.sdk.notes import async_client_at, client_at, noting, outcomes, within
from tests.world import ANN

pytestmark = pytest.mark.anyio


async def test_a_permitted_call_runs_with_what_was_decided_and_its_outcome_is_told(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        tags = ["a"]

        def work() -> str:
            with client_at(place):
                return note("hello", tags=tags)

        assert await within(work) == "noted hello"
        assert ran == [("hello", ["a"])]
        assert ran[0][1] is not tags
        (decided,) = place.world.events("action-decided")
        with place.world.store.read() as snapshot:
            kept = snapshot.actions.action("default", decided["action"])
        assert kept is not None
        assert kept.arguments == b'{"tags":["a"],"text":"hello"}'
        assert outcomes(place.world) == ["succeeded"]


async def test_defaults_are_decided_too(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with_it = client_at(place)

        def work() -> None:
            with with_it:
                note("hello")

        await within(work)
        with place.world.store.read() as snapshot:
            (kept,) = snapshot.actions.actions("default")
        assert kept.arguments == b'{"tags":null,"text":"hello"}'


async def test_a_refusal_says_why_and_what_may_be_done_and_nothing_runs(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                note("else")

        with pytest.raises(errors.RefusedError, match="outside-scope") as caught:
            await within(work)
        error = caught.value
        assert (type(error), error.code, error.tool) == (errors.RefusedError, "outside-scope", "notes__note")
        assert error.reasons
        assert error.remedy
        assert error.action.startswith("act_")
        assert ran == []


async def test_a_declared_error_of_the_function_is_told_as_failed_by_its_type_and_no_word_of_it(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                fail("kanarienvogel")

        with pytest.raises(ZeroDivisionError, match="kanarienvogel"):
            await within(work)
        assert outcomes(place.world) == ["failed"]
        told = json.dumps(place.world.events("action-outcome"))
        assert "ZeroDivisionError" in told
        assert "kanarienvogel" not in told


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_interrupts_a_function_leaves_its_outcome_unknown(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    @guard(server="notes", tool="fail", effect="write")
    def stopped(text: str) -> str:
        """Fail, with a secret in the words."""
        raise kind(text)

    async with noting(tmp_path) as place:

        def work() -> str:
            with client_at(place):
                try:
                    stopped("x")
                except BaseException as error:  # noqa: BLE001 - it would end the thread of the test
                    return type(error).__name__
                return ""

        assert await within(work) == kind.__name__
        assert outcomes(place.world) == ["unknown"]


async def test_a_tool_that_nobody_pinned_is_an_error_with_the_file_to_pin_it_by(tmp_path: Path) -> None:
    @guard(server="notes")
    def scratch(text: str) -> str:
        """Scratch."""
        return text

    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                scratch("x")

        with pytest.raises(errors.UnpinnedToolError) as caught:
            await within(work)
        assert caught.value.code == "unknown-tool"
        (told,) = json.loads(caught.value.tool_file)
        assert told == scratch.definition


async def test_law_2_a_function_that_was_changed_since_it_was_pinned_does_not_run(tmp_path: Path) -> None:
    @guard(server="notes", tool="fail", effect="read")
    def changed(text: str) -> str:
        """Fail, with a secret in the words."""
        ran.append(text)
        return text

    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                changed("x")

        with pytest.raises(errors.UnpinnedToolError, match="another definition") as caught:
            await within(work)
        assert caught.value.code == "other-definition"
        assert ran == []
        assert outcomes(place.world) == ["not-sent"]


async def test_law_7_a_key_runs_once_and_says_then_what_became_of_it(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                once = note.using(idempotency_key="monday")
                assert once("hello") == "noted hello"
                with pytest.raises(errors.RepeatedError) as caught:
                    once("hello")
                assert (caught.value.code, caught.value.state) == ("action-repeated", "succeeded")
                with pytest.raises(errors.RefusedError) as other:
                    once("more")
                assert other.value.code == "key-reused"
                note("hello")

        await within(work)
        assert len(ran) == 2


async def test_a_result_is_withheld_when_the_task_ended_while_the_function_ran(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        (task,) = {one["task"] for one in place.world.events("task-started")}

        @guard(server="notes", tool="note_later", effect="write")
        async def slow(text: str) -> str:
            """Write a note down, by and by."""
            moved = place.world.tasks.end("default", task, TaskEvent.COMPLETE, ANN, reason="done")
            place.daemon.tell_ended(moved)
            return text

        async with async_client_at(place):
            with pytest.raises(errors.ResultWithheldError) as caught:
                await slow("hello")
            assert caught.value.action.startswith("act_")
            with pytest.raises(errors.RefusedError) as after:
                await slow("hello")
        assert after.value.code == "task-ended"


async def test_without_a_task_nothing_runs(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        (task,) = {one["task"] for one in place.world.events("task-started")}
        place.world.tasks.end("default", task, TaskEvent.COMPLETE, ANN, reason="done")
        async with async_client_at(place):
            with pytest.raises(errors.RefusedError, match="no task") as caught:
                await note_later("hello")
        assert caught.value.code == "no-task"
        assert ran == []


async def test_a_permit_whose_time_is_over_runs_nothing_and_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert round(flow.PERMIT * 1_000_000) == PERMIT_LIFE
    async with noting(tmp_path) as place:
        monkeypatch.setattr(flow, "awake", lambda: 1e12)  # a process that was stopped behind its permit
        async with async_client_at(place):
            with pytest.raises(errors.PermitOverError, match="time was over"):
                await note_later("hello")
        assert ran == []
        assert outcomes(place.world) == ["not-sent"]


async def test_threads_share_a_client_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    got: list[list[str]] = []

    async with noting(tmp_path) as place:
        client = client_at(place)

        @client.guard(server="notes", tool="spend", effect="write")
        def spent(amount: int) -> int:
            """Spend some."""
            return amount

        def thread(number: int) -> None:
            got.append([str(spent(number)) for _ in range(10)])

        def work() -> None:
            threads = [threading.Thread(target=thread, args=(number,)) for number in range(1, 9)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            client.close()

        await within(work)
        assert sorted(got) == sorted([str(number)] * 10 for number in range(1, 9))
        assert outcomes(place.world) == ["succeeded"] * 80


async def test_calls_that_overlap_in_one_loop_each_get_their_own_answer(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        async with async_client_at(place):
            found = await asyncio.gather(*(note_later(f"note {number}") for number in range(40)))
        assert found == [f"noted note {number}" for number in range(40)]
        assert outcomes(place.world) == ["succeeded"] * 40


def test_a_call_without_a_client_is_refused() -> None:
    with pytest.raises(errors.NoClientError, match="notes__note"):
        note("hello")


async def test_what_blocks_and_what_is_awaited_are_not_taken_for_each_other(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with pytest.raises(errors.SignatureError, match="Client"):
            client_at(place).guard(note_later.__wrapped__)
        with pytest.raises(errors.SignatureError, match="Client"):
            async_client_at(place).guard(note.__wrapped__)
        async with async_client_at(place):
            with pytest.raises(errors.SignatureError, match="Client"):
                note("hello")
        assert place.world.events("action-decided") == []


def test_a_generator_is_not_guarded() -> None:
    with pytest.raises(errors.SignatureError, match="iterated"):

        @guard
        def each(text: str) -> Generator[str, None, None]:
            yield text


async def test_what_is_still_to_run_is_no_result(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        @guard(server="notes", tool="fail", effect="write")
        def hidden(text: str) -> Any:
            """Fail, with a secret in the words."""

            async def later() -> None:
                ran.append(text)

            return later()

        def work() -> None:
            with client_at(place):
                hidden("x")

        with pytest.raises(errors.SignatureError, match="still to run"):
            await within(work)
        assert ran == []
        assert outcomes(place.world) == ["unknown"]


def test_what_is_pinned_is_what_the_functions_say() -> None:
    assert [one.tool for one in FUNCTIONS] == [
        "notes__note",
        "notes__note_later",
        "notes__fail",
        "notes__spend",
    ]
    assert canonical(dict(note.definition)) == (
        b'{"annotations":{"destructiveHint":false,"readOnlyHint":false},"description":"Write a note down.",'
        b'"inputSchema":{"additionalProperties":false,"properties":{"tags":{"anyOf":[{"items":{"type":"string"},'
        b'"type":"array"},{"type":"null"}],"default":null},"text":{"type":"string"}},"required":["text"],'
        b'"type":"object"},"name":"note"}'
    )
