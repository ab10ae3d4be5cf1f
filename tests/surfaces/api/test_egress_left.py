from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskbound.core.errors import UnavailableError
from taskbound.surfaces.api.operations.egress import EgressTokens
from taskbound.wire.egress import TellToken

SPACE = "default"
NOW = 1_000_000_000
SECOND = 1_000_000
GONE = (7, 1)


def told(state: Any, *, name: str = "tok_1", seconds: int = 0) -> TellToken:
    return TellToken(
        server="far", identity="0" * 64, token=name, state=state, tasks=("tsk_1",), seconds=seconds
    )


def test_what_a_process_had_that_is_gone_is_left_once_with_the_rest_of_its_life() -> None:
    tokens = EgressTokens()
    tokens.note(SPACE, GONE, told("asked"), NOW)
    tokens.note(SPACE, GONE, told("given", seconds=600), NOW)
    tokens.note(SPACE, GONE, told("asked", name="tok_2"), NOW)
    assert tokens.left("another", (), NOW) == []
    first, second = tokens.left(SPACE, (), NOW + 100 * SECOND)
    assert (first.state, first.why, first.seconds, first.tasks) == ("left", "egress-lost", 500, ("tsk_1",))
    assert (second.token, second.state, second.seconds) == ("tok_2", "left", 0)
    assert tokens.left(SPACE, (), NOW) == []


@pytest.mark.parametrize("why", [UnavailableError("the disk is full"), asyncio.CancelledError()])
def test_what_could_not_be_recorded_is_at_the_next_opportunity_and_nothing_twice(why: BaseException) -> None:
    tokens, recorded = EgressTokens(), list[tuple[str, int]]()
    for name in ("tok_1", "tok_2", "tok_3"):
        tokens.note(SPACE, GONE, told("given", name=name, seconds=600), NOW)

    async def record(one: TellToken) -> None:
        if one.token == "tok_2" and len(recorded) == 1:
            raise why
        recorded.append((one.token, one.seconds))

    async def story() -> None:
        with pytest.raises(type(why)):
            await tokens.bury(SPACE, (), lambda: NOW + 100 * SECOND, record)
        assert recorded == [("tok_1", 500)]
        recorded.append(("", 0))
        await tokens.bury(SPACE, (), lambda: NOW + 200 * SECOND, record)
        assert recorded[2:] == [("tok_2", 400), ("tok_3", 400)]

    asyncio.run(story())


def test_what_has_ended_is_not_left() -> None:
    for state in ("refused", "revoked", "lapsed", "left"):
        tokens = EgressTokens()
        tokens.note(SPACE, GONE, told("asked"), NOW)
        tokens.note(SPACE, GONE, told("given", seconds=600), NOW)
        tokens.note(SPACE, GONE, told("unconfirmed", seconds=500), NOW)
        tokens.note(SPACE, GONE, told(state), NOW)
        assert tokens.left(SPACE, (), NOW) == []
