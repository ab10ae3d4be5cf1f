from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.wire.action import Decide, Outcome
from taskbound.wire.tool import ReachTools, Seen, SeeTools, ToolRows
from tests.peers.commands import echo
from tests.surfaces.gateway.bench import bench, code_of, reached

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("changed", [True, False])
async def test_a162_a_tool_that_changes_between_permit_and_call_is_not_called(
    tmp_path: Path, *, changed: bool
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log, era="legacy")) as b:
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            running = b.running("echo")
            running.stale = True
            if changed:
                b.daemon.on[SeeTools] = lambda _: Seen(differences=(("echo__echo", "schema-changed", "x"),))
                b.daemon.on[ReachTools] = lambda _: ToolRows(rows=(), task="tsk_1")
            one.answer(b.daemon.permit(one.ask))
            answer = await b.answer_to(request)
        outcome = await b.daemon.asked(Outcome)
    calls = reached(log)
    if changed:
        assert (code_of(answer), outcome.outcome, calls) == ("server-repinned", "not-sent", [])
    else:
        assert (code_of(answer), outcome.outcome, len(calls)) == ("ok", "succeeded", 1)


async def test_a_task_that_is_another_one_by_the_time_its_server_is_ready_is_not_served(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(log=log, era="legacy")) as b:
        with b.daemon.holding(Decide) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            one = await held.next()
            b.running("echo").stale = True
            with b.daemon.holding(SeeTools) as seen:
                one.answer(b.daemon.permit(one.ask))
                look = await seen.next()
                b.daemon.task = "tsk_2"
                look.answer(b.daemon.answer(look.ask))
            answer = await b.answer_to(request)
        outcome = await b.daemon.asked(Outcome)
    assert (code_of(answer), outcome.outcome, reached(log)) == ("server-repinned", "not-sent", [])
