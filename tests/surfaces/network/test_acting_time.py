from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.task import TaskEvent
from taskbound.core.token.authorization.request import Admission, admission_ended
from taskbound.flows.decision import retries as doubts
from taskbound.flows.token import revoke_token
from tests.peers.holding import Answerers, hold_policy
from tests.surfaces.network.holding import binding
from tests.token_world import ISSUER, claims_in, part
from tests.world import ANN, SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.surfaces.network.agents import Acting, acted, refused


def test_a_question_that_nobody_comes_back_for_is_withdrawn(tmp_path: Path) -> None:
    with acted(tmp_path, policy=hold_policy("confirm")) as agent:
        people = Answerers(agent.one.world)
        action = refused(agent.ask(), 409, "held")["action"]
        agent.one.world.clock.advance(400)
        agent.token = agent.fresh()
        assert refused(agent.ask(), 409, "held")["action"] == action
        agent.one.world.clock.advance(400)
        agent.look()
        assert people.state(action) == ("held", "pending")
        agent.one.world.clock.advance(400)
        agent.look()
        assert people.state(action)[1] == "withdrawn"


def test_law_7_an_outcome_that_never_comes_is_in_doubt_when_the_permit_ends_and_then_unknown(
    agent: Acting,
) -> None:
    world = agent.one.world
    action = agent.ask().json["action"]
    agent.look()
    other = agent.ask().json["action"]  # while the permit lasts it is an act of its own
    assert agent.tell(other).status == 200
    world.clock.advance(31)
    agent.look()
    assert agent.kept(action).state.value == "permitted"
    refused(agent.ask(), 409, "held")  # law 7: it may have been done
    world.clock.advance(120)
    late = agent.ask({"tool": "bank__look", "arguments": {"path": "/srv/a"}})
    assert late.status == 200
    world.clock.advance(481)
    agent.look()
    agent.token = agent.fresh()
    assert agent.follow(action).json["state"] == "unknown"
    refused(agent.tell(action), 409, "not-holder")
    # What is within its time is told, however long the permit has ended.
    assert agent.tell(late.json["action"]).status == 200
    agent.look()
    refused(agent.ask(), 409, "held")


def test_an_outcome_that_comes_between_doubt_and_the_end_of_its_time_ends_the_doubt(agent: Acting) -> None:
    world = agent.one.world
    action = agent.ask().json["action"]
    world.clock.advance(60)
    agent.look()
    refused(agent.ask(), 409, "held")
    assert agent.tell(action).status == 200
    agent.look()
    assert agent.ask().status == 200
    assert agent.one.place.daemon.views.doubts.lost() == frozenset()


def between(agent: Acting, what: Callable[[], object]) -> None:
    """Let this happen once, when the request was proven and is about to be decided or recorded."""
    daemon = agent.one.place.daemon
    decide, record = daemon.refusals.decide, daemon.turns._record  # noqa: SLF001 - the seam of a story

    def first(work: Any) -> Any:
        def late(jobs: Any) -> Any:
            daemon.refusals.decide, daemon.turns._record = decide, record  # type: ignore[method-assign]  # noqa: SLF001 - put back
            what()
            return work(jobs)

        return late

    daemon.refusals.decide, daemon.turns._record = first(decide), first(record)  # type: ignore[method-assign]  # noqa: SLF001 - put back


def test_g7_a_token_that_is_revoked_while_its_request_waits_permits_and_tells_nothing(agent: Acting) -> None:
    world = agent.one.world

    def revoke() -> None:
        revoke_token(
            world.adapters, "default", str(claims_in(agent.token)["jti"]), ANN, owns=True, why="stolen"
        )

    action = agent.ask().json["action"]
    between(agent, revoke)
    told = refused(agent.ask(), 403, "token-revoked")
    assert agent.kept(told["action"]).decision == "refuse"
    agent.token = agent.fresh()
    between(agent, revoke)
    refused(agent.tell(action), 403, "token-revoked")
    assert agent.kept(action).state.value == "permitted"
    agent.token = agent.fresh()
    between(agent, lambda: agent.one.tokens.keys.revoke(str(part(agent.token, 0)["kid"]), ANN, why="lost"))
    refused(agent.ask(), 403, "token-key-revoked")


def test_g7_what_let_a_client_in_and_ends_while_its_request_waits_permits_nothing(
    agent: Acting,
) -> None:
    store, task = agent.one.world.store, agent.task
    let_in = Admission(
        namespace="default",
        id="adm_1",
        client="desk",
        agent=task.agent,
        task=task.id,
        person="ann",
        resource=ISSUER,
        scope=("task",),
        jkt=binding().thumbprint,
        begun=agent.one.world.clock.now(),
        until=task.deadline,
    )
    store.write(lambda tx: tx.authorizations.put_admission(let_in, expect=0))
    agent.token = agent.one.tokens.issue(task, audience=ISSUER, binding=binding(), parent=let_in.id).text
    action = agent.ask().json["action"]
    ended = admission_ended(let_in, agent.one.world.clock.now(), "somebody ended it")
    between(agent, lambda: store.write(lambda tx: tx.authorizations.put_admission(ended, expect=1)))
    told = refused(agent.ask(), 403, "admission-ended")
    assert agent.kept(told["action"]).decision == "refuse"
    assert agent.kept(action).state.value == "permitted"


def test_law_4_a_task_that_ends_between_permits_nothing_and_lets_no_result_be_used(agent: Acting) -> None:
    world = agent.one.world
    action, other = agent.ask().json["action"], agent.ask().json["action"]
    between(agent, lambda: world.tasks.pause("default", agent.task.id, ANN, reason="lunch"))
    refused(agent.ask(), 403, "task-paused")
    refused(agent.tell(action), 401, "task-paused")
    world.tasks.resume("default", agent.task.id, ANN)
    assert agent.tell(action).status == 200
    between(agent, lambda: world.tasks.end("default", agent.task.id, TaskEvent.CANCEL, ANN, reason="enough"))
    told = refused(agent.tell(other), 403, "task-ended")
    assert "recorded" in told["advice"]
    assert (agent.kept(other).state.value, agent.kept(other).released) == ("succeeded", False)
    refused(agent.ask(), 401, "task-ended")


def test_an_agent_that_asks_over_a_network_is_heard_of(agent: Acting) -> None:
    daemon = agent.one.place.daemon
    assert daemon.bound_tasks() == {}
    assert agent.ask().status == 200
    assert daemon.bound_tasks() == {"default": [agent.task.id]}
    assert daemon.bound_tasks() == {}


def test_a_task_with_too_many_permits_without_an_outcome_gets_no_more_until_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "MOST_OPEN", 2)

    with acted(tmp_path) as agent:
        actions = [agent.ask().json["action"] for _ in range(2)]
        other = Acting(agent.one, agent.one.world.start(scope=SCOPE))
        agent.look()
        refused(agent.ask(), 429, "too-many-open")
        (left,) = agent.records("action-undecided")
        assert (left["code"], left["task"], left["tool"]) == ("too-many-open", agent.task.id, "bank__pay")
        assert other.ask().status == 200
        assert agent.tell(actions[0]).status == 200
        agent.look()
        assert agent.ask().status == 200
