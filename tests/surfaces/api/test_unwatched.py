from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.action import ActionsEvaluated, Decide, EvaluateActions, Evaluation, Refused
from taskbound.wire.connection import Done
from taskbound.wire.tool import DeclareTool, ListTools, ReachTools, ToolRows
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.evaluating import declare

if TYPE_CHECKING:
    from pathlib import Path

PAY = msgspec.Raw(b'{"amount":10,"to":"bob"}')


def test_a_tool_that_is_declared_unwatched_is_offered_by_no_gateway_and_refused_to_each(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            person = await place.client("cli")
            rows = (await person.ask(ListTools(), ToolRows)).rows
            (pay,) = [one for one in rows if one.name == "bank__pay"]
            told = {"name": pay.name, "definition": pay.definition, "outcome": "unwatched"}
            await person.ask(msgspec.convert({"op": "tool:declare", **told}, DeclareTool), Done)
            rows = (await person.ask(ListTools(), ToolRows)).rows
            assert {one.name: one.unwatched for one in rows} == {"bank__look": False, "bank__pay": True}

            gateway = await place.client("gateway", agent="coder")
            reached = (await gateway.ask(ReachTools(), ToolRows)).rows
            assert [one.name for one in reached] == ["bank__look"]
            refused = await gateway.ask(Decide(tool="bank__pay", arguments=PAY, request="1"), Refused)
            assert refused.code == "outcome-unwatched"
            assert "/access/v1/evaluation" in refused.instead
            declare(place.world, "bank__pay", unwatched=False)
            reached = (await gateway.ask(ReachTools(), ToolRows)).rows
            assert [one.name for one in reached] == ["bank__look", "bank__pay"]

    asyncio.run(story())


def test_no_gateway_and_no_person_evaluates_over_the_socket(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            ask = EvaluateActions(evaluations=(Evaluation(tool="bank__pay", arguments=PAY),))
            for role, agent in (("cli", ""), ("gateway", "coder")):
                client = await place.client(role, agent=agent)
                with pytest.raises(RefusedByDaemonError):
                    await client.ask(ask, ActionsEvaluated)
            assert place.world.events("action-decided") == []

    asyncio.run(story())
