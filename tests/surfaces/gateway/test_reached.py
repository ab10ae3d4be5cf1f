"""Servers behind a URL, through the gateway: what reaches them, and what of a call is recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskbound.wire.action import Outcome
from tests.conformance.places import everything
from tests.peers.rawhttp import Asked, RawHttp, Say, dump, result_of
from tests.surfaces.gateway.bench import Bench, bench, code_of, text_of
from tests.surfaces.gateway.real import real

pytestmark = pytest.mark.anyio


def outcomes(b: Bench) -> list[str]:
    return [ask.outcome for ask in b.daemon.asks if isinstance(ask, Outcome)]


@pytest.mark.parametrize("modern", [False, True])
async def test_nothing_of_a_client_but_the_decided_arguments_reaches_the_server(
    tmp_path: Path, *, modern: bool
) -> None:
    async with (
        RawHttp(era="modern" if modern else "legacy") as there,
        bench(tmp_path, [there.url], name="far") as b,
    ):
        meta = {
            "authorization": "Bearer of-the-agent",
            "traceparent": "00-of-the-agent",
            "progressToken": "of",
        }
        params = {"name": "far__work", "arguments": {"b": 1.0, "a": "é"}, "_meta": meta}
        assert text_of(await b.request("tools/call", params, modern=modern)) == "done"
        assert b'"arguments":{"a":"\xc3\xa9","b":1}' in there.heard("tools/call")[0].body
        for one in there.asked:
            assert b"of-the-agent" not in one.head + one.body
            assert b'"progressToken":"of"' not in one.body
            assert one.header("authorization") is None
        assert outcomes(b) == ["succeeded"]


async def test_a_server_that_is_gone_by_the_time_of_the_call_was_sent_nothing_and_the_permit_is_given_back(
    tmp_path: Path,
) -> None:
    async with RawHttp() as there, bench(tmp_path, [there.url], name="far") as b:
        assert text_of(await b.call("far__work")) == "done"
        await there.__aexit__()
        answer = await b.call("far__work")
        assert code_of(answer) == "not-reached"
        assert "nothing was sent" in text_of(answer)
        assert outcomes(b) == ["succeeded", "not-sent"]


async def test_an_answer_that_is_cut_off_is_unknown_and_the_call_is_never_sent_twice(tmp_path: Path) -> None:
    async def cut(asked: Asked, say: Say) -> bool:
        if asked.method == "tools/call":
            say.reset()
        return asked.method == "tools/call"

    async with RawHttp(does=cut) as there, bench(tmp_path, [there.url], name="far") as b:
        answer = await b.call("far__work")
        assert "what it did is unknown" in text_of(answer)
        assert outcomes(b) == ["unknown"]
        assert len(there.heard("tools/call")) == 1


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_call_that_its_client_cancels_leaves_no_exchange_open(era: str, tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def hang(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        await say.stream()
        await say.gone()
        gone.set()
        return True

    async with (
        RawHttp(era="modern" if era == "modern" else "legacy", does=hang) as there,
        bench(tmp_path, [there.url], name="far") as b,
    ):
        request = await b.start_call("far__work")
        await there.until(lambda: bool(there.heard("tools/call")))
        await b.cancel(request)
        await asyncio.wait_for(gone.wait(), 20)
        await b.until(lambda: outcomes(b) == ["unknown"])


async def test_a_server_that_changes_its_tools_behind_its_url_is_seen_before_the_next_call(
    tmp_path: Path,
) -> None:
    other = {"type": "object", "properties": {"to": {"type": "string"}}}

    async def changes(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call" or there.heard("tools/call")[1:]:
            return False
        there.tools = dump([{"name": "work", "inputSchema": other}])
        note = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
        await say.stream(note, result_of(asked.message))
        say.end()
        return True

    async with RawHttp(does=changes) as there, real(tmp_path, [there.url], name="far") as place:
        async with place.gateway() as client:
            assert text_of(await client.call("far__work")) == "done"
            assert code_of(await client.call("far__work")) == "tool-changed"
        assert len(there.heard("tools/call")) == 1


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_official_server_is_called_through_the_real_gateway(era: str, tmp_path: Path) -> None:
    with everything() as url:
        async with (
            real(tmp_path, [url], name="all") as place,
            place.gateway("modern" if era == "modern" else "legacy") as client,
        ):
            answer = await client.call("all__test_simple_text")
            assert text_of(answer).startswith("This is a simple text")
            failed = await client.call("all__test_error_handling")
            assert failed["result"]["isError"] is True
            assert [one.state for one in await place.settled(2)] == ["succeeded", "failed"]
