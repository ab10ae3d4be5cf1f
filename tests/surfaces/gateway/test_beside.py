"""What a server made with the SDK has beside its tools, by the SDK's client, before a real daemon."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters, types
from mcp.shared.exceptions import MCPError

from tests.conformance.places import everything as over_http
from tests.peers.commands import everything
from tests.surfaces.gateway.bench import bench
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.real import Place

pytestmark = pytest.mark.anyio
TEXT = "test://static-text"
DATA = "test://template/7/data"
SCOPE: dict[str, Any] = {
    "grants": [
        {"tool": "all__resources/read", "arguments": {"uri": {"one_of": [TEXT, DATA, "test://gone"]}}},
        {
            "tool": "all__prompts/get",
            "arguments": {"name": {"prefix": "test_prompt_with_arg"}},
            "others": "any",
        },
        {
            "tool": "all__completion/complete",
            "arguments": {"argument.name": {"equals": "arg1"}},
            "others": "any",
        },
    ]
}
ERAS = ("2025-11-25", "2026-07-28")


def client_of(place: Place, spoken: str) -> Client:
    command = ["-m", "taskbound.wiring.gateway", "--agent", "coder", "--home", str(place.home)]
    server = StdioServerParameters(command=sys.executable, args=command)
    return Client(server, mode="legacy" if spoken == ERAS[0] else spoken)


@pytest.mark.parametrize("served", ERAS)
@pytest.mark.parametrize("spoken", ERAS)
async def test_the_official_client_lists_and_reads_what_the_task_covers_and_nothing_else(
    spoken: str, served: str, tmp_path: Path
) -> None:
    async with real(tmp_path, everything(), name="all", scope=SCOPE, era=served) as place:
        async with client_of(place, spoken) as client:
            resources = (await client.list_resources()).resources
            templates = (await client.list_resource_templates()).resource_templates
            prompts = (await client.list_prompts()).prompts
            static = (await client.read_resource(TEXT)).contents[0]
            made = (await client.read_resource(DATA)).contents[0]
            given = await client.get_prompt("all__test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
            ref = types.PromptReference(type="ref/prompt", name="all__test_prompt_with_arguments")
            completed = await client.complete(ref, {"name": "arg1", "value": "par"})
            errors = []
            for uri in ("test://static-binary", "test://gone", "file:///etc/passwd"):
                with pytest.raises(MCPError) as refused:
                    await client.read_resource(uri)
                errors.append(refused.value.error)
        rows = await place.settled(7)
        details = [place.action(one.action) for one in rows]
    assert [str(one.uri) for one in resources] == [TEXT]
    assert [one.uri_template for one in templates] == ["test://template/{id}/data"]
    assert [one.name for one in prompts] == ["all__test_prompt_with_arguments"]
    assert isinstance(static, types.TextResourceContents)
    assert static.text == "This is the content of the static text resource."
    assert isinstance(made, types.TextResourceContents)
    assert json.loads(made.text)["id"] == "7"
    assert "arg1='a', arg2='b'" in str(given.messages[0].content)
    assert completed.completion.values == ["paris", "park", "party"]
    missing = -32002 if spoken == ERAS[0] else -32602
    assert {one.code for one in errors} == {missing}
    assert len({one.message for one in errors}) == 1
    assert [one.data["uri"] for one in errors if one.data] == [
        "test://static-binary",
        "test://gone",
        "file:///etc/passwd",
    ]
    assert [(one.tool.partition("/")[2], one.state) for one in rows] == [
        ("read", "succeeded"),
        ("read", "succeeded"),
        ("get", "succeeded"),
        ("complete", "succeeded"),
        ("read", "refused"),
        ("read", "failed"),
        ("read", "refused"),
    ]
    assert json.loads(details[0].arguments) == {"uri": TEXT}


async def test_a_read_of_a_task_that_has_ended_is_refused_by_that_name(tmp_path: Path) -> None:
    async with (
        real(tmp_path, everything(), name="all", scope=SCOPE) as place,
        client_of(place, ERAS[0]) as client,
    ):
        await client.read_resource(TEXT)
        place.end_task()
        with pytest.raises(MCPError) as refused:
            await client.read_resource(TEXT)
    assert refused.value.error.data is not None
    assert refused.value.error.data["code"] == "task-ended"


@pytest.mark.parametrize("served", ERAS)
async def test_a_server_behind_a_url_is_asked_for_the_same(served: str, tmp_path: Path) -> None:
    with over_http() as url:
        async with bench(tmp_path, [url], name="all", era=served) as b:
            listed = (await b.request("resources/list"))["result"]["resources"]
            read = (await b.request("resources/read", {"uri": TEXT}))["result"]["contents"]
            given = (await b.request("prompts/get", {"name": "all__test_simple_prompt"}))["result"][
                "messages"
            ]
            ref = {"type": "ref/prompt", "name": "all__test_prompt_with_arguments"}
            wanted = {"ref": ref, "argument": {"name": "arg1", "value": "par"}}
            completed = (await b.request("completion/complete", wanted))["result"]["completion"]
            gone = (await b.request("resources/read", {"uri": "test://gone"}))["error"]
    assert len(listed) == 3
    assert read[0]["text"] == "This is the content of the static text resource."
    assert given[0]["content"]["text"] == "This is a simple prompt for testing."
    assert completed["values"] == ["paris", "park", "party"]
    assert (gone["code"], gone["data"]["uri"]) == (-32002, "test://gone")
