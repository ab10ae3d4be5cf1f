from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.wire.action import AskAction, FollowAction, ReportAction
from taskbound.wire.connection import Fault
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.envelope import Ask

ASKS: list[Ask] = [
    AskAction(tool="bank__look", arguments=msgspec.Raw(b"{}")),
    ReportAction(action="act_1", outcome="succeeded"),
    FollowAction(action="act_1"),
]


@pytest.mark.parametrize("role", ["gateway", "cli", "run", "egress"])
def test_what_is_asked_afar_is_asked_by_no_connection_of_this_machine(tmp_path: Path, role: str) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            before = len(place.world.events("action-decided"))
            client = await place.client(role, **({"agent": "coder"} if role == "gateway" else {}))
            for ask in ASKS:
                answer = await client.ask_any(ask)
                assert isinstance(answer, Fault)
                assert answer.code == "unproven"
            assert len(place.world.events("action-decided")) == before

    asyncio.run(story())
