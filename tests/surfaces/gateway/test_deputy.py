"""A server that calls tools through a gateway of its own (A174)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers.commands import deputy, echo
from tests.peers.rawclient import text_of
from tests.surfaces.gateway.real import real
from tests.surfaces.gateway.test_corpus import calls_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


async def test_a174_what_a_server_calls_on_the_way_is_decided_like_any_call_of_the_agent(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    command = deputy(home=tmp_path / "home", agent="coder", tool="echo__echo")
    async with real(tmp_path, command, name="deputy") as place:
        await place.pin("echo", echo(era="legacy", log=log))
        place.end_task()
        place.start_task({"grants": [{"tool": "deputy__work", "others": "any"}]})
        async with place.gateway() as client:
            said = text_of(await client.call("deputy__work", b'{"text":"a"}'))
        assert '"outside-scope"' in said
        rows = await place.settled(2)
        assert [(one.tool, one.decision) for one in rows] == [
            ("deputy__work", "permit"),
            ("echo__echo", "refuse"),
        ]
    assert not log.exists() or calls_in(log) == []


async def test_a174_a_server_that_calls_itself_through_the_gateway_ends_with_what_the_task_may(
    tmp_path: Path,
) -> None:
    command = deputy(home=tmp_path / "home", agent="coder", tool="deputy__work")
    scope = {"grants": [{"tool": "deputy__work", "others": "any", "uses": 2}]}
    async with real(tmp_path, command, name="deputy", scope=scope) as place:
        async with place.gateway() as client:
            said = text_of(await client.call("deputy__work", b'{"text":"a"}'))
        assert "exhausted" in said
        rows = await place.settled(3)
        assert [(one.decision, one.state) for one in rows] == [
            ("permit", "succeeded"),
            ("permit", "succeeded"),
            ("refuse", "refused"),
        ]
