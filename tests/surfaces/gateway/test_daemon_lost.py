from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from taskbound.wire.action import Decide, Duplicate, Outcome
from taskbound.wire.connection import Bind, Bound, Fault, Ping
from taskbound.wire.tool import ReachTools, ToolRows
from tests.peers.commands import echo, speaking
from tests.surfaces.gateway.bench import bench, code_of, hanging, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.bench import Bench

pytestmark = pytest.mark.anyio


async def test_section_4_9_a_daemon_that_is_back_within_the_grace_releases_what_was_open(
    tmp_path: Path,
) -> None:
    async with hanging(tmp_path, "answers-in-reverse") as (b, tap, request):
        b.daemon.drop()
        await b.until(lambda: len(b.daemon.opened) == 2)
        assert b.daemon.opened[1].resume == "con_secret"
        other = await b.start_call("odd__work", {"text": "second"})
        await tap.wait_for(b"second")
        assert json.loads(text_of(await b.answer_to(request))) == {"text": "canary"}
        assert json.loads(text_of(await b.answer_to(other))) == {"text": "second"}


async def test_section_4_9_a_daemon_that_stays_away_for_longer_cancels_and_withholds(tmp_path: Path) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, tap, request):
        await b.daemon.stop()
        await tap.wait_for(b"notifications/cancelled")
        answer = await b.answer_to(request)
        assert code_of(answer) == "daemon-lost"
        assert b.daemon.count(Outcome) == 0
        assert not any(b"too late" in line for line in b.lines)
        assert code_of(await b.call("odd__work")) == "daemon-lost"
        await b.daemon.listen()
        again = await b.start_call("odd__work", {"text": "again"})
        await tap.wait_for(b"again")
        await b.cancel(again)


async def test_section_4_9_a_daemon_that_hangs_is_lost_like_one_that_is_gone(tmp_path: Path) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, tap, request):
        await b.daemon.asked(Ping)
        b.daemon.silent = True
        await tap.wait_for(b"notifications/cancelled")
        assert code_of(await b.answer_to(request)) == "daemon-lost"
        b.daemon.silent = False
        b.daemon.drop()
        again = await b.start_call("odd__work", {"text": "again"})
        await tap.wait_for(b"again")
        await b.cancel(again)


async def test_a_call_whose_decision_is_lost_is_decided_again_by_the_daemon_that_came_back(b: Bench) -> None:
    await b.call("echo__echo", {"text": "first"})
    with b.daemon.holding(Decide) as held:
        request = await b.start_call("echo__echo", {"text": "a"})
        one = await held.next()
        b.daemon.drop()
        two = await held.next()
        assert two.ask.request == one.ask.request
        two.answer(b.daemon.answer(two.ask))
    assert text_of(await b.answer_to(request)) == "a"


async def test_a_permit_whose_answer_was_lost_is_given_back_and_nothing_is_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        await b.daemon.asked(Outcome)
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "canary"})
            await held.next()
            b.daemon.drop()
            two = await held.next()
            two.answer(Duplicate(action="act_7", task="tsk_1", state="permitted"))
            outcome = await b.daemon.asked(Outcome)
        assert (outcome.action, outcome.outcome) == ("act_7", "not-sent")
        assert code_of(await b.answer_to(request)) == "daemon-lost"
    assert b"canary" not in log.read_bytes()


async def test_a_result_whose_release_was_lost_is_asked_for_again_and_withheld_if_it_is_refused(
    b: Bench,
) -> None:
    with b.daemon.holding(Outcome) as held:
        request = await b.start_call("echo__echo", {"text": "canary"})
        await held.next()
        b.daemon.drop()
        two = await held.next()
        two.answer(Fault(code="not-holder", message="it is no open permit"))
    assert code_of(await b.answer_to(request)) == "not-holder"
    assert not any(b"canary" in line for line in b.lines)


async def test_a_task_that_ended_while_the_daemon_was_away_ends_what_is_open(tmp_path: Path) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, tap, request):
        b.daemon.on[Bind] = lambda _: Fault(code="task-ended", message="the task has ended (revoked)")
        b.daemon.drop()
        await tap.wait_for(b"notifications/cancelled")
        answer = await b.answer_to(request)
        assert code_of(answer) == "task-ended"
        assert "revoked" in text_of(answer)
        b.daemon.on[Bind] = lambda _: Bound(task="tsk_2", purpose="", deadline=0)
        b.daemon.task = "tsk_2"
        assert code_of(await b.call("odd__work")) == "task-ended", "no call was answered with it yet"


async def test_a_subscription_ends_with_a_task_that_ended_while_the_daemon_was_away(tmp_path: Path) -> None:
    async with bench(tmp_path, speaking(log=tmp_path / "log"), name="odd", handshake=False) as b:
        b.daemon.servers[0] = structs.replace(b.daemon.servers[0], shareable=True)
        await b.handshake()
        assert (await b.request("resources/subscribe", {"uri": "test://a"}))["result"] == {}
        b.daemon.on[Bind] = lambda _: Fault(code="task-ended", message="the task has ended (revoked)")
        b.daemon.drop()
        await b.until(lambda: b"resources/unsubscribe" in (tmp_path / "log").read_bytes())


async def test_everything_stopped_while_the_daemon_was_away_interrupts_what_is_open(tmp_path: Path) -> None:
    async with hanging(tmp_path, "answers-after-cancel") as (b, tap, request):
        from taskbound import __version__  # noqa: PLC0415 -- only here
        from taskbound.wire.connection import Open, Opened  # noqa: PLC0415 -- only here

        b.daemon.on[Open] = lambda ask: Opened(connection=ask.resume, version=__version__, stopped=True)
        b.daemon.drop()
        await tap.wait_for(b"notifications/cancelled")
        assert code_of(await b.answer_to(request)) == "stopped"


async def test_without_a_daemon_calls_refuse_lists_are_empty_and_both_work_once_it_is_there(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        await b.daemon.stop()
        await b.handshake()
        assert code_of(await b.call("echo__echo", {})) == "daemon-lost"
        listed = (await b.request("tools/list"))["result"]
        assert listed["tools"] == []
        assert listed["_meta"]["io.taskbound/decision"]["code"] == "daemon-lost"
        await b.daemon.listen()
        await b.notified("notifications/tools/list_changed")
        assert text_of(await b.call("echo__echo", {"text": "a"})) == "a"


async def test_an_agent_that_the_daemon_refuses_is_told_its_words_with_each_call(tmp_path: Path) -> None:
    from taskbound.wire.connection import Open  # noqa: PLC0415 -- only here

    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        b.daemon.on[Open] = lambda _: Fault(
            code="unknown-identity", message="there is no agent `coder`", advice="register it"
        )
        b.daemon.drop()
        await b.handshake()
        answer = await b.call("echo__echo", {})
        assert code_of(answer) == "unknown-identity"
        assert "Register it" in text_of(answer)


async def test_a_list_of_another_task_than_was_shown_is_announced_when_a_call_binds(b: Bench) -> None:
    b.daemon.on[ReachTools] = lambda _: ToolRows(rows=(), task="", refusal="no task runs")
    listed = (await b.request("tools/list"))["result"]
    assert listed["_meta"]["io.taskbound/decision"]["reason"] == "no task runs"
    del b.daemon.on[ReachTools]
    await b.call("echo__echo", {"text": "a"})
    await b.notified("notifications/tools/list_changed")
