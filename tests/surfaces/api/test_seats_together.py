"""Calls of a seat that are decided in one turn: each stands for itself there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from taskbound.wire.action import Permitted
from taskbound.wire.connection import Bind, Bound
from tests.surfaces.api.test_fronts import PAY, Front, played, told
from tests.token_world import claims_in


def test_calls_that_are_decided_together_have_each_the_token_that_they_came_with(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        tokens = [one.token(), one.token()]
        names = [claims_in(each)["jti"] for each in tokens]
        seat = await one.seat(tokens[0])
        await seat.ask(Bind(), Bound)
        shown = [names[0], names[1], "tok_none", names[0]]
        asks = [
            msgspec.structs.replace(PAY, token=name, request=f"r{number}")
            for number, name in enumerate(shown)
        ]
        answers = await asyncio.gather(*map(seat.ask_any, asks))
        assert [told(each) or getattr(each, "code", "permitted") for each in answers] == [
            "permitted",
            "permitted",
            "unknown-token",
            "permitted",
        ]
        made = {
            each["event"]["action"]: str(each)
            for each in one.world.records()
            if each["event"]["kind"] == "action-decided"
        }
        for name, answer in zip(shown, answers, strict=True):
            if isinstance(answer, Permitted):
                assert f"token:{name} (dpop)" in made[answer.action]

    played(tmp_path, story)
