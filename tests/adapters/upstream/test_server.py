from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from taskbound.adapters.upstream.mcp.errors import (
    EraChangedError,
    ListRefusedError,
    ServerChangedError,
    StartFailedError,
)
from taskbound.adapters.upstream.mcp.probe import pin_server, probe, probe_command
from taskbound.adapters.upstream.mcp.server import StdioServer, StdioStarter, StepTimeouts
from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.ports.upstream import Answered, Errored, NoAnswer, NotSent
from taskbound.wire.tool import identity_of
from tests.adapters.upstream.reaching import Events
from tests.peers.commands import echo, faulty
from tests.peers.rawclient import Tap
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from taskbound.ports.upstream import UpstreamAnswer

pytestmark = pytest.mark.anyio
DEADLINE = 20.0
QUICK = StepTimeouts(start=10.0, discover=2.0, listing=5.0, stop=0.3)

FROM_THE_FUTURE = (
    Path(faulty("hangs")[1]).read_text(encoding="utf-8").replace('= "2025-11-25"', '= "2099-01-01"')
)
"""A server whose handshake names a revision that nobody knows."""


@contextlib.asynccontextmanager
async def started(
    tmp_path: Path, command: Sequence[str], *, era: str = "2025-11-25"
) -> AsyncIterator[tuple[StdioServer, Events]]:
    spec = pin_server("x", command, environment={}, directory=str(tmp_path))
    events = Events()
    server = await StdioStarter(patience=QUICK)(
        identity_of(spec, namespace="default"), era=era, events=events
    )
    try:
        yield server, events
    finally:
        await server.close()


async def answered(
    server: StdioServer, tool: str = "work", arguments: bytes = b"{}", *, key: str = ""
) -> UpstreamAnswer:
    found: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
    server.call(tool, arguments, found.set_result, key=key)
    return await asyncio.wait_for(found, DEADLINE)


def logged(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_bytes().splitlines() if line.strip()]


# --- what goes out ------------------------------------------------------------------------------------------


async def test_a_legacy_server_gets_the_handshake_and_exactly_the_arguments(tmp_path: Path) -> None:
    log = tmp_path / "log"
    raw = b'{"text":"\xc3\xa9","x":[1,2.5]}'
    async with started(tmp_path, echo(era="legacy", log=log)) as (server, _):
        found = await answered(server, "echo", raw)
    assert isinstance(found, Answered)
    first, second, third = (line for line in log.read_bytes().splitlines() if line)
    assert json.loads(first)["method"] == "initialize"
    assert json.loads(first)["params"]["protocolVersion"] == "2025-11-25"
    assert second == b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert (
        third
        == b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"arguments":%b,"name":"echo"}}' % raw
    )


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
async def test_an_idempotency_key_goes_with_its_own_call_and_no_other(tmp_path: Path, era: str) -> None:
    log = tmp_path / "log"
    command = echo(era="modern" if era == "2026-07-28" else "legacy", log=log)
    async with started(tmp_path, command, era=era) as (server, _):
        await answered(server, "echo", b'{"text":"a"}', key='k"1\u2028')
        await answered(server, "echo", b'{"text":"b"}')
    with_key, without = (one["params"] for one in logged(log) if one["method"] == "tools/call")
    assert isinstance(with_key, dict)
    assert isinstance(without, dict)
    meta = without.get("_meta", {})
    assert with_key["_meta"] == meta | {"io.taskbound/idempotency-key": 'k"1\u2028'}
    assert "io.taskbound/idempotency-key" not in meta


async def test_a_modern_server_gets_meta_of_our_own_with_each_request(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with started(tmp_path, echo(era="modern", log=log), era="2026-07-28") as (server, _):
        assert isinstance(await answered(server, "echo", b'{"text":"a"}'), Answered)
    discover, call = logged(log)
    assert discover["method"] == "server/discover"
    params = call["params"]
    assert isinstance(params, dict)
    assert params["arguments"] == {"text": "a"}
    assert set(params) == {"_meta", "arguments", "name"}
    assert set(params["_meta"]) == {
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/protocolVersion",
    }


async def test_a_cancel_names_the_call_and_a_forgotten_answer_is_dropped(tmp_path: Path) -> None:
    async with (
        Tap(tmp_path / "tap") as tap,
        started(tmp_path, faulty("answers-after-cancel", log=tap.path)) as (server, _),
    ):
        seen: list[UpstreamAnswer] = []
        number = server.call("work", b"{}", seen.append)
        await tap.wait_for(b"tools/call")
        server.forget(number)
        server.cancel(number, "no longer wanted")
        later = server.call("work", b"{}", seen.append)
        server.cancel(later, "too")
        line = await tap.wait_for(b"cancelled")
        assert json.loads(line)["params"] == {"reason": "too", "requestId": later}
        async with asyncio.timeout(DEADLINE):
            while not seen:
                await others()
        assert len(seen) == 1


# --- the list -----------------------------------------------------------------------------------------------


async def test_every_page_of_the_list_is_read(tmp_path: Path) -> None:
    async with started(tmp_path, faulty("pages", n=7)) as (server, _):
        names = [json.loads(raw)["name"] for raw in await server.list_tools()]
    assert names == ["work", "work1", "work2", "work3", "work4", "work5", "work6"]


async def test_a_tool_object_is_cut_out_exactly_as_it_was_written(tmp_path: Path) -> None:
    odd = b'{ "name":"a","inputSchema":{"type":"object","x":1.50,"y":"\\u0061"} , "_meta":{"b":1e2} }'
    (tmp_path / "tools.json").write_bytes(b"[" + odd + b"]")
    async with started(tmp_path, echo(era="legacy", tools=tmp_path / "tools.json")) as (server, _):
        assert await server.list_tools() == (odd,)


@pytest.mark.parametrize(("fault", "pages"), [("circling-pages", 2), ("endless-pages", 100)])
async def test_a164_a_list_without_end_is_refused_as_soon_as_that_is_clear(
    fault: str, pages: int, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with started(tmp_path, faulty(fault, log=log)) as (server, _):
        with pytest.raises(ListRefusedError):
            await server.list_tools()
    assert [line["method"] for line in logged(log)].count("tools/list") == pages


async def test_a_list_with_more_tools_than_can_be_pinned_is_refused(tmp_path: Path) -> None:
    many = [{"name": f"t{number}", "inputSchema": {"type": "object"}} for number in range(1001)]
    (tmp_path / "tools.json").write_text(json.dumps(many), encoding="utf-8")
    async with started(tmp_path, echo(era="legacy", tools=tmp_path / "tools.json")) as (server, _):
        with pytest.raises(ListRefusedError):
            await server.list_tools()


@pytest.mark.parametrize("fault", ["wrong-shape", "error-with-orders", "dies-before-answer", "nan"])
async def test_a_list_that_is_none_is_refused(fault: str, tmp_path: Path) -> None:
    async with started(tmp_path, faulty(fault, at="tools/list")) as (server, _):
        with pytest.raises(UnavailableError):
            await server.list_tools()


async def test_a164_a_storm_of_changes_is_counted_and_nothing_else(tmp_path: Path) -> None:
    async with started(tmp_path, faulty("list-changed-storm", n=5000)) as (server, events):
        assert isinstance(await answered(server), Answered)
        assert events.changes == 5000


# --- starting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "pinned"),
    [
        (echo(era="legacy"), "2026-07-28"),
        (echo(era="legacy"), "2024-11-05"),
        (echo(era="legacy"), "nonsense"),
    ],
)
async def test_a_server_of_another_era_than_its_pin_is_refused(
    command: list[str], pinned: str, tmp_path: Path
) -> None:
    with pytest.raises(EraChangedError):
        async with started(tmp_path, command, era=pinned):
            pytest.fail("it must not start")


async def test_a_modern_server_pinned_as_legacy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartFailedError):
        async with started(tmp_path, echo(era="modern"), era="2025-11-25"):
            pytest.fail("it must not start")


async def test_a_server_that_dies_at_the_start_says_its_status(tmp_path: Path) -> None:
    with pytest.raises(StartFailedError) as caught:
        async with started(tmp_path, faulty("dies-at-start")):
            pytest.fail("it must not start")
    assert "status 3" in caught.value.message


async def test_a_server_that_is_silent_at_the_start_is_given_up_and_ended(tmp_path: Path) -> None:
    spec = pin_server(
        "x", faulty("slow-start", gate=tmp_path / "gate"), environment={}, directory=str(tmp_path)
    )
    os.mkfifo(tmp_path / "gate")
    starter = StdioStarter(patience=StepTimeouts(start=0.3, stop=0.3))
    with pytest.raises(StartFailedError):
        await starter(identity_of(spec, namespace="default"), era="2025-11-25", events=Events())


@pytest.mark.parametrize("fault", ["rubbish-on-stdout", "rubbish-on-stderr"])
async def test_rubbish_that_claims_to_be_no_message_changes_nothing(fault: str, tmp_path: Path) -> None:
    async with started(tmp_path, faulty(fault)) as (server, _):
        assert isinstance(await answered(server), Answered)


# --- what comes back ----------------------------------------------------------------------------------------

GARBLED = [
    ("invalid-utf8", "not-utf8"),
    ("lone-surrogate", "lone-surrogate"),
    ("duplicate-key", "duplicate-key"),
    ("nan", "not-finite"),
    ("infinite", "not-finite"),
    ("result-and-error", "unknown-member"),
    ("wrong-shape", "garbage"),
    ("bare-cr", "bare-return"),
    ("deep", "too-deep"),
]
ENDING = [
    ("dies-before-answer", "status 3"),
    ("dies-in-half-a-line", "status 3"),
    ("dies-before-lf", "status 3"),
    ("closes-output", "closed its output"),
    ("two-in-one-line", "can't be read"),
    ("batch", "can't be read"),
    ("id-float", "can't be read"),
    ("id-bool", "can't be read"),
    ("id-null", "can't be read"),
    ("answer-as-request", "can't be read"),
    ("floods-line", "a line of more than"),
    ("floods-result", "a line of more than"),
    ("floods-notifications", "without being asked"),
]


@pytest.mark.parametrize(("fault", "code"), GARBLED)
async def test_a_garbled_answer_that_is_surely_its_own_makes_one_call_unknown(
    fault: str, code: str, tmp_path: Path
) -> None:
    async with started(tmp_path, faulty(fault)) as (server, _):
        found = await answered(server)
        assert isinstance(found, NoAnswer)
        assert found.code == code
        assert server.alive
        assert isinstance(await answered(server), NoAnswer)


@pytest.mark.parametrize(("fault", "words"), ENDING)
async def test_a_server_that_ends_or_can_not_be_believed_makes_every_open_call_unknown(
    fault: str, words: str, tmp_path: Path
) -> None:
    async with started(tmp_path, faulty(fault, after=0)) as (server, events):
        both = [asyncio.ensure_future(answered(server)) for _ in range(2)]
        for found in await asyncio.gather(*both):
            assert isinstance(found, NoAnswer)
            assert words in found.reason
        assert words in await asyncio.wait_for(events.end, DEADLINE)
        assert not server.alive
        assert isinstance(await answered(server), NotSent)


async def test_a_call_fails_by_itself_when_the_server_says_so(tmp_path: Path) -> None:
    async with started(tmp_path, faulty("error-with-orders")) as (server, _):
        found = await answered(server)
    assert isinstance(found, Errored)
    assert found.code == -32603
    assert json.loads(found.raw)["message"] == found.message


@pytest.mark.parametrize(
    "fault", ["drips", "crlf", "answers-in-reverse", "dies-after-answer", "answers-unasked-id"]
)
async def test_an_answer_that_is_only_odd_is_an_answer(fault: str, tmp_path: Path) -> None:
    async with started(tmp_path, faulty(fault)) as (server, _):
        both = [asyncio.ensure_future(answered(server, arguments=b'{"text":"%d"}' % n)) for n in range(2)]
        found = await asyncio.wait_for(asyncio.gather(*both), DEADLINE)
    assert isinstance(found[0], Answered)


async def test_only_the_first_of_two_answers_counts(tmp_path: Path) -> None:
    async with started(tmp_path, faulty("answers-twice")) as (server, _):
        found = [await answered(server) for _ in range(3)]
    texts = [json.loads(one.raw)["content"][0]["text"] for one in found if isinstance(one, Answered)]
    assert texts == ["first"] * 3


@pytest.mark.parametrize("fault", ["id-other-type", "answers-earlier-id"])
async def test_an_answer_under_another_id_is_nobodys(fault: str, tmp_path: Path) -> None:
    async with started(tmp_path, faulty(fault)) as (server, _):
        seen: list[UpstreamAnswer] = []
        number = server.call("work", b"{}", seen.append)
        names = await server.list_tools()
        assert len(names) == 1
        assert seen == []
        server.forget(number)


@pytest.mark.parametrize("fault", ["asks-sampling", "asks-elicitation", "asks-roots"])
async def test_a161_what_a_server_asks_of_the_client_is_refused_here(fault: str, tmp_path: Path) -> None:
    async with started(tmp_path, faulty(fault)) as (server, _):
        found = await answered(server)
    assert isinstance(found, Answered)
    assert "-32601" in found.raw.decode()


async def test_a_result_that_no_one_waits_for_any_more_is_dropped(tmp_path: Path) -> None:
    async with started(tmp_path, echo(era="legacy")) as (server, _):
        seen: list[UpstreamAnswer] = []
        server.forget(server.call("echo", b'{"text":"a"}', seen.append))
        assert isinstance(await answered(server, "echo", b'{"text":"b"}'), Answered)
        assert seen == []


async def test_a_large_result_is_passed_on_whole(tmp_path: Path) -> None:
    async with started(tmp_path, echo(era="legacy")) as (server, _):
        found = await answered(server, "big", b'{"n":8000000}')
    assert isinstance(found, Answered)
    assert len(found.raw) > 8_000_000


async def test_killing_a_server_answers_what_is_open(tmp_path: Path) -> None:
    async with started(tmp_path, faulty("hangs-and-ignores-eof")) as (server, events):
        call = asyncio.ensure_future(answered(server))
        await server.list_tools()
        server.kill("the task has ended")
        found = await call
    assert found == NoAnswer("server-lost", "the task has ended", "")
    assert events.end.result() == "the task has ended"


# --- looking at a server ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "era"),
    [
        (echo(era="legacy"), "2025-11-25"),
        (echo(era="modern"), "2026-07-28"),
        (echo(era="both"), "2026-07-28"),
        ([sys.executable, "-m", "mcp_server_git"], "2026-07-28"),
    ],
)
async def test_a_probe_finds_the_era_and_the_tools(command: list[str], era: str, tmp_path: Path) -> None:
    spec = pin_server("x", command, environment={}, directory=str(tmp_path))
    found = await probe(spec, patience=StepTimeouts(start=DEADLINE, discover=DEADLINE, stop=0.3))
    assert found.era == era
    assert len(found.definitions) >= 3


async def test_a_probe_never_sends_initialize_after_an_unanswered_discover_to_one_process(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    spec = pin_server(
        "x", faulty("hangs", at="server/discover", log=log), environment={}, directory=str(tmp_path)
    )
    found = await probe(spec, patience=StepTimeouts(discover=0.3, start=10.0, stop=0.3))
    assert found.era == "2025-11-25"
    methods = [line["method"] for line in logged(log)]
    assert methods == ["server/discover", "initialize", "notifications/initialized", "tools/list"]


async def test_a_probe_starts_a_server_anew_that_ends_at_discover(tmp_path: Path) -> None:
    spec = pin_server(
        "x", faulty("dies-before-answer", at="server/discover"), environment={}, directory=str(tmp_path)
    )
    assert (await probe(spec, patience=QUICK)).era == "2025-11-25"


async def test_a_server_that_answers_with_a_revision_nobody_knows_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(FROM_THE_FUTURE, encoding="utf-8")
    spec = pin_server(
        "x",
        [sys.executable, str(script), "--fault", "dies-before-answer", "--at", "server/discover"],
        environment={},
        directory=str(tmp_path),
    )
    with pytest.raises(StartFailedError, match="2099-01-01"):
        await probe(spec, patience=QUICK)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("dies-at-start", "start-failed"),
        ("endless-pages", "list-refused"),
        ("odd-names", "foreign-character"),
        ("same-name", "duplicate-tool"),
    ],
)
async def test_a_server_that_can_not_be_looked_at_is_refused(fault: str, code: str, tmp_path: Path) -> None:
    spec = pin_server("x", faulty(fault), environment={}, directory=str(tmp_path))
    with pytest.raises((MalformedError, UnavailableError)) as caught:
        await probe(spec, patience=QUICK)
    assert caught.value.code in {code, "bad-tool-name"}


async def test_a_probe_of_a_changed_server_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text("pass\n", encoding="utf-8")
    spec = pin_server("x", [sys.executable, str(script)], environment={}, directory=str(tmp_path))
    script.write_text("pass # evil\n", encoding="utf-8")
    with pytest.raises(ServerChangedError):
        await probe(spec, patience=QUICK)


def test_plain_code_gets_the_spec_with_the_era_that_was_seen(tmp_path: Path) -> None:
    spec, found = probe_command(name="x", command=echo(era="modern"), environment={}, directory=str(tmp_path))
    assert spec.era == found.era == "2026-07-28"
    assert spec == structs.replace(
        pin_server("x", echo(era="modern"), environment={}, directory=str(tmp_path)), era=found.era
    )
