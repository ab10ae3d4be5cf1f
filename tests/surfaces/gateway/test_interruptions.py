from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from taskbound.wire.action import Decide, Outcome, Refused
from taskbound.wire.connection import Bind, StopPush, TaskPush
from taskbound.wire.tool import ReachTools, SeeTools
from tests.peers.commands import echo, faulty
from tests.peers.daemon import rows_of
from tests.surfaces.gateway.bench import bench, code_of, hanging, pinned, reached, silence, text_of
from tests.surfaces.gateway.real import gone
from tests.waiting import others

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.bench import Bench

pytestmark = pytest.mark.anyio
ENDS = pytest.mark.parametrize("state", ["completed", "cancelled", "expired", "revoked", "failed"])
FINAL = [
    (TaskPush(task="tsk_1", state="revoked", reason="enough"), "task-ended"),
    (TaskPush(task="tsk_1", state="paused"), "task-paused"),
    (StopPush(stopped=True), "stopped"),
]


def number_of(line: bytes) -> Any:
    return json.loads(line)["params"]["requestId"]


# --- the client cancels, at each step -----------------------------------------------------------------------


@pytest.mark.parametrize("step", [Bind, ReachTools, SeeTools])
async def test_f31_a_call_that_is_cancelled_before_it_is_decided_is_not_decided_and_not_answered(
    step: type[Any], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        with b.daemon.holding(step) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            await b.cancel(request)
            await silence(b)
            one.answer(b.daemon.answer(one.ask))
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
        await silence(b)
        assert [bytes(ask.arguments) for ask in b.daemon.asks if isinstance(ask, Decide)] == [b'{"text":"b"}']
    assert b'"text":"a"' not in log.read_bytes()


async def test_f31_a_call_that_is_cancelled_while_its_server_starts_is_not_decided(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    command = faulty("slow-start", gate=tmp_path / "gate")
    opener = os.open(tmp_path / "gate", os.O_RDWR)
    try:
        async with bench(tmp_path, command, name="odd", handshake=False) as b:
            os.close(opener)
            opener = -1
            await b.handshake()
            request = await b.start_call("odd__work")
            await b.daemon.asked(ReachTools)
            await b.cancel(request)
            await silence(b)
            opener = os.open(tmp_path / "gate", os.O_RDWR)
            assert code_of(await b.call("odd__work")) == "ok"
            assert b.daemon.count(Decide) == 1
    finally:
        if opener >= 0:
            os.close(opener)


async def test_f31_a_call_that_is_cancelled_while_it_is_decided_gives_its_permit_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            await b.cancel(request)
            await silence(b)
            one.answer(b.daemon.answer(one.ask))
            outcome = await b.daemon.asked(Outcome)
        await silence(b)
    assert (outcome.outcome, outcome.note) == ("not-sent", "cancelled by the client")
    assert b'"text":"a"' not in log.read_bytes()


async def test_f31_a_call_that_is_cancelled_in_the_moment_it_is_read_gives_its_permit_back(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        assert text_of(await b.call("echo__echo", {"text": "ready"})) == "ready"
        params = b'{"name":"echo__echo","arguments":{"text":"a"}}'
        ask = b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":%b}\n' % params
        cancel = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}\n'
        with b.daemon.holding(Outcome) as held:
            await b.send(ask + cancel)
            one = await held.next()
            one.answer(b.daemon.answer(one.ask))
        await silence(b)
        assert (one.ask.outcome, one.ask.note) == ("not-sent", "cancelled by the client")
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
    assert b'"text":"a"' not in log.read_bytes()


async def test_f31_a_call_that_is_cancelled_after_its_permit_starts_no_server_for_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            b.running("echo").upstream.kill("it is gone")  # type: ignore[union-attr]  # it runs
            await b.cancel(request)
            await silence(b)
            one.answer(b.daemon.answer(one.ask))
            outcome = await b.daemon.asked(Outcome)
        await silence(b)
        assert outcome.outcome == "not-sent"
        assert b.daemon.count(SeeTools) == 1


async def test_f31_a_call_that_is_cancelled_while_its_server_starts_anew_after_its_permit_is_not_sent(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            b.running("echo").upstream.kill("it is gone")  # type: ignore[union-attr]  # it runs
            with b.daemon.holding(SeeTools) as seen:
                one.answer(b.daemon.answer(one.ask))
                look = await seen.next()
                await b.cancel(request)
                await silence(b)
                look.answer(b.daemon.answer(look.ask))
            outcome = await b.daemon.asked(Outcome)
        await silence(b)
    assert (outcome.outcome, outcome.note) == ("not-sent", "cancelled by the client")
    assert reached(log) == []


async def test_f31_a_cancel_reaches_the_server_and_without_an_answer_the_outcome_is_unknown(
    tmp_path: Path,
) -> None:
    async with hanging(tmp_path) as (b, tap, request):
        await b.cancel(request)
        cancelled = await tap.wait_for(b"notifications/cancelled")
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "unknown"
        assert number_of(cancelled) != request
        await silence(b)
        session = b.running("odd").upstream._session  # type: ignore[union-attr]  # noqa: SLF001 -- it runs
        assert session._open == {}, (  # noqa: SLF001 -- what it keeps is the point
            "nothing is kept for an answer that never comes"
        )
        assert b.running("odd").ready, "a server whose task goes on is not ended for one call"


async def test_f31_an_answer_that_comes_after_the_cancel_is_recorded_and_not_passed_on(
    tmp_path: Path,
) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, _, request):
        await b.cancel(request)
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "succeeded"
        await silence(b)
        assert not any(b"too late" in line for line in b.lines)


async def test_f31_a_call_that_is_cancelled_while_its_outcome_is_recorded_is_not_answered(b: Bench) -> None:
    with b.daemon.holding(Outcome) as held:
        request = await b.start_call("echo__echo", {"text": "canary"})
        one = await held.next()
        assert one.ask.outcome == "succeeded"
        await b.cancel(request)
        await silence(b)
        one.answer(b.daemon.answer(one.ask))
    await silence(b)
    assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
    assert not any(b"canary" in line for line in b.lines)


@pytest.mark.parametrize("request_id", [99, "1", None, [], True, 1.5])
async def test_a171_a_cancel_of_what_is_not_open_changes_nothing(request_id: object, b: Bench) -> None:
    with b.daemon.holding(Decide) as held:
        request = await b.start_call("echo__echo", {"text": "a"})
        one = await held.next()
        await b.notify("notifications/cancelled", {"requestId": request_id})
        await b.notify("notifications/cancelled")
        one.answer(b.daemon.answer(one.ask))
    assert text_of(await b.answer_to(request)) == "a"


# --- the client leaves, at each step ------------------------------------------------------------------------


@pytest.mark.parametrize("step", [Bind, ReachTools, SeeTools, Decide, Outcome])
async def test_f32_a_client_that_leaves_at_any_step_of_a_call_leaves_one_clear_outcome(
    step: type[Any], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        with b.daemon.holding(step) as held:
            await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            b.close_input()
            await b.until(b.gateway._gone.is_set)  # noqa: SLF001 -- to be sure that it has seen the end
            one.answer(b.daemon.answer(one.ask))
            if step is Decide:
                assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        assert await b.finish() == []
    sent = b'"text":"a"' in log.read_bytes()
    outcomes = [ask.outcome for ask in b.daemon.asks if isinstance(ask, Outcome)]
    assert outcomes == (["not-sent"] if step is Decide else ["succeeded"] if step is Outcome else [])
    assert sent is (step is Outcome)


async def test_f32_a_client_that_leaves_during_a_call_makes_its_outcome_unknown_and_ends_the_server(
    tmp_path: Path,
) -> None:
    async with hanging(tmp_path, "hangs-and-ignores-eof") as (b, tap, _):
        pid = b.running("odd").upstream.pid  # type: ignore[union-attr]  # it runs
        b.close_input()
        await tap.wait_for(b"notifications/cancelled")
        assert (await b.daemon.asked(Outcome)).outcome == "unknown"
        assert await b.finish() == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_f32_a_client_that_stops_reading_for_good_and_leaves_ends_the_gateway(b: Bench) -> None:
    b.stop_reading()
    for _ in range(4):
        await b.start_call("echo__big", {"n": 4_000_000})
    await b.until(lambda: b.gateway._servers._paused)  # noqa: SLF001 -- that it stops reading is the point
    b._reading.close()  # noqa: SLF001 -- the client's end breaks
    await b.until(b.gateway._gone.is_set)  # noqa: SLF001 -- that is the point


async def test_a_server_can_be_started_while_a_client_is_slow_and_is_not_read_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    opener = os.open(tmp_path / "gate", os.O_RDWR)
    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        spec, definitions = await pinned("odd", faulty("slow-start", gate=tmp_path / "gate"), tmp_path)
        os.close(opener)
        b.daemon.servers.append(spec)
        b.daemon.tools += rows_of(spec, definitions)
        await b.handshake()
        late = await b.start_call("odd__work")
        b.stop_reading()
        ids = [await b.start_call("echo__big", {"n": 4_000_000}) for _ in range(4)]
        await b.until(lambda: b.gateway._servers._paused)  # noqa: SLF001 -- that it stops reading is the point
        opener = os.open(tmp_path / "gate", os.O_RDWR)
        await b.until(lambda: any(one.spec.name == "odd" and one.ready for one in b.gateway._servers._all))  # noqa: SLF001 -- as above
        output = b.running("odd").upstream._process._output()  # type: ignore[union-attr]  # noqa: SLF001 -- as above
        await b.until(lambda: not output.is_reading())
        b.read_again()
        for request in [*ids, late]:
            assert code_of(await b.answer_to(request)) == "ok"
    os.close(opener)


async def test_a_client_is_slow_only_once_it_leaves_eight_mebibytes_unread(b: Bench) -> None:
    b.stop_reading()
    request = await b.start_call("echo__big", {"n": 4_000_000})
    writer: Any = b.gateway.pipes._writer  # noqa: SLF001 -- what it holds is the point
    await b.until(lambda: writer.get_write_buffer_size() > 3_000_000)
    assert not b.gateway._servers._paused  # noqa: SLF001 -- as above
    b.read_again()
    assert len(text_of(await b.answer_to(request))) == 4_000_000


async def test_a_slow_client_gets_everything_once_it_reads_again(b: Bench) -> None:
    b.stop_reading()
    ids = [await b.start_call("echo__big", {"n": 4_000_000}) for _ in range(6)]
    await b.until(lambda: b.gateway._servers._paused)  # noqa: SLF001 -- that it stops reading is the point
    b.read_again()
    for request in ids:
        assert len(text_of(await b.answer_to(request))) == 4_000_000
    assert not b.gateway._servers._paused  # noqa: SLF001 -- that is the point


# --- the task ends, is paused, or everything is stopped -----------------------------------------------------


@pytest.mark.parametrize(("push", "code"), FINAL)
async def test_law_4_a_call_in_flight_is_cancelled_upstream_and_its_result_withheld(
    push: TaskPush | StopPush, code: str, tmp_path: Path
) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, tap, request):
        b.daemon.push(push)
        await tap.wait_for(b"notifications/cancelled")
        outcome = await b.daemon.asked(Outcome)
        answer = await b.answer_to(request)
    assert outcome.outcome == "succeeded"
    assert code_of(answer) == code
    assert "withheld" in text_of(answer)
    assert not any(b"too late" in line for line in b.lines)


@pytest.mark.parametrize(("push", "code"), FINAL)
async def test_section_6_a_server_that_does_not_answer_the_cancel_is_killed_and_the_outcome_is_unknown(
    push: TaskPush | StopPush, code: str, tmp_path: Path
) -> None:
    async with hanging(tmp_path, "hangs-and-ignores-eof") as (b, tap, request):
        pid = b.running("odd").upstream.pid  # type: ignore[union-attr]  # it runs
        b.daemon.push(push)
        await tap.wait_for(b"notifications/cancelled")
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "unknown"
        assert outcome.note.endswith("the server did not answer"), "it was given the time for it"
        assert code_of(await b.answer_to(request)) == code

        def ended() -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            return False

        await b.until(ended)


@pytest.mark.parametrize(("push", "code"), FINAL)
async def test_law_4_a_call_that_is_being_decided_gives_its_permit_back(
    push: TaskPush | StopPush, code: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        await b.daemon.asked(Outcome)
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "canary"})
            one = await held.next()
            b.daemon.push(push)
            await b.notified("notifications/tools/list_changed")
            one.answer(b.daemon.answer(one.ask))
            assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        assert code_of(await b.answer_to(request)) == code
    assert b"canary" not in log.read_bytes()


async def test_a_result_that_was_released_before_the_end_was_told_may_leave(b: Bench) -> None:
    with b.daemon.holding(Outcome) as held:
        request = await b.start_call("echo__echo", {"text": "a"})
        one = await held.next()
        b.daemon.push(TaskPush(task="tsk_1", state="completed"))
        await b.notified("notifications/tools/list_changed")
        one.answer(b.daemon.answer(one.ask))
    assert text_of(await b.answer_to(request)) == "a"


async def test_a_push_about_another_task_changes_nothing_for_a_call(tmp_path: Path) -> None:
    async with hanging(tmp_path) as (b, tap, request):
        b.daemon.push(TaskPush(task="tsk_other", state="revoked"))
        await b.notified("notifications/tools/list_changed")
        await b.cancel(request)
        assert json.loads(await tap.wait_for(b"cancelled"))["params"]["reason"] == "cancelled by the client"
        assert (await b.daemon.asked(Outcome)).note.startswith("cancelled by the client")


async def test_a_lifted_kill_switch_interrupts_nothing(tmp_path: Path) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, _, request):
        b.daemon.push(StopPush(stopped=False))
        await b.notified("notifications/tools/list_changed")
        assert b.daemon.count(Outcome) == 0
        await b.cancel(request)
        await b.daemon.asked(Outcome)


# --- from one task to the next ------------------------------------------------------------------------------


@ENDS
async def test_section_6_after_the_end_calls_refuse_until_one_was_told_and_then_belong_to_the_next_task(
    state: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        first = b.running("echo").upstream.pid  # type: ignore[union-attr]  # it runs
        b.daemon.task = "tsk_2"
        b.daemon.push(TaskPush(task="tsk_1", state=state, reason="done"))
        await b.notified("notifications/tools/list_changed")
        b.daemon.on[Decide] = lambda _: Refused(
            action="", task="tsk_1", code="task-ended", instead="ask for one"
        )
        assert code_of(await b.call("echo__echo", {"text": "told"})) == "task-ended"
        del b.daemon.on[Decide]
        assert text_of(await b.call("echo__echo", {"text": "second"})) == "second"
        assert b.running("echo").upstream.pid != first  # type: ignore[union-attr]  # it runs
        assert b.daemon.count(Bind) == 2
    assert b"told" not in log.read_bytes()


async def test_a_permit_under_a_new_task_is_not_used_before_the_client_was_told_of_the_old_ones_end(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        await b.daemon.asked(Outcome)
        b.daemon.task = "tsk_2"
        b.daemon.push(TaskPush(task="tsk_1", state="completed", reason="all done"))
        await b.notified("notifications/tools/list_changed")
        answer = await b.call("echo__echo", {"text": "told"})
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        assert code_of(answer) == "task-ended"
        assert "all done" in text_of(answer)
        assert text_of(await b.call("echo__echo", {"text": "second"})) == "second"
    assert b"told" not in log.read_bytes()


@pytest.mark.parametrize("shareable", [False, True])
async def test_a_server_is_of_one_task_and_one_that_is_declared_shareable_lives_on_for_the_next(
    tmp_path: Path, *, shareable: bool
) -> None:
    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        b.daemon.servers[0] = structs.replace(b.daemon.servers[0], shareable=shareable)
        await b.handshake()
        await b.call("echo__echo", {"text": "a"})
        pid = b.running("echo").upstream.pid  # type: ignore[union-attr]  # it runs
        b.daemon.task = "tsk_2"
        b.daemon.push(TaskPush(task="tsk_1", state="completed"))
        await b.notified("notifications/tools/list_changed")
        await b.call("echo__echo", {"text": "told"})
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
        assert (b.running("echo").upstream.pid == pid) is shareable  # type: ignore[union-attr]  # it runs
        with contextlib.nullcontext() if shareable else pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("change", [{"shareable": False}, {"lock": "another release"}])
async def test_a_shared_server_whose_pin_is_another_now_ends_before_the_next_task(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        b.daemon.servers[0] = structs.replace(b.daemon.servers[0], shareable=True)
        await b.handshake()
        await b.call("echo__echo", {"text": "a"})
        pid = b.running("echo").upstream.pid  # type: ignore[union-attr]  # it runs
        b.daemon.task = "tsk_2"
        b.daemon.servers[0] = structs.replace(b.daemon.servers[0], **change)
        b.daemon.push(TaskPush(task="tsk_1", state="completed"))
        await b.notified("notifications/tools/list_changed")
        await b.call("echo__echo", {"text": "told"})
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
        assert b.running("echo").upstream.pid != pid  # type: ignore[union-attr]  # it runs
        async with asyncio.timeout(20):
            while not gone(pid):
                await others()


async def test_a_paused_task_keeps_its_idle_servers_and_goes_on_after_it_is_resumed(b: Bench) -> None:
    await b.call("echo__echo", {"text": "a"})
    pid = b.running("echo").upstream.pid  # type: ignore[union-attr]  # it runs
    b.daemon.push(TaskPush(task="tsk_1", state="paused"))
    b.daemon.on[Decide] = lambda _: Refused(action="", task="tsk_1", code="task-paused", instead="wait")
    assert code_of(await b.call("echo__echo", {})) == "task-paused"
    del b.daemon.on[Decide]
    b.daemon.push(TaskPush(task="tsk_1", state="running"))
    assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
    assert b.running("echo").upstream.pid == pid  # type: ignore[union-attr]  # it runs
