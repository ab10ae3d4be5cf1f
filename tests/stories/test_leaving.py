from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import (
    AgentState,
    InactiveAgentError,
    NotOwnerError,
    PersonState,
    UnknownIdentityError,
)
from taskbound.core.identity.agent import OutsideGrantableError
from taskbound.core.identity.person import humans
from taskbound.core.identity.person_key import PersonKeyState
from taskbound.core.task import TaskState
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.task import TaskOrder
from tests.peers.openssh import Device
from tests.peers.people import OWNER, actor_of, enrolled
from tests.stories.test_grantable import BOB, payers, pays, say, settle, start
from tests.world import ANN, code_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.identity import Agent, Person
    from taskbound.core.task import Task
    from tests.world import World


def people(world: World) -> People:
    return People(world.adapters, world.views)


def agent_of(world: World, name: str = "coder") -> Agent:
    with world.store.read() as snapshot:
        found = snapshot.identities.agent("default", name)
    assert found is not None
    return found


def persons(world: World) -> dict[str, Person]:
    with world.store.read() as snapshot:
        return dict(snapshot.identities.persons("default"))


def state_of(world: World, task: Task) -> TaskState:
    with world.store.read() as snapshot:
        found = snapshot.tasks.task("default", task.id)
    assert found is not None
    return found.state


def answering(world: World, owner: str, *approvers: str, actor: Any = ANN, owns: bool = False) -> Agent:
    return people(world).set_answering(
        "default", "coder", owner=owner, approvers=approvers, actor=actor, owns=owns
    )


def test_when_its_owner_leaves_an_agent_is_suspended_and_its_tasks_are_paused_in_one_transaction(
    world: World,
) -> None:
    task = settle(world)
    assert code_of(world.ask(task)) == "permit"
    count = len(world.records())
    moved = people(world).leave("default", "ann", ANN, owns=False, reason="new job")
    assert [one.task for one in moved] == [task.id]
    assert agent_of(world).state is AgentState.SUSPENDED
    assert state_of(world, task) is TaskState.PAUSED
    assert code_of(world.ask(task)) in {"inactive-agent", "task-paused"}
    kinds = [one["event"]["kind"] for one in world.records()[count : count + 6]]
    assert sorted(kinds) == [
        "agent-people-changed",
        *("identity-changed",) * 2,
        "task-changed",
        *("tool-owner-changed",) * 2,
    ]


def test_a_permit_that_commits_after_somebody_left_is_none(world: World) -> None:
    task = settle(world)
    world.ask(task)
    world.meanwhile(lambda: people(world).leave("default", "ann", ANN, owns=False, reason=""))
    assert code_of(world.ask(task)) != "permit"


def test_when_one_of_two_approvers_leaves_the_agent_goes_on_with_the_other(world: World) -> None:
    task = settle(world)
    answering(world, "ann", "ann", "bob")
    assert people(world).leave("default", "bob", BOB, owns=False, reason="") == []
    assert (agent_of(world).state, agent_of(world).approvers) == (AgentState.ACTIVE, ("ann",))
    assert code_of(world.ask(task)) == "permit"


def test_when_the_only_approver_leaves_the_agent_is_suspended(world: World) -> None:
    task = settle(world)
    answering(world, "ann", "bob")
    people(world).leave("default", "bob", BOB, owns=False, reason="")
    assert agent_of(world).state is AgentState.SUSPENDED
    assert state_of(world, task) is TaskState.PAUSED


def test_an_agent_whose_owner_leaves_is_suspended_though_it_has_an_approver(world: World) -> None:
    settle(world)
    answering(world, "ann", "bob")
    people(world).leave("default", "ann", ANN, owns=False, reason="")
    assert (agent_of(world).state, agent_of(world).approvers) == (AgentState.SUSPENDED, ("bob",))


def test_an_active_agent_keeps_an_approver_and_a_suspended_one_may_have_none(world: World) -> None:
    task = settle(world)
    count = len(world.records())
    with pytest.raises(InactiveAgentError, match="without an approver"):
        answering(world, "ann")
    assert len(world.records()) == count
    assert agent_of(world).approvers
    assert code_of(world.ask(task)) == "permit"
    world.agents.suspend("default", "coder", ANN, reason="odd")
    assert answering(world, "ann").approvers == ()


def test_when_its_requester_leaves_a_task_is_paused_and_others_go_on(world: World) -> None:
    anns = settle(world)
    say(world, "bob", pays(50))
    bobs = start(world, pays(10))
    moved = people(world).leave("default", "bob", OWNER, owns=True, reason="")
    assert [one.task for one in moved] == [bobs.id]
    assert (state_of(world, bobs), state_of(world, anns)) == (TaskState.PAUSED, TaskState.RUNNING)
    with pytest.raises(OutsideGrantableError, match="may grant nothing"):
        world.tasks.resume("default", bobs.id, ANN)


def test_a_paused_task_of_a_suspended_agent_is_not_resumed(world: World) -> None:
    task = settle(world)
    answering(world, "ann", "bob")
    people(world).leave("default", "bob", BOB, owns=False, reason="")
    with pytest.raises(InactiveAgentError):
        world.tasks.resume("default", task.id, ANN)
    answering(world, "ann", "ann")
    world.agents.test_monitor("default", "coder", ANN)
    world.agents.acknowledge("default", "coder", world.monitor.messages[-1]["code"], ANN)
    world.agents.activate("default", "coder", ANN)
    world.tasks.resume("default", task.id, ANN)
    assert code_of(world.ask(task)) == "permit"


def test_who_leaves_has_no_key_and_no_group_and_starts_nothing(world: World) -> None:
    settle(world)
    groups = payers(world, pays(50), "bob")
    key = enrolled(world, "bob", Device())
    people(world).leave("default", "bob", BOB, owns=False, reason="")
    with world.store.read() as snapshot:
        found = snapshot.identities.person_key("default", key.id)
        (group,) = snapshot.identities.groups("default")
    assert found is not None
    assert found.state is PersonKeyState.WITHDRAWN
    assert group.members == ()
    with pytest.raises(OutsideGrantableError):
        start(world, pays(10))
    assert groups is not None


def test_a_task_that_starts_while_its_requester_leaves_does_not_run(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    world.meanwhile(lambda: people(world).leave("default", "bob", OWNER, owns=True, reason=""))
    order = TaskOrder(namespace="default", agent="coder", purpose="pay", seconds=60, scope=scope_of(pays(10)))
    with pytest.raises(OutsideGrantableError):
        world.tasks.start(order, BOB)


def test_whoever_leaves_a_group_has_the_tasks_paused_that_they_might_not_ask_for_now(world: World) -> None:
    settle(world)
    say(world, "bob", pays(10))
    groups = payers(world, pays(50), "bob")
    by_group, by_themselves = start(world, pays(40)), start(world, pays(5))
    moved = groups.set_member("default", "payers", "bob", member=False, actor=ANN, owns=True)
    assert [one.task for one in moved] == [by_group.id]
    assert state_of(world, by_group) is TaskState.PAUSED
    assert state_of(world, by_themselves) is TaskState.RUNNING
    with pytest.raises(OutsideGrantableError):
        world.tasks.resume("default", by_group.id, ANN)
    groups.set_member("default", "payers", "bob", member=True, actor=ANN, owns=True)
    world.tasks.resume("default", by_group.id, ANN)


def test_those_who_watch_are_told_who_left_and_what_stopped(world: World) -> None:
    task = settle(world)
    people(world).leave("default", "ann", ANN, owns=False, reason="new job")
    news = world.monitor.messages[-1]
    assert news == {
        "kind": "taskbound-person-left",
        "namespace": "default",
        "person": "ann",
        "reason": "new job",
        "suspended_agents": ["coder"],
        "tools_without_owner": ["bank__look", "bank__pay"],
        "paused_tasks": [task.id],
    }


def test_nobody_sends_another_away_or_brings_them_back_but_the_owner_of_the_data(world: World) -> None:
    settle(world)
    with pytest.raises(NotSelfError):
        people(world).leave("default", "bob", ANN, owns=False, reason="")
    people(world).leave("default", "bob", OWNER, owns=True, reason="")
    with pytest.raises(UnknownIdentityError):
        people(world).leave("default", "bob", OWNER, owns=True, reason="")
    for actor in (ANN, BOB):
        with pytest.raises(NotSelfError):
            people(world).come_back("default", "bob", actor, owns=False)
    assert people(world).come_back("default", "bob", OWNER, owns=True).state is PersonState.PRESENT
    with pytest.raises(UnknownIdentityError):
        people(world).come_back("default", "bob", OWNER, owns=True)


def test_who_answers_for_an_agent_is_said_by_its_owner_and_by_the_owner_of_the_data_when_that_one_left(
    world: World,
) -> None:
    settle(world)
    for actor, owns in ((BOB, False), (OWNER, True)):
        with pytest.raises(NotOwnerError):
            answering(world, "bob", "bob", actor=actor, owns=owns)
    with pytest.raises(UnknownIdentityError):
        answering(world, "ann", "nobody")
    people(world).leave("default", "ann", ANN, owns=False, reason="")
    with pytest.raises(NotOwnerError):
        answering(world, "bob", "bob", actor=BOB)
    with pytest.raises(UnknownIdentityError):
        answering(world, "bob", "ann", actor=OWNER, owns=True)
    assert answering(world, "bob", "bob", actor=OWNER, owns=True).owner == "bob"
    assert world.events("agent-people-changed")[-1]["owner"] == "bob"


def test_linking_joins_all_who_were_linked_until_they_are_parted(world: World) -> None:
    settle(world)
    register_person(world.adapters, "default", "dora", uid=1003, actor=ANN)
    link = link_persons
    assert link(world.adapters, "default", "ann", "bob", linked=True, actor=OWNER, owns=True) == (
        "ann",
        "bob",
    )
    assert link(world.adapters, "default", "eve", "dora", linked=True, actor=OWNER, owns=True) == (
        "dora",
        "eve",
    )
    joined = link(world.adapters, "default", "bob", "eve", linked=True, actor=OWNER, owns=True)
    assert joined == ("ann", "bob", "dora", "eve")
    assert len(humans(joined, persons(world))) == 1
    link(world.adapters, "default", "bob", "eve", linked=False, actor=OWNER, owns=True)
    assert len(humans(joined, persons(world))) == 2
    assert link(world.adapters, "default", "bob", "eve", linked=False, actor=OWNER, owns=True) == ()
    with pytest.raises(UnknownIdentityError):
        link(world.adapters, "default", "bob", "zed", linked=True, actor=OWNER, owns=True)


@pytest.mark.parametrize("linked", [True, False])
def test_nobody_but_the_owner_of_the_data_says_who_is_one_human(world: World, *, linked: bool) -> None:
    settle(world)
    if not linked:
        link_persons(world.adapters, "default", "ann", "bob", linked=True, actor=OWNER, owns=True)
    before = persons(world)
    for actor in (ANN, BOB, actor_of("eve")):
        with pytest.raises(NotSelfError, match="only the account that owns the data directory"):
            link_persons(world.adapters, "default", "ann", "bob", linked=linked, actor=actor, owns=False)
    assert persons(world) == before


def test_who_was_parted_is_not_joined_by_an_old_name(world: World) -> None:
    settle(world)
    register_person(world.adapters, "default", "dora", uid=1003, actor=ANN)
    link_persons(world.adapters, "default", "ann", "bob", linked=True, actor=OWNER, owns=True)
    link_persons(world.adapters, "default", "bob", "ann", linked=False, actor=OWNER, owns=True)
    link_persons(world.adapters, "default", "dora", "bob", linked=True, actor=OWNER, owns=True)
    assert len(humans(("ann", "bob", "dora"), persons(world))) == 2
