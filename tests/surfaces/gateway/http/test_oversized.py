"""Heads and bodies over their limits at the front: one error each, and one record by the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.network import TellRefused
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import TOKEN, front
from tests.surfaces.gateway.real import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.http.fronting import Near

pytestmark = pytest.mark.anyio
SECRET = "c2VjcmV0"


async def test_a141_a_head_and_a_body_over_their_limits_leave_one_record_each_and_their_twins_none(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as place:
        await place.pin("echo", echo(era="modern"))
        place.settle_in()
        place.start_task()
        async with front(place) as there:
            token = there.token()
            assert (await there.call(token, "echo__echo", {"text": "a"})).status == 200
            body = there.raw(token, b"{}", length=1_048_577, X_Other=SECRET)
            head = there.raw(token, b"{}", X_Other=SECRET * 3000)
            for raw, status, code in ((body, 413, "too-large"), (head, 431, "head-too-large")):
                async with await there.wire() as wire:
                    wire.send(raw)
                    answer = await wire.answer()
                assert (answer.status, answer.code) == (status, code)
                while not (
                    found := [one for one in await place.events("request-refused") if one["code"] == code]
                ):
                    pass
                assert found == [
                    {
                        "kind": "request-refused",
                        "surface": "front",
                        "code": code,
                        "operation": "",
                        "times": 1,
                    }
                ]
            assert (await there.call(token, "echo__echo", {"text": "b"})).status == 200
            assert len(await place.events("request-refused")) == 2


async def test_no_answer_of_the_front_waits_for_a_daemon_that_hangs_and_other_faults_are_told_nobody(
    there: Near,
) -> None:
    with there.daemon.holding(TellRefused) as held:
        for raw, status in (
            (there.raw(TOKEN, b"{}", length=1_048_577), 413),
            (there.raw(TOKEN, b"{}", Content_Type="text/plain"), 415),
            (there.raw(TOKEN, b"{}", length=1_048_577), 413),
            (there.raw(TOKEN, b"{}", length=1_048_577), 413),
        ):
            async with await there.wire() as wire:
                wire.patience = 3.0
                wire.send(raw)
                assert (await wire.answer()).status == status
        first = await held.next()
    there.daemon.on[TellRefused] = lambda _: Done()
    first.answer(Done())
    await there.until(lambda: there.daemon.count(TellRefused) == 2)
    told = [one.times for one in there.daemon.asks if isinstance(one, TellRefused)]
    assert (first.ask.times, told) == (1, [1, 2])


async def test_a_front_whose_daemon_is_gone_answers_all_the_same_and_counts(there: Near) -> None:
    await there.daemon.stop()
    async with await there.wire() as wire:
        wire.send(there.raw(TOKEN, b"{}", length=1_048_577))
        assert (await wire.answer()).status == 413
    await there.until(lambda: there.front.telling.untold == 1)
