"""The gateway's side of servers behind a URL, made to do what a client scenario of the suite wants done.

Run it: ``python reaching.py URL``, as the suite does, which names scenario and revision in the environment.
It looks at the server as `taskbound upstream add` does, reaches it as a gateway does, lists, and calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from taskbound.adapters.upstream.mcp.http.probe import pin_url, probe
from taskbound.adapters.upstream.mcp.http.server import HttpServer, HttpStarter
from taskbound.adapters.upstream.mcp.probe import NullListener
from taskbound.core.action.canonical import canonical
from taskbound.ports.upstream import Answered, UpstreamAnswer
from taskbound.wire.tool import identity_of

Json = dict[str, Any]
CALLS: Final[Mapping[str, list[tuple[str, Json]]]] = {
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
}


async def act(url: str, *, scenario: str, revision: str, context: Json) -> None:
    """Reach the server in this revision, list what it offers, and call what the scenario needs."""
    spec = pin_url("x", url, headers={})
    found = await probe(spec)
    if found.era != revision:
        raise SystemExit(f"the server shows itself as one of {found.era}")
    start = HttpStarter()
    identity = identity_of(structs.replace(spec, era=found.era), namespace="default")
    server = await start(identity, era=found.era, events=NullListener())
    try:
        listed = {one["name"]: one for one in map(json.loads, await server.list_tools())}
        await asyncio.gather(*(_call(server, *one) for one in _calls(scenario, listed, context)))
    finally:
        await server.close()


async def _call(server: HttpServer, tool: str, arguments: Json) -> None:
    answered: asyncio.Future[UpstreamAnswer] = asyncio.get_running_loop().create_future()
    server.call(tool, canonical(arguments), answered.set_result)
    found = await answered
    if not isinstance(found, Answered):
        raise SystemExit(f"{tool}: {found}")


def _calls(scenario: str, listed: Mapping[str, Json], context: Json) -> list[tuple[str, Json]]:
    if scenario == "http-invalid-tool-headers":
        return [(name, dict.fromkeys(one["inputSchema"]["required"], "eu")) for name, one in listed.items()]
    if scenario == "http-custom-headers":
        return [(one["name"], one["arguments"]) for one in context["toolCalls"]]
    return CALLS.get(scenario, [])


def main() -> None:
    """Do what the environment names."""
    parser = argparse.ArgumentParser(description="servers behind a URL, in one scenario")
    parser.add_argument("url")
    url: str = parser.parse_args().url
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    asyncio.run(act(url, scenario=scenario, revision=revision, context=context))


if __name__ == "__main__":
    main()
