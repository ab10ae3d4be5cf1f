"""What becomes of tokens for servers, as it is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.errors import MalformedError
from taskbound.core.task import NoTaskError, TaskExpiredError
from taskbound.flows.tool import UnknownServerError
from taskbound.flows.tool.secret import ServerTokens
from taskbound.wire.egress import TellToken
from taskbound.wire.tool import OAuthSpec, ServerSpec, identity_of
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from tests.world import World

URL = "https://crm.example.com/mcp"
CLIENT = OAuthSpec(
    client="us", token="https://login.example.com/token", method="client_secret_basic", resource=URL
)
SPEC = ServerSpec(name="crm", url=URL, slots=("oauth:client-secret",), oauth=CLIENT)
IDENTITY = identity_of(SPEC, namespace="default")
NAME = f"tok_{'0' * 32}"


@pytest.fixture
def task(world: World) -> Task:
    found = world.settle_in()
    world.pins.add("crm", IDENTITY, msgspec.json.encode(SPEC), [], agents=(), actor=ANN)
    return found


def told(task: Task, state: Any, **changes: Any) -> TellToken:
    given = {"server": "crm", "identity": IDENTITY.digest, "token": NAME, "tasks": (task.id,)}
    return TellToken(**{**given, "state": state, **changes})


def test_each_word_of_a_token_is_a_record_with_the_end_of_its_life(world: World, task: Task) -> None:
    tokens = ServerTokens(world.adapters)
    for state, more in (
        ("asked", {}),
        ("given", {"seconds": 60}),
        ("left", {"seconds": 9, "why": "no-token"}),
    ):
        tokens.record("default", told(task, state, **more))
    now = world.adapters.clock.now()
    found = world.events("upstream-token-told")
    assert [(one["state"], one.get("why", "")) for one in found] == [
        ("asked", ""),
        ("given", ""),
        ("left", "no-token"),
    ]
    lives = [one.get("until", now) - now for one in found]
    assert [round(one / 1_000_000) for one in lives] == [0, 60, 9]
    assert {(one["upstream"], one["server"], tuple(one["tasks"])) for one in found} == {
        ("crm", IDENTITY.digest, (task.id,))
    }


def test_no_token_is_about_to_be_asked_for_by_nobody_or_for_what_is_not_pinned(
    world: World, task: Task
) -> None:
    tokens = ServerTokens(world.adapters)
    for changes, error in (
        ({"tasks": ()}, NoTaskError),
        ({"server": "other"}, UnknownServerError),
        ({"identity": "0" * 64}, UnknownServerError),
    ):
        with pytest.raises(error):
            tokens.record("default", told(task, "asked", **changes))
    assert not world.events("upstream-token-told")
    world.clock.advance(3_601)
    with pytest.raises(TaskExpiredError):
        tokens.record("default", told(task, "asked"))
    tokens.record("default", told(task, "revoked"))  # what was given ends all the same
    assert [one["state"] for one in world.events("upstream-token-told")] == ["revoked"]


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "tok_of-the-egress"},
        {"token": "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJ4In0.x"},
        {"identity": "crm"},
        {"why": "the issuer said hunter2"},
        {"seconds": -1},
        {"seconds": 10**9},
        {"tasks": tuple(f"tsk_{number}" for number in range(65))},
    ],
)
def test_what_is_not_written_as_it_has_to_be_is_no_record(
    changes: dict[str, Any], world: World, task: Task
) -> None:
    with pytest.raises(MalformedError):
        ServerTokens(world.adapters).record("default", told(task, "revoked", **changes))
    assert not world.events("upstream-token-told")
