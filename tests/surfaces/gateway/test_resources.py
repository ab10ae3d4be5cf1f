"""Requests beside `tools/call`, each with the scripted daemon: what is sent, and how each end is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskbound.wire.action import Decide, Malformed, Outcome
from taskbound.wire.tool import SeeTools
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.shelves import URI, Shelves, covering, listing, refusing

pytestmark = pytest.mark.anyio
NOTHING = {"name": "", "value": ""}
PARAMS: dict[str, dict[str, Any]] = {
    "resources/read": {"uri": URI},
    "prompts/get": {"name": "one__a"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "one__a"}, "argument": NOTHING},
}


# --- what is decided and sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize(
    ("method", "params", "decided", "result"),
    [
        ("resources/read", {"uri": URI}, {"uri": URI}, "contents"),
        (
            "prompts/get",
            {"name": "one__review", "arguments": {"b": "2", "a": "1"}},
            {"arguments": {"a": "1", "b": "2"}, "name": "review"},
            "messages",
        ),
        ("prompts/get", {"name": "one__review"}, {"name": "review"}, "messages"),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "one__review"},
                "argument": {"name": "a", "value": "x"},
                "context": {"arguments": {"b": "2"}},
            },
            {
                "argument": {"name": "a", "value": "x"},
                "context": {"arguments": {"b": "2"}},
                "ref": {"name": "review", "type": "ref/prompt"},
            },
            "completion",
        ),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "file:///{p}"}, "argument": {"name": "p", "value": ""}},
            {
                "argument": {"name": "p", "value": ""},
                "ref": {"type": "ref/resource", "uri": "file:///{p}"},
            },
            "completion",
        ),
    ],
)
async def test_what_is_decided_is_what_is_sent_and_nothing_else(  # noqa: PLR0913 -- a table
    shelves: Shelves,
    era: str,
    method: str,
    params: dict[str, Any],
    decided: dict[str, Any],
    result: str,
    *,
    modern: bool,
) -> None:
    async with shelves.serve("one", era=era) as b:
        answer = await b.request(method, params, modern=modern)
        assert result in answer["result"], answer
        ask = await b.daemon.asked(Decide)
        assert (ask.tool, json.loads(bytes(ask.arguments))) == (f"one__{method}", decided)
        (sent,) = shelves.sent("one", method)
        assert {key: value for key, value in sent.items() if key != "_meta"} == decided
        assert set(sent.get("_meta", {})) <= {
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientCapabilities",
            "io.modelcontextprotocol/clientInfo",
        }
        outcome = await b.daemon.asked(Outcome)
        assert (outcome.action, outcome.outcome) == ("act_1", "succeeded")


async def test_the_bytes_of_a_result_are_the_server_s(shelves: Shelves) -> None:
    odd = {"contents": [{"uri": URI, "text": "\u00e9 1.50", "size": 1.50, "_meta": {"x": [1e2]}}], "more": 1}
    shelves.script("one", answers={"resources/read": odd})
    async with shelves.serve("one") as b:
        await b.request("resources/read", {"uri": URI})
        raw = json.dumps(odd).encode()
        assert b'"result":%b}' % raw in b.lines[-1]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_modern_client_is_told_that_what_it_reads_is_its_own(shelves: Shelves, era: str) -> None:
    shelves.script("one", answers={"resources/read": {"contents": [], "cacheScope": "public", "ttlMs": 5}})
    async with shelves.serve("one", era=era, handshake=False) as b:
        found = (await b.request("resources/read", {"uri": URI}, modern=True))["result"]
    assert (found["cacheScope"], found["ttlMs"], found["resultType"]) == ("private", 5, "complete")


async def test_what_a_server_can_do_is_told_to_the_daemon_with_its_tools(shelves: Shelves) -> None:
    shelves.script("one")
    async with shelves.serve("one") as b:
        shelves.script("one", capabilities={"tools": {}, "prompts": {}})
        await b.request("resources/read", {"uri": URI})
        assert (await b.daemon.asked(SeeTools)).methods == ("prompts/get",)


# --- what can't be asked for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("resources/read", {}, "bad-params"),
        ("resources/read", {"uri": ""}, "bad-params"),
        ("resources/read", {"uri": 5}, "bad-params"),
        ("resources/read", {"uri": "x" * 8193}, "bad-params"),
        ("resources/read", {"uri": URI, "inputResponses": {}}, "bad-params"),
        ("resources/read", {"uri": URI, "name": "x"}, "bad-params"),
        ("prompts/get", {"name": "review"}, "bad-params"),
        ("prompts/get", {"name": "One__review"}, "bad-server-name"),
        ("prompts/get", {"name": "one__revi\u0435w"}, "foreign-character"),
        ("prompts/get", {"name": "one__a/b"}, "bad-tool-name"),
        ("prompts/get", {"name": "one__review", "arguments": {"a": 1}}, "bad-params"),
        ("prompts/get", {"name": "one__review", "arguments": []}, "bad-params"),
        (
            "completion/complete",
            {"ref": {"type": "ref/tool"}, "argument": NOTHING},
            "bad-params",
        ),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "one__x"}}, "bad-params"),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "one__x", "uri": URI},
                "argument": {"name": "", "value": ""},
            },
            "bad-params",
        ),
        ("tools/call", {"name": "one__resources/read", "arguments": {"uri": URI}}, "not-a-tool"),
    ],
)
async def test_what_is_not_the_method_s_is_refused_and_recorded_once(
    shelves: Shelves, method: str, params: dict[str, Any], code: str
) -> None:
    async with shelves.serve("one") as b:
        answer = await b.request(method, params)
        assert (answer["error"]["code"], code_of(answer)) == (-32602, code)
        assert (await b.daemon.asked(Malformed)).code == code
        assert b.daemon.count(Decide) == 0
        assert shelves.sent("one", method) == []


async def test_a_method_is_no_tool_that_is_listed(shelves: Shelves) -> None:
    async with shelves.serve("one") as b:
        assert (await b.request("tools/list"))["result"]["tools"] == []


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize("refusal", ["outside-scope", "unknown-tool", "forbidden"])
async def test_unknown_and_not_permitted_get_one_answer(
    shelves: Shelves, refusal: str, *, modern: bool
) -> None:
    code = -32602 if modern else -32002
    answers = []
    for server_says in (-32002, -32602):
        shelves.script("one", errors={"resources/read": {"code": server_says, "message": "gone", "data": 1}})
        async with shelves.serve("one") as b:
            unknown = await b.request("resources/read", {"uri": URI}, modern=modern)
            assert (await b.daemon.asked(Outcome)).outcome == "failed"
            refusing(b.daemon, refusal)
            answers += [unknown, await b.request("resources/read", {"uri": URI}, modern=modern)]
    assert {json.dumps(one["error"]) for one in answers} == {json.dumps(answers[0]["error"])}
    assert answers[0]["error"]["code"] == code
    assert answers[0]["error"]["data"]["uri"] == URI


async def test_what_else_is_in_the_way_is_told_by_name(shelves: Shelves) -> None:
    async with shelves.serve("one") as b:
        refusing(b.daemon, "exhausted")
        error = (await b.request("resources/read", {"uri": URI}))["error"]
    assert error["data"]["code"] == "exhausted"
    assert "because of exhausted" in error["message"]


async def test_a_prompt_that_is_not_there_is_said_to_be_so_by_its_full_name(shelves: Shelves) -> None:
    async with shelves.serve("one") as b:
        refusing(b.daemon, "outside-scope")
        error = (await b.request("prompts/get", {"name": "one__review"}))["error"]
    assert (error["code"], error["data"]["name"]) == (-32602, "one__review")


# --- whose a URI is ----------------------------------------------------------------------------------------


async def test_a_uri_is_read_where_the_scope_covers_it_whoever_else_lists_it(shelves: Shelves) -> None:
    shelves.script("one", lists=listing())
    shelves.script("two", lists=listing(URI))
    async with shelves.serve("one", "two") as b:
        covering(b.daemon, "one")
        answer = await b.request("resources/read", {"uri": URI})
        assert answer["result"]["contents"][0]["text"].startswith("one")
        assert shelves.sent("two", "resources/list") == []


@pytest.mark.parametrize("lists", [listing(URI), listing(templates=("file:///{name}",))])
async def test_a_uri_that_several_may_serve_is_read_where_it_is_listed(
    shelves: Shelves, lists: dict[str, Any]
) -> None:
    shelves.script("one", lists=listing("file:///b", templates=("file:///x/{name}", "file:///{a}/y")))
    shelves.script("two", lists=lists)
    async with shelves.serve("one", "two") as b:
        answer = await b.request("resources/read", {"uri": URI})
        assert answer["result"]["contents"][0]["text"].startswith("two")
        await b.request("resources/read", {"uri": URI})
        assert len(shelves.sent("two", "resources/list")) == 1


async def test_a_uri_that_two_servers_claim_is_refused_by_name_and_recorded(shelves: Shelves) -> None:
    shelves.script("one", lists=listing(URI))
    shelves.script("two", lists=listing(templates=("{+any}",)))
    async with shelves.serve("one", "two") as b:
        answer = await b.request("resources/read", {"uri": URI})
        assert code_of(answer) == "shadowed-resource"
        assert "`one` and `two`" in answer["error"]["message"]
        assert (await b.daemon.asked(Malformed)).code == "shadowed-resource"
        assert b.daemon.count(Decide) == 0


async def test_a_server_that_does_not_list_keeps_its_claim(shelves: Shelves) -> None:
    shelves.script("one", errors={"resources/list": {"code": -32603, "message": "broken"}})
    shelves.script("two", lists=listing(URI))
    async with shelves.serve("one", "two") as b:
        assert code_of(await b.request("resources/read", {"uri": URI})) == "shadowed-resource"


@pytest.mark.parametrize("modern", [False, True])
async def test_a_uri_that_nobody_lists_is_not_there_and_that_is_recorded(
    shelves: Shelves, *, modern: bool
) -> None:
    async with shelves.serve("one", "two") as b:
        answer = await b.request("resources/read", {"uri": URI}, modern=modern)
        refusing(b.daemon, "outside-scope")
        covering(b.daemon)
        refused = await b.request("resources/read", {"uri": URI}, modern=modern)
        assert answer["error"] == refused["error"]
        assert (await b.daemon.asked(Malformed)).code == "unknown-resource"


# --- what servers answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("resources/read", {}),
        ("resources/read", {"contents": {}}),
        ("resources/read", {"contents": [{"uri": URI}]}),
        ("resources/read", {"contents": [{"uri": URI, "text": "a", "blob": "a"}]}),
        ("resources/read", {"contents": [{"uri": 1, "text": "a"}]}),
        ("prompts/get", {"messages": [{"role": "system", "content": {"type": "text", "text": "a"}}]}),
        ("prompts/get", {"messages": [{"role": "user", "content": "a"}]}),
        ("completion/complete", {"completion": {"values": ["x"] * 101}}),
        ("completion/complete", {"completion": {"values": [1]}}),
        ("completion/complete", {"completion": []}),
        ("resources/read", {"contents": [], "_meta": {"io.taskbound/decision": {"code": "x"}}}),
        ("prompts/get", {"resultType": "input_required", "inputRequests": {}}),
    ],
)
async def test_an_answer_that_is_not_what_mcp_says_is_withheld(
    shelves: Shelves, method: str, result: dict[str, Any]
) -> None:
    shelves.script("one", answers={method: result})
    async with shelves.serve("one") as b:
        answer = await b.request(method, PARAMS[method])
        assert code_of(answer) in {"not-the-protocol", "imitation", "not-complete"}
        assert (await b.daemon.asked(Outcome)).outcome == "unknown"


async def test_a_read_that_is_cancelled_is_cancelled_upstream_and_gets_no_answer(shelves: Shelves) -> None:
    shelves.script("one", silent=["resources/read"])
    async with shelves.serve("one") as b:
        request = await b.start("resources/read", {"uri": URI})
        await b.until(lambda: bool(shelves.sent("one", "resources/read")))
        await b.cancel(request)
        assert (await b.daemon.asked(Outcome)).outcome == "unknown"
        assert len(shelves.sent("one", "notifications/cancelled")) == 1
        assert (await b.request("ping"))["result"] == {}
        assert await b.finish() == []
