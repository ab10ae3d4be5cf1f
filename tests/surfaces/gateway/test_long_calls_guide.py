"""What the guide of calls that take their time says is what a client sends and gets, line by line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.places import EVERYTHING
from tests.house.tree import ROOT
from tests.surfaces.gateway.bench import META
from tests.surfaces.gateway.real import real

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.rawclient import Era, RawClient

pytestmark = pytest.mark.anyio
PAGE = (ROOT / "docs/guides/long-calls.md").read_text(encoding="utf-8")
Message = dict[str, Any]
ERAS: dict[str, Era] = {"2025-11-25": "legacy", "2026-07-28": "modern"}


def written(revision: str) -> list[tuple[str, Message, Message]]:
    """What a client of a revision sends, by method and parameters, and what it gets."""
    (block,) = re.findall(rf"^```mcp {revision}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = block.splitlines()
    found = []
    for sent, got in zip(lines[::2], lines[1::2], strict=True):
        mark, method, params = sent.split(" ", 2)
        assert (mark, got[:2]) == (">", "< ")
        found.append((method, json.loads(params), json.loads(got[2:])))
    return found


def declared() -> Message:
    """What a client of 2026-07-28 says of itself."""
    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: Message = json.loads(block)
    return found


def is_part(expected: Any, found: Any) -> bool:
    """Whether all that the page shows is there; more may be."""
    match expected, found:
        case dict(), dict():
            return all(key in found and is_part(value, found[key]) for key, value in expected.items())
        case list(), list():
            return len(expected) == len(found) and all(map(is_part, expected, found))
        case _:
            return bool(expected == found)


def named(value: Any, name: str) -> Any:
    return json.loads(json.dumps(value).replace("NAME", name))


async def asked(client: RawClient, method: str, params: Message) -> Message:
    request = client.next_id()
    line = json.dumps({"jsonrpc": "2.0", "id": json.loads(request), "method": method, "params": params})
    await client.send_line(line.encode())
    answer = await client.answer_to(request)
    assert "result" in answer, answer
    found: Message = answer["result"]
    return found


@pytest.mark.parametrize("revision", ERAS)
async def test_each_line_of_the_guide_is_sent_and_answered_so(revision: str, tmp_path: Path) -> None:
    meta: Message = {"_meta": META | declared()} if revision == "2026-07-28" else {}
    async with (
        real(tmp_path, (*EVERYTHING, "--stdio"), name="lab") as place,
        place.gateway(ERAS[revision]) as client,
    ):
        name = "NAME"
        for method, params, expected in written(revision):
            while True:
                found = await asked(client, method, named(params, name) | meta)
                shown = found.get("task", found)
                name = shown.get("taskId", name) if method == "tools/call" else name
                waits = method == "tasks/get" and found["status"] != expected["status"]
                if not (waits and found["status"] == "working"):
                    break
            assert is_part(named(expected, name), found), (method, expected, found)
    assert name != "NAME"
