from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.wire.action import Decide, Outcome, Withheld
from taskbound.wire.connection import Fault
from tests.peers.commands import faulty
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.bench import bench, code_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.bench import Bench

pytestmark = pytest.mark.anyio


async def test_i30_what_was_given_up_is_told_to_a_daemon_that_is_back_before_a_repeat_is_decided(
    tmp_path: Path,
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        bench(tmp_path, faulty("hangs", log=tap.path), name="odd") as b,
    ):
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


async def test_an_outcome_whose_answer_was_lost_is_told_once_more_without_the_result(b: Bench) -> None:
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


UNRECORDED = (
    Withheld(action="act_1", code="full-disk", reason="the disk is full", recorded=False),
    Fault(code="overloaded", message="4096 requests wait already"),
)


@pytest.mark.parametrize("said", UNRECORDED, ids=lambda one: one.code)
async def test_an_outcome_that_the_daemon_could_not_record_is_withheld_and_told_again_at_a_ping(
    b: Bench, said: Withheld | Fault
) -> None:
    b.daemon.on[Outcome] = lambda _: said
    assert code_of(await b.call("echo__echo", {"text": "a"})) == said.code
    first = await b.daemon.asked(Outcome)
    refused = await b.daemon.asked(Outcome)
    del b.daemon.on[Outcome]
    again = await b.daemon.asked(Outcome)
    assert {one.action for one in (first, refused, again)} == {"act_1"}
    assert (first.answer is msgspec.UNSET, again.answer is msgspec.UNSET) == (False, True)
    assert again.answer_sha256 == first.answer_sha256
    assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"


def with_token(ask: Outcome) -> Withheld:
    """What a daemon says that has issued a transaction token for the action."""
    said = Withheld(action=ask.action, code="token-was-issued", reason="a token is out", recorded=False)
    return said if ask.outcome == "not-sent" else Withheld(action=ask.action, code="unknown", reason="it is")


async def test_what_was_not_sent_is_told_as_unknown_once_a_transaction_token_was_issued(b: Bench) -> None:
    b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, server="f" * 64)
    b.daemon.on[Outcome] = with_token
    assert code_of(await b.call("echo__echo", {"text": "a"})) == "server-repinned"
    told = [await b.daemon.asked(Outcome) for _ in range(2)]
    assert [(one.action, one.outcome) for one in told] == [("act_1", "not-sent"), ("act_1", "unknown")]
    assert told[1].note == told[0].note
    del b.daemon.on[Decide], b.daemon.on[Outcome]
    assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"  # nothing is owed


async def test_that_nothing_was_sent_is_owed_as_unknown_once_a_transaction_token_was_issued(b: Bench) -> None:
    b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, server="f" * 64)
    b.daemon.on[Outcome] = lambda _: UNRECORDED[1]
    await b.call("echo__echo", {"text": "a"})
    await b.daemon.asked(Outcome)
    b.daemon.on[Outcome] = with_token
    while (again := await b.daemon.asked(Outcome)).outcome == "not-sent":
        pass
    assert (again.action, again.outcome) == ("act_1", "unknown")
    del b.daemon.on[Decide], b.daemon.on[Outcome]
    assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"


async def test_nothing_new_is_asked_for_while_an_outcome_is_owed(b: Bench) -> None:
    b.daemon.on[Outcome] = lambda _: UNRECORDED[0]
    await b.call("echo__echo", {"text": "a"})
    assert code_of(await b.call("echo__echo", {"text": "b"})) == "outcome-owed"
    assert b.daemon.count(Decide) == 1
    del b.daemon.on[Outcome]
    assert text_of(await b.call("echo__echo", {"text": "c"})) == "c"
    last = [one for one in b.daemon.asks if isinstance(one, Decide | Outcome)][-3:]
    assert [type(one) for one in last] == [Outcome, Decide, Outcome]
