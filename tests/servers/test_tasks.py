"""Real servers that make tasks of calls, through the gateway's real process: of both of MCP's own SDKs.

1. `@modelcontextprotocol/server-everything` (TypeScript), of 2025-11-25, over stdio and streamable HTTP: a
   tool that has to be a task, and asks.
2. A server of 2025-11-25 made with the first major release of the `mcp` package, as its documentation has it.
3. The fixture of the conformance tests, of 2026-07-28, made with the second one.

Each is called by a client that knows no tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.peers.commands import everything
from tests.peers.ports import free_port
from tests.peers.rawclient import text_of
from tests.servers.catalog import ROOM, _node
from tests.surfaces.gateway.real import DEADLINE, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.peers.rawclient import RawClient

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
Message = dict[str, Any]
ELICIT: Final = "elicitation/create"
RESEARCH: Final = "simulate-research-query"
SDK: Final = '''
"""Tools that have to be tasks."""

import anyio
import mcp.types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server

server = Server("sdk")
server.experimental.enable_tasks()
FORM = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}


@server.list_tools()
async def tools():
    run = types.ToolExecution(taskSupport="required")
    names = ("confirm", "fail", "wait")
    return [types.Tool(name=one, inputSchema={"type": "object"}, execution=run) for one in names]


@server.call_tool()
async def call(name, arguments):
    ctx = server.request_context
    ctx.experimental.validate_task_mode("required")

    async def work(task):
        await task.update_status(f"begun with {name}")
        if name == "fail":
            raise ValueError("it broke")
        if name == "wait":
            await anyio.sleep_forever()
        found = await task.elicit(message="Sure?", requestedSchema=FORM)
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(found.content))])

    return await ctx.experimental.run_task(work)


async def main():
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


anyio.run(main)
'''


@contextlib.asynccontextmanager
async def research_over_http() -> AsyncIterator[str]:
    """The address of the TypeScript server, which ends with the test."""
    port = free_port()
    command = _node("@modelcontextprotocol/server-everything/dist/index.js", "streamableHttp")
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while b"listening" not in await process.stderr.readline():
                pass
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


async def seen_through(client: RawClient, calls: Mapping[str, tuple[str, Message]]) -> dict[str, Message]:
    """What each of these calls comes to, made at once, with each form filled in."""
    open_ = {
        await client.start_call(tool, json.dumps(given).encode()): key for key, (tool, given) in calls.items()
    }
    found: dict[str, Message] = {}
    while len(found) < len(calls):
        one = await client.wait_for(lambda message: "id" in message)
        if one.get("method") == ELICIT:
            fields = one["params"]["requestedSchema"]["properties"]
            content = {
                name: field["oneOf"][0]["const"] if "oneOf" in field else True
                for name, field in fields.items()
            }
            result = {"action": "accept", "content": content}
            await client.send_line(json.dumps({"jsonrpc": "2.0", "id": one["id"], "result": result}).encode())
        else:
            found[open_[json.dumps(one["id"]).encode()]] = one
    return found


async def test_tasks_of_both_sdks_are_waited_for_asked_about_and_cancelled(tmp_path: Path) -> None:
    (tmp_path / "sdk.py").write_text(SDK, encoding="utf-8")
    async with research_over_http() as url, served(tmp_path) as place:
        node = _node("@modelcontextprotocol/server-everything/dist/index.js")
        python = (str(ROOM / "legacy/bin/python"), str(tmp_path / "sdk.py"))
        for name, command in {"node": node, "far": (url,), "sdk": python, "all": everything()}.items():
            await place.pin(name, command, asks=[ELICIT])
        place.settle_in()
        place.start_task()
        asked = {"topic": "python", "ambiguous": True}
        calls: dict[str, tuple[str, Message]] = {
            "node": (f"node__{RESEARCH}", asked),
            "far": (f"far__{RESEARCH}", asked),
            "sure": ("sdk__confirm", {}),
            "broken": ("sdk__fail", {}),
            "slow": ("all__slow_compute", {"seconds": 0.2, "label": "it"}),
            "job": ("all__failing_job", {}),
            "error": ("all__protocol_error_job", {}),
            "delete": ("all__confirm_delete", {"filename": "a"}),
            "two": ("all__multi_input", {}),
        }
        async with place.gateway("legacy", elicitation={}) as client:
            found = await seen_through(client, calls)
            waiting = client.next_id()
            params = b'{"name":"sdk__wait","arguments":{},"_meta":{"progressToken":"p"}}'
            await client.send_line(client.request_bytes("tools/call", params, request=waiting))
            told = await client.wait_for(lambda one: one.get("method") == "notifications/progress")
            await client.cancel(waiting)
            rows = {one.tool: one.state for one in await place.settled(10 + 6)}
            lines = b"".join(client.lines)
            await client.finish()  # a server whose task sleeps for ever outlives its input
    assert {key: text_of(found[key]) for key in ("slow", "job")} == {
        "slow": "Computed it in 0.2 s.",
        "job": "The job failed.",
    }
    for key in ("node", "far"):
        assert "Clarification**: programming" in text_of(found[key]), key
    assert text_of(found["sure"]) == "{'sure': True}"
    assert found["broken"]["error"]["message"] == "it broke"
    assert found["error"]["error"]["message"] == "The job broke."
    assert json.loads(text_of(found["delete"])).keys() == {"confirm"}
    assert told["params"] == {"message": "begun with wait", "progress": 1, "progressToken": "p"}
    assert rows["sdk__wait"] == "unknown"
    assert rows["all__failing_job"] == rows["all__protocol_error_job"] == rows["sdk__fail"] == "failed"
    assert b"related-task" not in lines
