"""The official client, made to do what a client scenario of the MCP conformance suite wants done.

Run it: ``python official.py URL``, as the suite does, which names scenario and revision in the environment.

`act` does the same through anything else that the `mcp` package's client connects to, such as a gateway that
was started for this URL; `prefix` is then what the names of its tools begin with. It answers every question
of a server: elicitations with the defaults of their schema, `true` where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, Final

from mcp import Client, types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp import StdioServerParameters

Json = dict[str, Any]
Calls = list[tuple[str, Json]]
LEGACY: Final = "2025-11-25"
CALLS: Final[Mapping[str, Calls]] = {
    "auth/client-credentials-basic": [("test-tool", {})],
    "auth/client-credentials-jwt": [("test-tool", {})],
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "sep-2322-client-request-state": [
        ("test_mrtr_echo_state", {}),
        ("test_mrtr_unrelated", {}),
        ("test_mrtr_no_state", {}),
        ("test_mrtr_no_result_type", {}),
    ],
    "http-standard-headers": [("test_headers", {}), ("my-hyphenated-tool", {})],
}
SCHEMA_TOOL: Final = "json_schema_2020_12_tool"


async def answer(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:  # noqa: ARG001 -- the SDK calls it by these names
    """Accept, with what the schema's author left as default."""
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    fields: Json = params.requested_schema["properties"]
    content = {name: one.get("default", True) for name, one in fields.items()}
    return types.ElicitResult(action="accept", content=content)


async def sample(context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:  # noqa: ARG001 -- the same
    """Say something."""
    said = types.TextContent(type="text", text="something")
    return types.CreateMessageResult(role="assistant", content=said, model="none")


async def roots(context: Any) -> types.ListRootsResult:  # noqa: ARG001 -- the same
    """Name no root."""
    return types.ListRootsResult(roots=[])


async def act(
    target: str | StdioServerParameters, *, scenario: str, revision: str, context: Json, prefix: str = ""
) -> None:
    """Connect in the era of the revision, list what is offered, and call what the scenario needs."""
    mode = "legacy" if revision == LEGACY else "auto"
    async with Client(
        target,
        mode=mode,
        elicitation_callback=answer,
        sampling_callback=sample,
        list_roots_callback=roots,
    ) as client:
        listed = {tool.name.removeprefix(prefix): tool for tool in (await client.list_tools()).tools}
        calls = _calls(scenario, listed, context)
        # At once: what belongs to one call must not show up in another. Each to its end, also beside one that
        # fails: what is cut off then looks to the suite as if it had never been called.
        asked = (client.call_tool(prefix + name, given) for name, given in calls)
        for one in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(one, BaseException):
                raise one
        if scenario == "http-standard-headers":
            for resource in (await client.list_resources()).resources:
                await client.read_resource(resource.uri)
            for prompt in (await client.list_prompts()).prompts:
                await client.get_prompt(prompt.name)


def _calls(scenario: str, listed: Mapping[str, types.Tool], context: Json) -> Calls:
    """The calls of the scenario; of tools that the client took from the list, every one is tried."""
    if scenario == "http-invalid-tool-headers":
        return [(name, dict.fromkeys(one.input_schema["required"], "eu")) for name, one in listed.items()]
    if scenario == "http-custom-headers":
        return [(one["name"], one["arguments"]) for one in context["toolCalls"]]
    if scenario == "json-schema-2020-12-preservation":
        return [("json_schema_echo", {"schema": listed[SCHEMA_TOOL].input_schema})]
    return CALLS.get(scenario, [])


def main() -> None:
    """Do what the environment names."""
    parser = argparse.ArgumentParser(description="the official MCP client in one conformance scenario")
    parser.add_argument("url")
    url: str = parser.parse_args().url
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    asyncio.run(act(url, scenario=scenario, revision=revision, context=context))


if __name__ == "__main__":
    main()
