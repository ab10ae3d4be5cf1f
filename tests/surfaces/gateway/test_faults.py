"""Every fault of an upstream that the peers know, through the gateway: one clear outcome each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.core.action.parse import parse_document
from taskbound.wire.action import Outcome
from tests.corpus.g9 import Case, cases
from tests.peers.commands import faulty
from tests.peers.rawclient import Tap
from tests.surfaces.gateway.bench import bench, code_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

PASSED = {
    "dies-after-answer": "done",
    "crlf": "done",
    "drips": "done",
    "answers-unasked-id": "done",
    "answers-twice": "first",
}
"""An answer that is only odd is the answer, and what else was said reaches nobody."""
UNKNOWN = {
    "dies-before-answer": "server-lost",
    "dies-in-half-a-line": "server-lost",
    "dies-before-lf": "server-lost",
    "closes-output": "server-lost",
    "floods-notifications": "server-lost",
    "floods-line": "server-lost",
    "floods-result": "server-lost",
    "two-in-one-line": "server-lost",
    "batch": "server-lost",
    "id-float": "server-lost",
    "id-bool": "server-lost",
    "id-null": "server-lost",
    "answer-as-request": "server-lost",
    "invalid-utf8": "not-utf8",
    "lone-surrogate": "lone-surrogate",
    "duplicate-key": "duplicate-key",
    "nan": "not-finite",
    "infinite": "not-finite",
    "deep": "too-deep",
    "bare-cr": "bare-return",
    "result-and-error": "unknown-member",
    "neither-result-nor-error": "not-a-message",
    "wrong-shape": "garbage",
}
"""What it did is unknown, the result is withheld, and the client is told so."""
WAITING = [
    "hangs",
    "hangs-and-ignores-eof",
    "stops-reading",
    "not-json",
    "answers-earlier-id",
    "id-other-type",
]
"""Nothing that answers the call ever comes: it waits until somebody ends it, and is then unknown."""


@pytest.mark.parametrize(("fault", "words"), PASSED.items())
async def test_an_odd_answer_is_passed_on_and_nothing_beside_it(
    fault: str, words: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, faulty(fault), name="odd") as b:
        answer = await b.call("odd__work")
        outcome = await b.daemon.asked(Outcome)
        rest = await b.finish()
    assert text_of(answer) == words
    assert outcome.outcome == "succeeded"
    assert rest == []
    assert not any(b"second" in line or b"for nobody" in line for line in b.lines)


@pytest.mark.parametrize(("fault", "code"), UNKNOWN.items())
async def test_an_answer_that_is_lost_or_garbled_is_unknown_and_withheld(
    fault: str, code: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, faulty(fault), name="odd") as b:
        answer = await b.call("odd__work")
        outcome = await b.daemon.asked(Outcome)
        assert b.daemon.count(Outcome) == 1
        again = await b.call("odd__work")
        rest = await b.finish()
    assert outcome.outcome == "unknown"
    assert code_of(answer) == code
    assert code_of(again) == code
    assert "unknown" in text_of(answer)
    for line in [*b.lines, *rest]:
        parse_document(line)


@pytest.mark.parametrize("fault", WAITING)
async def test_a_call_that_nobody_answers_ends_when_it_is_cancelled_and_is_unknown(
    fault: str, tmp_path: Path
) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        bench(tmp_path, faulty(fault, log=tap.path), name="odd") as b,
    ):
        request = await b.start_call("odd__work")
        await tap.wait_for(b'"tools/call"')
        await b.cancel(request)
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "unknown"
        assert b.daemon.count(Outcome) == 1


@pytest.mark.parametrize("fault", ["asks-sampling", "asks-elicitation", "asks-roots"])
async def test_a161_a_server_that_asks_the_client_for_something_is_refused_and_the_client_hears_nothing(
    fault: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, faulty(fault), name="odd") as b:
        answer = await b.call("odd__work")
        rest = await b.finish()
    assert json.loads(text_of(answer))["error"]["code"] == -32601
    assert rest == []
    assert not any(b"from-server" in line or b"elicitation/create" in line for line in b.lines)


async def test_one_calls_garbled_answer_is_no_other_calls(tmp_path: Path) -> None:
    async with bench(tmp_path, faulty("nan", after=1), name="odd") as b:
        good = await b.start_call("odd__work")
        bad = await b.start_call("odd__work")
        assert text_of(await b.answer_to(good)) == "done"
        assert code_of(await b.answer_to(bad)) == "not-finite"
        assert sorted([(await b.daemon.asked(Outcome)).outcome for _ in range(2)]) == ["succeeded", "unknown"]


async def test_an_answer_under_anothers_id_reaches_that_other_and_nobody_can_tell(tmp_path: Path) -> None:
    # What a pipe can not tell apart is not told apart: both are the same server's word (ADR 0008).
    async with bench(tmp_path, faulty("swaps-ids"), name="odd") as b:
        first = await b.start_call("odd__work", {"text": "first"})
        second = await b.start_call("odd__work", {"text": "second"})
        assert json.loads(text_of(await b.answer_to(first))) == {"text": "second"}
        assert json.loads(text_of(await b.answer_to(second))) == {"text": "first"}


@pytest.mark.parametrize(
    "case", [one for one in cases("upstream") if one.expect != "ok"], ids=lambda one: f"{one.id}-{one.fault}"
)
async def test_g9_what_an_upstream_garbles_is_unknown(case: Case, tmp_path: Path) -> None:
    assert case.fault in UNKNOWN or case.fault in WAITING
    async with bench(tmp_path, faulty(case.fault, n=case.n), name="odd") as b:
        request = await b.start_call("odd__work")
        if case.fault in WAITING:
            await b.until(lambda: any(one.number for one in b.gateway._calls.open.values()))  # noqa: SLF001 -- sent
            await b.cancel(request)
        assert (await b.daemon.asked(Outcome)).outcome == "unknown"
