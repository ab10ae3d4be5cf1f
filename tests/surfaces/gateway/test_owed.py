from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.wire.action import Decide, Outcome
from tests.peers.commands import echo, faulty
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.bench import bench, code_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_i30_what_was_given_up_is_told_to_a_daemon_that_is_back_before_a_repeat_is_decided(
    tmp_path: Path,
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        bench(tmp_path, faulty("hangs", log=tap.path), name="odd") as b,
    ):
        await b.handshake()
        request = await b.start_call("odd__work", {"text": "canary"})
        await tap.wait_for(b'"tools/call"')
        await b.daemon.stop()
        assert code_of(await b.answer_to(request)) == "daemon-lost"
        await b.daemon.listen()
        repeat = await b.start_call("odd__work", {"text": "canary"})
        for kind in (Decide, Decide, Outcome):
            await b.daemon.asked(kind)
        asks = [ask for ask in b.daemon.asks if isinstance(ask, Decide | Outcome)]
        assert [type(ask) for ask in asks] == [Decide, Outcome, Decide]
        owed = asks[1]
        assert isinstance(owed, Outcome)
        assert (owed.action, owed.outcome) == ("act_1", "unknown")
        await b.cancel(repeat)


async def test_an_outcome_whose_answer_was_lost_is_told_once_more_without_the_result(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        await b.handshake()
        with b.daemon.holding(Outcome) as held:
            request = await b.start_call("echo__echo", {"text": "a"})
            await held.next()
            await b.daemon.stop()
            assert code_of(await b.answer_to(request)) == "daemon-lost"
        before = b.daemon.count(Outcome)
        await b.daemon.listen()
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
        again, other = [ask for ask in b.daemon.asks if isinstance(ask, Outcome)][before:]
        assert (again.action, again.outcome) == ("act_1", "succeeded")
        assert again.answer is msgspec.UNSET
        assert other.action == "act_2"
