from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.task import NoTaskError, TaskState
from taskbound.core.token import TokenKeyState
from taskbound.core.token.authorization.errors import AdmissionEndedError
from taskbound.core.token.authorization.request import PREFIX
from taskbound.flows.token.revoking import revoke_token
from taskbound.flows.token.standing import require_token_gives_up
from taskbound.wire.connection import Fault
from taskbound.wire.task import EndOwnTask
from tests.stories.test_bundles import damage, put_in_force
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.agents import Acting, refused
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER, claims_in
from tests.world import ANN

pytestmark = pytest.mark.anyio

END = "/v1/task/end"


def end(agent: Acting, token: str = "", **said: Any) -> Answer:
    return agent.one.ask("POST", END, token or agent.token, json.dumps(said).encode())


def state(agent: Acting) -> TaskState:
    return agent.one.world.task(agent.task).state


def test_an_agent_ends_the_task_of_its_token_and_no_other(agent: Acting) -> None:
    world = agent.one.world
    world.add_agent("helper")
    other = world.start(agent="helper")
    answer = end(agent, how="failed", reason="no money")
    assert (answer.status, answer.json["detail"]) == (200, "failed")
    assert state(agent) is TaskState.FAILED
    assert world.task(other).state is TaskState.RUNNING
    (record,) = [one for one in agent.records("task-changed") if one["task"] == agent.task.id]
    assert (record["by"], record["reason"]) == ("agent:coder", "no money")
    assert record["proof"] == f"token:{claims_in(agent.token)['jti']} (dpop)"
    assert agent.ask().status == 401  # nothing else comes of the token


def test_what_has_ended_or_is_paused_can_be_given_up(agent: Acting) -> None:
    agent.one.world.tasks.pause("default", agent.task.id, ANN, reason="lunch")
    assert agent.ask().status == 401
    assert end(agent).json["detail"] == "completed"
    assert end(agent).json["detail"] == "it had ended already"
    assert len([one for one in agent.records("task-changed") if one["event"] == "complete"]) == 1


def a_person(agent: Acting) -> tuple[str, int, str]:
    return agent.one.person(), 403, "other-token-kind"


def revoked(agent: Acting) -> tuple[str, int, str]:
    token = claims_in(agent.token)["jti"]
    revoke_token(agent.one.world.adapters, "default", token, ANN, owns=True, why="seen")
    return agent.token, 401, "token-revoked"


def over(agent: Acting) -> tuple[str, int, str]:
    agent.one.world.clock.advance(301)
    return agent.token, 401, "token-expired"


def of_another_key(agent: Acting) -> tuple[str, int, str]:
    own = Binding(kind=BindingKind.DPOP, thumbprint="x" * 43)
    return agent.one.tokens.issue(agent.task, audience=ISSUER, binding=own).text, 401, "dpop-key"


def of_a_revoked_key(agent: Acting) -> tuple[str, int, str]:
    tokens = agent.one.tokens
    kid = tokens.kid(TokenKeyState.CURRENT)
    tokens.keys.revoke(kid, ANN, why="seen")
    return agent.token, 401, "token-key-revoked"


@pytest.mark.parametrize("made", [a_person, revoked, over, of_another_key, of_a_revoked_key])
def test_a_token_that_is_over_another_kind_of_it_or_one_without_its_key_ends_nothing(
    agent: Acting, made: Any
) -> None:
    token, status, code = made(agent)
    answer = end(agent, token)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert state(agent) is TaskState.RUNNING


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"how": "revoked"}, "bad-task"),
        ({"how": "expired"}, "bad-task"),
        ({"reason": "x" * 201}, "bad-task"),
        ({"task": "tsk_other"}, "bad-body"),
    ],
)
def test_what_an_agent_can_not_say_of_its_end_is_refused(
    agent: Acting, said: dict[str, str], code: str
) -> None:
    refused(end(agent, **said), 400, code)
    assert state(agent) is TaskState.RUNNING


def test_a_revocation_that_comes_behind_the_proof_ends_nothing(
    agent: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = agent.one.place.daemon.network
    require = network.require_giving_up

    def later(principal: Any) -> Any:
        revoked(agent)
        return require(principal)

    monkeypatch.setattr(network, "require_giving_up", later)
    answer = end(agent)
    assert (answer.status, answer.code) == (403, "token-revoked"), answer.body
    assert state(agent) is TaskState.RUNNING


def test_a_token_whose_task_is_another_agents_gives_nothing_up(agent: Acting) -> None:
    world = agent.one.world
    token = replace(agent.one.tokens.rows()[0], agent="helper")
    with world.store.read() as snapshot, pytest.raises(NoTaskError):
        require_token_gives_up(snapshot, token, world.clock.now())


def test_a_client_that_is_let_in_no_more_gives_nothing_up(agent: Acting) -> None:
    world = agent.one.world
    token = replace(agent.one.tokens.rows()[0], parent=world.adapters.chance.name(PREFIX))
    with world.store.read() as snapshot, pytest.raises(AdmissionEndedError):
        require_token_gives_up(snapshot, token, world.clock.now())


def test_where_what_is_in_force_is_damaged_an_agent_can_still_end(agent: Acting) -> None:
    damage(agent.one.world, put_in_force(agent.one.world), archive=b"{}")
    assert agent.ask().status == 403
    assert end(agent).status == 200
    assert state(agent) is TaskState.COMPLETED


def test_many_ends_at_once_are_one(agent: Acting) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda how: end(agent, how=how), ["completed", "failed"] * 4))
    assert {one.status for one in answers} == {200}
    told = [one.json["detail"] for one in answers]
    assert sorted(told)[1:] == ["it had ended already"] * 7
    assert state(agent).value == min(told)
    assert len([one for one in agent.records("task-changed") if one["task"] == agent.task.id]) == 1


async def test_on_a_machine_nobody_asks_for_it(tmp_path: Path) -> None:
    async with station(tmp_path) as place:
        for role, more in (("cli", {}), ("gateway", {"agent": "coder"})):
            client = await place.client(role, **more)
            answer = await client.ask_any(EndOwnTask())
            assert isinstance(answer, Fault)
            assert (answer.code, answer.family) == ("unproven", "denied")
        with place.world.store.read() as snapshot:
            assert all(each.state is TaskState.RUNNING for each in snapshot.tasks.tasks("default"))


def test_what_is_beneath_it_ends_with_it(agent: Acting) -> None:
    world = agent.one.world
    world.add_agent("helper")
    child = world.delegate(agent.task, agent="helper")
    assert end(agent).status == 200
    assert state(agent) is TaskState.COMPLETED
    assert world.task(child).state is TaskState.REVOKED
