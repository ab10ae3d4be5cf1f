from __future__ import annotations

from typing import Any

from taskbound.surfaces.api.egress_left import EgressTokens
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
    tokens.keep(SPACE, first, NOW + 100 * SECOND)  # it could not be recorded
    (again,) = tokens.left(SPACE, (), NOW + 200 * SECOND)
    assert (again.token, again.state, again.seconds) == ("tok_1", "left", 400)


def test_what_has_ended_is_not_left() -> None:
    for state in ("refused", "revoked", "lapsed", "left"):
        tokens = EgressTokens()
        tokens.note(SPACE, GONE, told("asked"), NOW)
        tokens.note(SPACE, GONE, told("given", seconds=600), NOW)
        tokens.note(SPACE, GONE, told("unconfirmed", seconds=500), NOW)
        tokens.note(SPACE, GONE, told(state), NOW)
        assert tokens.left(SPACE, (), NOW) == []
