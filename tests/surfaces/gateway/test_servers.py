from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from taskbound.surfaces.gateway import binding
from taskbound.surfaces.gateway import server as changes
from taskbound.wire.action import Decide, Outcome, Refused
from taskbound.wire.connection import Bind, TaskPush
from taskbound.wire.tool import ReachTools, Seen, SeeTools
from tests.peers.commands import echo, faulty, speaking
from tests.peers.daemon import rows_of
from tests.surfaces.gateway.bench import bench, code_of, pinned, reached, silence, text_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_what_a_server_lists_is_shown_to_the_daemon_before_a_call_is_decided(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        await b.call("echo__echo", {"text": "a"})
        await b.call("echo__echo", {"text": "b"})
        kinds = [type(ask) for ask in b.daemon.asks if isinstance(ask, SeeTools | Decide)]
        seen = await b.daemon.asked(SeeTools)
    assert kinds == [SeeTools, Decide, Decide]
    assert seen.server == "echo"
    assert len(seen.definitions) == 3


async def test_a162_a_server_that_lists_something_else_now_is_looked_at_before_the_call(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, faulty("changes-tools"), name="odd") as b:
        refusal = Refused(action="a", task="tsk_1", code="tool-changed", instead="ask for it to be accepted")

        def see(_: SeeTools) -> Seen:
            b.daemon.on[Decide] = lambda _: refusal
            return Seen(differences=(("odd__work", "schema-changed", "it differs"),))

        b.daemon.on[SeeTools] = see
        assert code_of(await b.call("odd__work")) == "tool-changed"
        await b.notified("notifications/tools/list_changed")


async def test_a_server_that_says_that_its_tools_changed_is_looked_at_again_before_the_next_call(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, faulty("list-changed-storm", n=50), name="odd", era="2025-11-25") as b:
        await b.call("odd__work")
        await b.call("odd__work")
        looks = b.daemon.count(SeeTools)
        await b.call("odd__work")
    assert 1 <= looks <= 4
    assert b.daemon.count(SeeTools) == looks


async def test_a_server_that_does_not_start_gives_the_permit_back_and_keeps_its_last_words_from_the_client(
    tmp_path: Path,
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"name":"echo","inputSchema":{"type":"object"}}]', encoding="utf-8")
    async with bench(tmp_path, echo(era="legacy", tools=tools)) as b:
        tools.unlink()
        answer = await b.call("echo__echo", {"text": "a"})
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        assert code_of(answer) == "start-failed"
        assert "Traceback" not in text_of(answer)
        tools.write_text('[{"name":"echo","inputSchema":{"type":"object"}}]', encoding="utf-8")
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"


async def test_a_server_is_started_once_for_many_calls_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log), handshake=False) as b:
        log.unlink()
        await b.handshake()
        ids = [await b.start_call("echo__echo", {"text": "a"}) for _ in range(10)]
        for request in ids:
            await b.answer_to(request)
        assert b.daemon.count(Bind) == b.daemon.count(SeeTools) == 1
        assert b.daemon.count(ReachTools) == 2  # once for the handshake
    assert sum(b'"initialize"' in line for line in log.read_bytes().splitlines()) == 1


async def test_a_server_that_died_is_started_anew_for_the_next_call(tmp_path: Path) -> None:
    async with bench(tmp_path, faulty("dies-after-answer"), name="odd") as b:
        for _ in range(3):
            assert code_of(await b.call("odd__work")) == "ok"
            await b.until(lambda: not b.running("odd").ready)
        assert b.daemon.count(SeeTools) == 3


async def test_two_servers_are_told_apart_by_the_first_part_of_the_name(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy", log=tmp_path / "a"), handshake=False) as b:
        spec, definitions = await pinned("other", echo(era="modern", log=tmp_path / "b"), tmp_path)
        b.daemon.servers.append(spec)
        b.daemon.tools += rows_of(spec, definitions)
        await b.handshake()
        assert text_of(await b.call("echo__echo", {"text": "1"})) == "1"
        assert text_of(await b.call("other__echo", {"text": "2"})) == "2"
    assert [one["params"]["arguments"]["text"] for one in reached(tmp_path / "a")] == ["1"]
    assert [one["params"]["arguments"]["text"] for one in reached(tmp_path / "b")] == ["2"]


async def test_a_server_that_ends_with_its_client_is_no_news_and_one_that_ends_by_itself_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]

    async with bench(tmp_path, echo(era="legacy")) as b:
        await b.call("echo__echo", {"text": "a"})
    assert warnings() == []
    async with bench(tmp_path, faulty("dies-before-answer"), name="odd") as b:
        await b.call("odd__work")
    assert any("server odd ended" in one for one in warnings())


BURNS = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    info = {"name": "burns", "version": "1"}
    result = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info},
        "tools/list": {"tools": [{"name": "work", "inputSchema": {"type": "object"}}]},
    }.get(asked["method"])
    while asked["method"] == "tools/call":
        pass
    if "id" in asked:
        body = {"result": result} if result else {"error": {"code": -32601, "message": "none"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **body}), flush=True)
"""


async def test_a_call_in_which_the_server_goes_past_a_limit_is_unknown_and_says_which(tmp_path: Path) -> None:
    script = tmp_path / "burns.py"
    script.write_text(BURNS, encoding="utf-8")
    async with bench(tmp_path, [sys.executable, str(script)], name="odd", handshake=False) as b:
        b.daemon.servers[0] = structs.replace(b.daemon.servers[0], limits=(("cpu", 1),))
        await b.handshake()
        answer = await b.call("odd__work")
        assert "it went past its limit cpu=1" in text_of(answer)
        assert [one.outcome for one in b.daemon.asks if isinstance(one, Outcome)] == ["unknown"]


async def test_a_server_is_not_started_again_by_what_it_said_before_its_task_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_REST", 0.01)
    async with bench(tmp_path, speaking(log=tmp_path / "log"), name="odd") as b:
        await b.call("odd__work")
        server, starts = b.running("odd"), (tmp_path / "log").read_bytes().count(b'"initialize"')
        with b.daemon.holding(SeeTools) as held:
            server.tools_changed()
            one = await held.next()
            await b.until(lambda: not b.gateway._changes._resting)  # noqa: SLF001 -- nobody is told of it
            b.daemon.push(TaskPush(task="tsk_1", state="revoked"))
            await b.until(lambda: not b.gateway._standing.task)  # noqa: SLF001 -- the same
            await silence(b)  # it waits for the look to be over, to be ended
            server.tools_changed()
            await silence(b)
        one.answer(b.daemon.answer(one.ask))
        await b.until(lambda: server.upstream is None)
        async with server.turn:  # after who waited for it before
            assert server.upstream is None
        assert (tmp_path / "log").read_bytes().count(b'"initialize"') == starts


async def test_no_call_is_asked_about_while_nobody_knows_yet_what_its_server_lists_now(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, speaking(log=tmp_path / "log"), name="odd") as b:
        await b.call("odd__work")
        server = b.running("odd")
        with b.daemon.holding(SeeTools) as held:
            server.tools_changed()
            one = await held.next()
            request = await b.start_call("odd__work")
            await silence(b)
            assert len([ask for ask in b.daemon.asks if isinstance(ask, Decide)]) == 1
        one.answer(b.daemon.answer(one.ask))
        assert text_of(await b.answer_to(request)) == text_of(await b.call("odd__work"))


async def test_a_server_that_is_looked_at_without_end_ends_with_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "_TURN", 0.05)
    async with bench(tmp_path, speaking(log=tmp_path / "log"), name="odd") as b:
        await b.call("odd__work")
        server = b.running("odd")
        with b.daemon.holding(SeeTools) as held:
            server.tools_changed()
            one = await held.next()
            b.daemon.push(TaskPush(task="tsk_1", state="revoked"))
            await b.until(lambda: server.upstream is not None and not server.upstream.alive)
            one.answer(b.daemon.answer(one.ask))
