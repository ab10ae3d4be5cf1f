"""How often a tool runs, over which ways, and what is known of it after that: rules 2 and 6 of `calls`."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.server import Server as LowServer

from taskbound.core.token.shared import MAX_KEPT
from taskbound.sdk.verify.calls import Tools
from tests.sdk.verify.serving import (
    LEGACY,
    LIBRARIES,
    MODERN,
    PAID,
    RAN,
    Caller,
    Till,
    guard,
    listening,
    permit,
    server_of,
    serving,
    text,
    why,
    with_context,
)
from tests.sdk.verify.world import Places, full
from tests.wiring.running import until

ERA = pytest.mark.parametrize("era", [LEGACY[-1], MODERN])
LIBRARY = pytest.mark.parametrize("library", LIBRARIES)


@LIBRARY
@ERA
def test_an_error_of_the_tools_is_its_answer_and_it_is_not_tried_again(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    place, till = places(tmp_path), Till(RuntimeError("the bank is closed"))
    with serving(place, server_of(library, till.pay)) as caller:
        token = permit(place, PAID)
        first, again = caller(era).call(PAID, token), caller(era).call(PAID, token)
    assert first["isError"] is again["isError"] is True
    assert "Error" in text(first)
    assert text(again) == text(first)
    assert again["_meta"]["io.taskbound/answer"] == "recorded"
    assert till.runs == RAN


@LIBRARY
@ERA
def test_law_7_a_protocol_error_that_is_raised_leaves_what_nobody_knows(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    error = MCPError(code=-32021, message="a capability is missing", data={"requiredCapabilities": {}})
    place, till = places(tmp_path), Till(error)
    with serving(place, server_of(library, till.pay)) as caller:
        token = permit(place, PAID)
        assert caller(era).call(PAID, token)["error"]["code"] == -32021
        assert why(caller(era).call(PAID, token)) == ("outcome-not-known", "known-outcome")
    assert till.runs == RAN


class Hanging:
    """A tool that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.runs: list[int] = []

    async def pay(self, account: str, cents: int) -> str:
        self.runs.append(cents)
        self.began.set()
        try:
            await asyncio.to_thread(self.go.wait, 20)
        finally:
            self.ended.set()
        return f"paid {account}"


@LIBRARY
@ERA
def test_law_7_a_call_that_is_cancelled_leaves_what_nobody_knows(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    place, tool = places(tmp_path), Hanging()
    with serving(place, server_of(library, tool.pay)) as caller:
        token = permit(place, PAID)
        asked, other = caller(era), caller(era)
        connection = asked.begin(*asked.calling(PAID, token, number=7_000_001))
        assert tool.began.wait(20)
        assert why(other.call(PAID, token)) == ("still-at-it", "patience")
        if era != MODERN:  # in the newer era a client that has gone has cancelled
            told = {"requestId": 7_000_001, "reason": "enough"}
            asked.post({"method": "notifications/cancelled", "params": told})
        connection.close()
        until(lambda: why(other.call(PAID, token))[0] == "outcome-not-known", "it is cancelled")
        tool.go.set()
        assert tool.ended.wait(20)
        assert why(other.call(PAID, token)) == ("outcome-not-known", "known-outcome")
    assert tool.runs == [300]


@LIBRARY
@ERA
def test_of_calls_that_come_at_once_one_runs(tmp_path: Path, places: Places, library: str, era: str) -> None:
    place, tool = places(tmp_path), Hanging()
    with serving(place, server_of(library, tool.pay)) as caller:
        token = permit(place, PAID)
        callers = [caller(era) for _ in range(6)]
        ready, told = threading.Barrier(6), list[Any]()

        def ask(one: Caller) -> None:
            ready.wait()
            told.append(one.call(PAID, token))

        threads = [threading.Thread(target=ask, args=(one,)) for one in callers]
        for one in threads:
            one.start()
        until(lambda: len(told) == 5, "all but one are refused")
        tool.go.set()
        for one in threads:
            one.join()
    assert {why(one) for one in told[:5]} == {("still-at-it", "patience")}
    assert text(told[5]) == "paid 7"
    assert tool.runs == [300]


@LIBRARY
def test_of_an_answer_that_is_too_long_to_keep_a_repeat_is_told_the_digest(
    tmp_path: Path, places: Places, library: str
) -> None:
    def pay(account: str, cents: int) -> str:
        return account * cents * MAX_KEPT

    place, asked = places(tmp_path), {"account": "7", "cents": 1}
    with serving(place, server_of(library, pay)) as caller:
        token = permit(place, asked)
        assert len(text(caller(MODERN).call(asked, token))) == MAX_KEPT
        assert why(caller(MODERN).call(asked, token)) == ("outcome-not-known", "known-outcome")


@LIBRARY
@ERA
def test_an_answer_that_can_not_be_kept_is_told_and_says_so(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    place, held = places(tmp_path), list[Any]()

    async def work(_: object) -> str:
        held.append(full(place))
        held[-1].__enter__()
        return "paid"

    with serving(place, server_of(library, with_context(library, work))) as caller:
        token = permit(place, PAID)
        told = caller(era).call(PAID, token)
        assert (text(told), told["_meta"]["io.taskbound/answer"]) == ("paid 300 to 7", "not-kept")
        held[0].__exit__(None, None, None)
        assert why(caller(era).call(PAID, token)) == ("outcome-not-known", "known-outcome")
    assert len(held) == 1


@ERA
def test_an_answer_that_no_json_has_is_told_as_the_library_tells_it_and_not_kept(
    tmp_path: Path, places: Places, era: str
) -> None:
    async def call(*_: object) -> Any:
        return {"content": [], "structuredContent": {"rate": float("nan")}}

    place = places(tmp_path)
    with serving(place, LowServer[Any]("bank", on_call_tool=call)) as caller:
        token = permit(place, PAID)
        assert caller(era).call(PAID, token)["_meta"]["io.taskbound/answer"] == "not-kept"
        assert why(caller(era).call(PAID, token)) == ("outcome-not-known", "known-outcome")


@LIBRARY
@ERA
def test_where_no_claim_can_be_written_nothing_runs(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    place, till = places(tmp_path), Till()
    with serving(place, server_of(library, till.pay)) as caller, full(place):
        assert why(caller(era).call(PAID, permit(place, PAID))) == ("claims-unavailable", "unused-token")
    assert till.runs == []


@LIBRARY
@ERA
def test_progress_passes_while_a_tool_runs_and_is_not_told_again(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    async def work(ctx: Any) -> str:
        await ctx.report_progress(1, 2)
        return "paid"

    place, told = places(tmp_path), {"progressToken": "p"}
    with serving(place, server_of(library, with_context(library, work))) as caller:
        one, token = caller(era), permit(place, PAID)
        assert text(one.call(PAID, token, _meta=told)) == "paid 300 to 7"
        assert [each.get("method") for each in one.heard] == ["notifications/progress", None]
        one.heard = []
        assert text(one.call(PAID, token, _meta=told)) == "paid 300 to 7"
        assert [each["method"] for each in one.heard if "method" in each] == []


@LIBRARY
@ERA
def test_a_token_is_of_one_call_and_not_of_its_session(
    tmp_path: Path, places: Places, library: str, era: str
) -> None:
    place, till = places(tmp_path), Till()
    with serving(place, server_of(library, till.pay)) as caller:
        one, token = caller(era), permit(place, PAID)
        assert text(one.call(PAID, token)) == "paid"
        assert why(one.call(PAID)) == ("txn-token-absent", "txn-token")
        assert why(one.call({**PAID, "cents": 1}, token))[0] == "other-action"
    assert till.runs == RAN


@LIBRARY
@pytest.mark.parametrize("era", [LEGACY[1], MODERN])
def test_a_batch_runs_nothing(tmp_path: Path, places: Places, library: str, era: str) -> None:
    place, till = places(tmp_path), Till()
    with serving(place, server_of(library, till.pay)) as caller:
        one = caller(era)
        messages, head = zip(*(one.calling(PAID, permit(place, PAID)) for _ in range(2)), strict=True)
        status, _, _ = one.post([{"jsonrpc": "2.0", **each} for each in messages], head[0])
    assert status == 400
    assert till.runs == []


@LIBRARY
def test_over_the_oldest_transport_the_token_is_in_the_head_of_the_call_too(
    tmp_path: Path, places: Places, library: str
) -> None:
    place, till = places(tmp_path), Till()
    server = server_of(library, till.pay)
    guard(server, place.verifier, Tools({"pay": "bank__pay"}))
    app = server.sse_app() if library == "mcp" else server.http_app(transport="sse")
    with listening(app) as port, streaming(port) as (post, heard):
        told = {"protocolVersion": LEGACY[0], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        post({"method": "initialize", "params": told, "id": 1}, ())
        assert heard()["id"] == 1
        post({"method": "notifications/initialized"}, ())
        call = {"method": "tools/call", "params": {"name": "pay", "arguments": PAID}}
        post({**call, "id": 2}, ())
        assert why(heard()["result"])[0] == "txn-token-absent"
        token = permit(place, PAID)
        for number in (3, 4):
            post({**call, "id": number}, (("Txn-Token", token),))
            answer = heard()
            assert (answer["id"], text(answer["result"])) == (number, "paid")
    assert till.runs == RAN


@contextmanager
def streaming(port: int) -> Generator[tuple[Callable[..., None], Callable[[], Any]]]:
    """A client of HTTP with server-sent events: what posts a message, and what is heard next."""
    stream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    stream.request("GET", "/sse", headers={"Accept": "text/event-stream"})
    answer = stream.getresponse()

    def data() -> str:
        while line := answer.readline().decode():
            if line.startswith("data: "):
                return line[6:].strip()
        raise EOFError

    address = data()

    def post(message: dict[str, Any], head: tuple[tuple[str, str], ...]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message})
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        one.request("POST", address, body, {"Content-Type": "application/json", **dict(head)})
        assert one.getresponse().status == 202
        one.close()

    try:
        yield post, lambda: json.loads(data())
    finally:
        answer.close()
        stream.close()


@LIBRARY
def test_a_call_without_a_head_is_refused_whatever_it_has_in_its_message(
    tmp_path: Path, places: Places, library: str
) -> None:
    place, till = places(tmp_path), Till()
    server = server_of(library, till.pay)
    guard(server, place.verifier, Tools({"pay": "bank__pay"}))
    low = server._lowlevel_server if library == "mcp" else server._mcp_server  # noqa: SLF001 - as pipes have it

    async def ask() -> Any:
        token: Any = {"txn-token": permit(place, PAID), "Txn-Token": permit(place, PAID)}
        async with Client(low) as client:
            return await client.call_tool("pay", PAID, meta=token)

    told = asyncio.run(ask())
    assert (told.is_error, told.meta["io.taskbound/refused"]["code"]) == (True, "no-head")
    assert till.runs == []
