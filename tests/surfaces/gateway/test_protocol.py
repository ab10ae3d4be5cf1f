from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound import __version__
from taskbound.wire.action import Decide, Malformed
from taskbound.wire.mcp.task import TASKS_EXTENSION, TASKS_OF_SERVERS
from taskbound.wire.tool import ReachTools, ToolRows
from tests.peers.commands import echo
from tests.surfaces.gateway.bench import META, bench, code_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


# --- the handshake ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("1999-01-01", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("", "2025-11-25"),
    ],
)
async def test_a_legacy_client_gets_its_revision_or_the_newest_legacy_one(
    asked: str, answered: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        result = (await b.handshake(asked))["result"]
    assert result["protocolVersion"] == answered
    tasks = {"tasks": TASKS_OF_SERVERS} if answered == "2025-11-25" else {}
    assert result["capabilities"] == {"tools": {"listChanged": True}, **tasks}
    assert result["serverInfo"] == {"name": "taskbound", "version": __version__}
    assert "task" in result["instructions"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": "2025-11-25"},
        {"protocolVersion": 1, "capabilities": {}, "clientInfo": {"name": "x"}},
        {"protocolVersion": "2025-11-25", "capabilities": [], "clientInfo": {"name": "x"}},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": "x"},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}},
    ],
)
async def test_a_handshake_that_is_none_is_refused_and_can_be_tried_again(
    params: dict[str, Any], tmp_path: Path
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        answer = await b.request("initialize", params)
        assert (answer["error"]["code"], code_of(answer)) == (-32602, "bad-params")
        assert "result" in await b.handshake()


async def test_a_second_handshake_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert code_of(await b.handshake()) == "already-initialized"


@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
async def test_a_legacy_request_before_the_handshake_is_refused(method: str, tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        answer = await b.request(method, {"name": "echo__echo"})
        assert (answer["error"]["code"], code_of(answer)) == (-32600, "not-initialized")
        assert b.daemon.count(Decide) == b.daemon.count(ReachTools) == 0
        if method == "tools/call":
            assert (await b.daemon.asked(Malformed)).code == "not-initialized"


async def test_a_ping_is_answered_before_and_after_the_handshake_and_is_no_modern_method(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        assert (await b.request("ping"))["result"] == {}
        await b.handshake()
        assert (await b.request("ping", {}))["result"] == {}
        answer = await b.request("ping", modern=True)
        assert (answer["error"]["code"], code_of(answer)) == (-32601, "unknown-method")


# --- the modern era -----------------------------------------------------------------------------------------


async def test_discover_says_what_is_spoken_here_and_is_for_this_client_alone(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        result = (await b.request("server/discover", modern=True))["result"]
    assert result["supportedVersions"] == [
        "2026-07-28",
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05",
    ]
    assert result["capabilities"] == {"extensions": {TASKS_EXTENSION: {}}, "tools": {"listChanged": True}}
    assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "taskbound"


@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call", "subscriptions/listen"])
@pytest.mark.parametrize("version", ["2025-11-25", "2027-01-01", "nonsense\u202e"])
async def test_a_modern_request_of_another_revision_is_told_which_are_spoken(
    method: str, version: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        params = {"_meta": {**META, VERSION: version}, "name": "echo__echo"}
        error = (await b.request(method, params))["error"]
    assert error["code"] == -32022
    assert "2026-07-28" in error["data"]["supported"]
    assert error["data"]["requested"].isprintable()


@pytest.mark.parametrize(
    "meta",
    [
        None,
        [],
        "x",
        {VERSION: 5, CAPABILITIES: {}},
        {VERSION: None, CAPABILITIES: {}},
        {VERSION: "2026-07-28"},
        {VERSION: "2026-07-28", CAPABILITIES: None},
        {VERSION: "2026-07-28", CAPABILITIES: []},
    ],
)
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call"])
async def test_a_modern_request_without_what_it_needs_is_refused(
    method: str, meta: object, tmp_path: Path
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        answer = await b.request(method, {"_meta": meta, "name": "echo__echo"})
        assert (answer["error"]["code"], code_of(answer)) == (-32602, "bad-params")
        assert b.daemon.count(Decide) == 0


async def test_discover_and_listen_without_the_modern_meta_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert code_of(await b.request("server/discover")) == "bad-params"
        assert code_of(await b.request("subscriptions/listen", {"notifications": {}})) == "unknown-method"


async def test_one_connection_may_speak_both_eras(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy"), handshake=False) as b:
        assert text_of(await b.call("echo__echo", {"text": "a"}, modern=True)) == "a"
        await b.handshake()
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
        assert text_of(await b.call("echo__echo", {"text": "c"}, modern=True)) == "c"


async def test_a_client_that_is_refused_one_revision_may_fall_back_to_the_handshake(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        await b.request("server/discover", {"_meta": {**META, VERSION: "2030-01-01"}})
        assert (await b.handshake())["result"]["protocolVersion"] == "2025-11-25"


# --- tools/list ---------------------------------------------------------------------------------------------


async def test_the_list_holds_the_pinned_definitions_under_their_full_names_in_order(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        legacy = (await b.request("tools/list"))["result"]
        modern = (await b.request("tools/list", modern=True))["result"]
    assert [one["name"] for one in legacy["tools"]] == [
        "echo__big",
        "echo__echo",
        "echo__sleep_until_cancelled",
    ]
    assert legacy["tools"] == [one | {"execution": {"taskSupport": "optional"}} for one in modern["tools"]]
    assert set(legacy) == {"tools"}
    assert (modern["cacheScope"], modern["ttlMs"], modern["resultType"]) == ("private", 0, "complete")
    described = {one["name"]: one["description"] for one in legacy["tools"]}
    assert described["echo__echo"] == "Answers with the text that it was given."


@pytest.mark.parametrize("cursor", ["", "x", None, 5])
async def test_a164_a_cursor_that_was_never_given_out_is_refused(cursor: object, tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert code_of(await b.request("tools/list", {"cursor": cursor})) == "bad-params"


async def test_an_empty_list_says_why(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        b.daemon.on[ReachTools] = lambda _: ToolRows(rows=(), refusal="no task runs for agent `coder`")
        await b.handshake()
        result = (await b.request("tools/list"))["result"]
    assert result["tools"] == []
    assert result["_meta"]["io.taskbound/decision"] == {
        "code": "no-tools",
        "reason": "no task runs for agent `coder`",
    }


# --- news ---------------------------------------------------------------------------------------------------


async def test_a_modern_client_that_listens_is_told_of_changes_under_its_own_stream(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        request = await b.start(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True
        )
        acknowledged = await b.notified("notifications/subscriptions/acknowledged")
        assert acknowledged["params"]["notifications"] == {"toolsListChanged": True}
        b.gateway._listing.changed()  # noqa: SLF001 -- what a push does
        told = await b.notified("notifications/tools/list_changed")
        for one in (acknowledged, told):
            assert one["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == request
        await b.cancel(request)
        b.gateway._listing.changed()  # noqa: SLF001 -- what a push does
        assert (await b.request("ping"))["result"] == {}
        assert (await b.finish()) == []


async def test_a_modern_client_is_told_nothing_that_it_did_not_ask_for(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        wanted = {"promptsListChanged": True, "resourceSubscriptions": ["file:///etc/passwd"]}
        await b.start("subscriptions/listen", {"notifications": wanted}, modern=True)
        acknowledged = await b.notified("notifications/subscriptions/acknowledged")
        assert acknowledged["params"]["notifications"] == {}
        b.gateway._listing.changed()  # noqa: SLF001 -- what a push does
        assert (await b.request("ping"))["result"] == {}
        assert await b.finish() == []


async def test_streams_are_bounded_and_a_filter_that_is_none_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        assert (
            code_of(await b.request("subscriptions/listen", {"notifications": []}, modern=True))
            == "bad-params"
        )
        for _ in range(8):
            await b.start("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True)
            await b.notified("notifications/subscriptions/acknowledged")
        answer = await b.request(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True
        )
        assert code_of(answer) == "busy"


async def test_many_changes_at_once_are_told_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.request("ping")
        for _ in range(100):
            b.gateway._listing.changed()  # noqa: SLF001 -- what a push does
        await b.notified("notifications/tools/list_changed")
        assert await b.finish() == []


async def test_a_client_that_is_not_initialized_is_told_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        await b.notify("notifications/initialized")
        b.gateway._listing.changed()  # noqa: SLF001 -- what a push does
        assert (await b.request("ping"))["result"] == {}
        assert await b.finish() == []


# --- all else -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    ["resources/list", "prompts/list", "logging/setLevel", "sampling/createMessage", "x", ""],
)
async def test_a_method_that_is_not_offered_is_refused_in_both_eras(method: str, tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for modern in (False, True):
            answer = await b.request(method, {}, modern=modern)
            assert (answer["error"]["code"], code_of(answer)) == (-32601, "unknown-method")
        assert b.daemon.count(Malformed) == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}',
        b'{"jsonrpc":"2.0","method":"notifications/made/up"}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"no"}}',
        b"",
        b"\r",
    ],
)
async def test_what_asks_for_nothing_is_dropped(line: bytes, tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.send(line + b"\n")
        assert (await b.request("ping"))["result"] == {}
        assert await b.finish() == []
        assert b.daemon.count(Malformed) == 0


async def test_an_error_names_itself_and_says_what_to_do(tmp_path: Path) -> None:
    async with bench(tmp_path, handshake=False) as b:
        await b.send(b'{"jsonrpc":"2.0","id":3,"method":"ping","id":3}\n')
        error = json.loads(await b.read_line())["error"]
    assert error["code"] == -32700
    assert error["data"]["code"] == "duplicate-key"
    assert error["data"]["advice"]


async def test_a_flood_of_rubbish_is_recorded_one_by_one_and_no_faster_than_the_log_takes_it(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, handshake=False) as b:
        with b.daemon.holding(Malformed) as held:
            await b.send(b"{rubbish}\n" * 32)
            waiting = [await held.next() for _ in range(32)]
            await b.until(lambda: not b.gateway.pipes._reader.is_reading())  # type: ignore[union-attr]  # noqa: SLF001 -- that it does not read on is the point
            for one in waiting:
                one.answer(b.daemon.answer(one.ask))
        assert (await b.request("ping"))["result"] == {}
        assert b.daemon.count(Malformed) == 32
