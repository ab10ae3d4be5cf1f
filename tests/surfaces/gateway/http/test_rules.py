from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.action.canonical import JsonValue
from taskbound.core.tool.definition import parse_mirrors
from taskbound.surfaces.gateway.http.errors import HeaderMismatchError
from taskbound.surfaces.gateway.http.front import require_era, require_mirrored
from taskbound.wire.mcp.message import LEGACY, MODERN, Notice, Request, parse_message
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import META, TOKEN, Near, near

pytestmark = pytest.mark.anyio

LIST = {"method": "tools/list"}
DISCOVER = {"method": "server/discover"}


def with_meta(meta: dict[str, Any]) -> dict[str, Any]:
    return {"method": "server/discover", "params": {"_meta": meta}}


def less(name: str) -> dict[str, Any]:
    return {key: one for key, one in META.items() if not key.endswith(name)}


Case = tuple[bytes, int, int]


def mismatched(there: Near) -> list[Case]:
    """Headers that are not what the body is."""
    call = {"text": "a"}
    return [
        (there.modern(TOKEN, LIST, Mcp_Method="tools/call"), 400, -32020),
        (there.modern(TOKEN, LIST, Mcp_Method="TOOLS/LIST"), 400, -32020),
        (there.modern(TOKEN, LIST).replace(b"Mcp-Method: tools/list\r\n", b""), 400, -32020),
        (there.modern(TOKEN, LIST, MCP_Protocol_Version="2025-11-25"), 400, -32020),
        (there.modern(TOKEN, LIST, MCP_Protocol_Version="v999.0.0"), 400, -32020),
        (
            there.modern(TOKEN, LIST).replace(b"MCP-Protocol-Version: 2026-07-28\r\n", b""),
            400,
            -32020,
        ),
        (there.calling(TOKEN, "echo__echo", call, Mcp_Name="echo__other"), 400, -32020),
        (
            there.calling(TOKEN, "echo__echo", call).replace(b"Mcp-Name: echo__echo\r\n", b""),
            400,
            -32020,
        ),
        (there.calling(TOKEN, "echo__echo", call, Mcp_Name="=?base64?ZWNobw=?="), 400, -32020),
        (there.calling(TOKEN, "echo__echo", call, Mcp_Name="caf\xe9"), 400, -32020),
    ]


def unspoken(there: Near) -> list[Case]:
    """Revisions, methods and `_meta` that can't be served."""
    return [
        # The body names another revision than is spoken, and the header names it too.
        (
            there.modern(
                TOKEN,
                with_meta(META | {"io.modelcontextprotocol/protocolVersion": "v999.0.0"}),
                MCP_Protocol_Version="v999.0.0",
            ),
            400,
            -32022,
        ),
        (
            there.raw(TOKEN, b'{"jsonrpc":"2.0","id":1,"method":"ping"}', MCP_Protocol_Version="x"),
            400,
            -32022,
        ),
        # `_meta` lacks what it needs, or is not there.
        (there.modern(TOKEN, with_meta(less("protocolVersion"))), 400, -32602),
        (there.modern(TOKEN, with_meta(less("clientCapabilities"))), 400, -32602),
        (
            there.raw(
                TOKEN,
                b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}',
                MCP_Protocol_Version=MODERN,
                Mcp_Method="server/discover",
            ),
            400,
            -32602,
        ),
        *(
            (there.modern(TOKEN, {"method": one}), 404, -32601)
            for one in (
                "initialize",
                "ping",
                "logging/setLevel",
                "resources/subscribe",
                "unknown/method",
            )
        ),
    ]


async def test_headers_that_say_something_else_than_the_body_are_refused_and_a_call_with_them_is_recorded(
    there: Near,
) -> None:
    cases = [*mismatched(there), *unspoken(there)]
    for raw, status, code in cases:
        found = await there.send(raw)
        assert (found.status, found.json["error"]["code"]) == (status, code), raw
        assert found.json["id"] == 1
    # The calls, and the one that would be an action in another revision.
    assert there.refused == ["header-mismatch"] * 4 + ["unknown-method"]
    versions = (await there.send(cases[10][0])).json["error"]["data"]
    assert (versions["requested"], MODERN in versions["supported"]) == ("v999.0.0", True)


async def test_headers_that_say_the_same_in_another_way_are_taken(there: Near) -> None:
    name = b64encode(b"echo__echo").decode()
    for told in ("  echo__echo  ", f"=?base64?{name}?="):
        found = await there.call(TOKEN, "echo__echo", {}, Mcp_Name=told)
        assert found.status == 200
    lower = there.modern(TOKEN, LIST).replace(b"Mcp-Method", b"mcp-method")
    assert (await there.send(lower)).status == 200
    assert (await there.send(there.modern(TOKEN, with_meta(less("clientInfo"))))).status == 200
    assert there.refused == []


SCHEMA: JsonValue = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "deep": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
    },
}


@pytest.mark.parametrize(
    ("headers", "arguments", "same"),
    [
        ({"mcp-param-region": "eu"}, {"region": "eu"}, True),
        ({}, {}, True),
        ({}, {"region": None}, True),
        ({}, {"region": "eu"}, False),
        ({"mcp-param-region": "eu"}, {}, False),
        ({"mcp-param-region": "EU"}, {"region": "eu"}, False),
        ({"mcp-param-region": "=?base64?ZXU=?="}, {"region": "eu"}, True),
        ({"mcp-param-region": "=?base64?ZXU?="}, {"region": "eu"}, False),
        ({"mcp-param-region": "=?base64?Z!U=?="}, {"region": "eu"}, False),
        ({"mcp-param-region": "=?base64?/w==?="}, {"region": "\xff"}, False),
        ({"mcp-param-region": "=?base64?ZXU="}, {"region": "=?base64?ZXU="}, True),
        ({"mcp-param-region": "ZXU=?="}, {"region": "ZXU=?="}, True),
        ({"mcp-param-region": "=?base64?="}, {"region": "=?base64?="}, True),
        ({"mcp-param-region": "nine-longZXU=?="}, {"region": "nine-longZXU=?="}, True),
        ({"mcp-param-region": "=?base64?ZX!U=?="}, {"region": "eu"}, False),
        ({"mcp-param-region": "\xe9"}, {"region": "\xe9"}, False),
        ({"mcp-param-count": "7" * 5_000}, {"count": 7}, False),
        ({"mcp-param-region": "7"}, {"region": 7}, True),
        ({"mcp-param-region": "7"}, {"region": {"a": 7}}, False),
        ({"mcp-param-count": "7"}, {"count": 7}, True),
        ({"mcp-param-count": "007"}, {"count": 7}, True),
        ({"mcp-param-count": "-7"}, {"count": -7}, True),
        ({"mcp-param-count": "7"}, {"count": 7.0}, True),
        ({"mcp-param-count": "7.0"}, {"count": 7}, False),
        ({"mcp-param-count": "8"}, {"count": 7}, False),
        ({"mcp-param-count": "7.0"}, {"count": 7.0}, False),
        ({"mcp-param-count": "8"}, {"count": 7.0}, False),
        ({"mcp-param-count": "7.5"}, {"count": 7.5}, False),
        ({"mcp-param-count": "\u0667"}, {"count": 7}, False),
        ({"mcp-param-count": "1"}, {"count": True}, False),
        ({"mcp-param-dry": "true"}, {"deep": {"dry": True}}, True),
        ({"mcp-param-dry": "True"}, {"deep": {"dry": True}}, False),
        ({"mcp-param-dry": "false"}, {"deep": {"dry": True}}, False),
        ({"mcp-param-dry": "true"}, {"deep": "x"}, False),
        ({"mcp-param-foreign": "x"}, {}, True),
    ],
)
def test_a_mirrored_argument_is_held_against_its_header(
    headers: dict[str, str],
    arguments: dict[str, Any],
    same: bool,  # noqa: FBT001 -- one column of the table
) -> None:
    def held() -> None:
        require_mirrored(headers, arguments, parse_mirrors(SCHEMA))

    if same:
        held()
    else:
        with pytest.raises(HeaderMismatchError):
            held()


def era(headers: dict[str, str], **message: Any) -> bool:
    found = parse_message(json.dumps({"jsonrpc": "2.0"} | message).encode())
    assert isinstance(found, Request | Notice)
    return require_era(headers, found)


def test_a_revision_is_that_of_the_header_where_the_body_names_none() -> None:
    for version in ("", *LEGACY):
        assert not era({"mcp-protocol-version": version} if version else {}, id=1, method="tools/list")
    told = {"mcp-protocol-version": MODERN, "mcp-method": "notifications/cancelled"}
    assert era(told, method="notifications/cancelled")  # a notice needs no `_meta`
    with pytest.raises(HeaderMismatchError):
        era(told, method="notifications/initialized")


def test_a_header_is_held_against_a_name_and_not_against_what_can_be_none() -> None:
    told = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call"}
    assert era(told, id=1, method="tools/call", params={"name": 5, "_meta": META})  # it is refused as a call


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("tools/call", "name"),
        ("prompts/get", "name"),
        ("resources/read", "uri"),
        ("tasks/get", "taskId"),
        ("tasks/update", "taskId"),
        ("tasks/cancel", "taskId"),
    ],
)
def test_what_a_method_is_about_stands_in_the_header(method: str, name: str) -> None:
    told = {"mcp-protocol-version": MODERN, "mcp-method": method}
    params = {name: "this", "_meta": META}
    assert era(told | {"mcp-name": "this"}, id=1, method=method, params=params)
    for wrong in ({}, {"mcp-name": "that"}):
        with pytest.raises(HeaderMismatchError):
            era(told | wrong, id=1, method=method, params=params)


async def test_a_call_is_held_against_the_schema_that_was_pinned(tmp_path: Path) -> None:
    definition = {"name": "marked", "inputSchema": SCHEMA}
    (tmp_path / "tools.json").write_text(json.dumps([definition]))
    async with near(tmp_path, echo(tools=tmp_path / "tools.json")) as there:
        await marked(there)


async def marked(there: Near) -> None:
    wrong = await there.call(TOKEN, "echo__marked", {"region": "eu"}, Mcp_Param_Region="us")
    assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)
    assert there.refused == ["header-mismatch"]
    missing = await there.call(TOKEN, "echo__marked", {"region": "eu"})
    assert (missing.status, missing.json["error"]["code"]) == (400, -32020)
    right = await there.call(TOKEN, "echo__marked", {"region": "eu"}, Mcp_Param_Region="eu")
    assert right.status == 200
