from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.identity.errors import BadRiskError, NotAnsweringError, OwnRiskError, SameRiskError
from taskbound.flows.action import explain
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.agent import say_risk
from taskbound.flows.identity.leaving import People
from tests.peers.holding import ASKED, Holding
from tests.peers.people import OWNER, actor_of
from tests.sqlite import sqlite_store
from tests.stories.test_delegate import paying
from tests.world import ANN, CEILING, World, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.identity import Agent
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

AT_HIGH = """
@id("high") forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.risk == "high" };
"""


def say(world: World, level: str, who: str = "ann", *, agent: str = "coder", reason: str = "odd") -> Agent:
    return say_risk(world.adapters, world.views, "default", agent, level, reason=reason, actor=actor_of(who))


def answered_for(world: World, *approvers: str, owner: str = "ann") -> Task:
    """A running task of an agent that these answer for."""
    task = world.settle_in()
    for uid, name in enumerate(("bob", "carl", "eve"), start=1001):
        register_person(world.adapters, "default", name, uid=uid, actor=ANN)
    People(world.adapters, world.views).set_answering(
        "default", "coder", owner=owner, approvers=approvers, actor=ANN, owns=False
    )
    return task


def level(world: World) -> str:
    with world.store.read() as snapshot:
        agent = snapshot.identities.agent("default", "coder")
    assert agent is not None
    return agent.risk.value


def facts(world: World, action: str) -> dict[str, str]:
    with world.store.read() as snapshot:
        kept = snapshot.actions.action("default", action)
    assert kept is not None
    return dict(kept.facts)


@pytest.fixture
def reading(store: Store) -> World:
    """A world whose policies refuse payments at high risk."""
    return World(store=store, policy=base_bundle() + AT_HIGH)


# --- who says it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_owner_and_approvers_raise_the_level_and_it_is_recorded_once_with_its_reason(
    world: World, who: str
) -> None:
    answered_for(world, "bob")
    assert level(world) == "low", "before anybody says anything"
    after = say(world, "high", who, reason="its laptop is lost")
    assert (after.risk.value, after.risk_by, level(world)) == ("high", who, "high")
    (event,) = world.events("agent-risk-changed")
    assert {name: event[name] for name in ("identity", "before", "after", "reason", "by", "proof")} == {
        "identity": "coder",
        "before": "low",
        "after": "high",
        "reason": "its laptop is lost",
        "by": who,
        "proof": "peer-uid (unproven)",
    }


def test_nobody_else_raises_it_and_only_an_approver_lowers_it(world: World) -> None:
    answered_for(world, "bob", "carl")
    with pytest.raises(NotAnsweringError):
        say(world, "high", "eve")
    say(world, "high", "bob")
    for who in ("eve", "ann"):
        with pytest.raises(NotAnsweringError):
            say(world, "low", who)
    assert level(world) == "high"
    assert say(world, "low", "carl").risk.value == "low"
    assert len(world.events("agent-risk-changed")) == 2


def test_who_said_the_level_does_not_lower_it_while_another_human_is_there_to(world: World) -> None:
    answered_for(world, "bob", "carl")
    say(world, "high", "bob")
    for lower in ("medium", "low"):
        with pytest.raises(OwnRiskError):
            say(world, lower, "bob")
    say(world, "medium", "carl")
    with pytest.raises(OwnRiskError):
        say(world, "low", "carl")
    say(world, "high", "carl")
    link_persons(world.adapters, "default", "bob", "eve", linked=True, actor=OWNER, owns=True)
    People(world.adapters, world.views).set_answering(
        "default", "coder", owner="ann", approvers=("bob", "carl", "eve"), actor=ANN, owns=False
    )
    say(world, "low", "eve")
    say(world, "high", "bob")
    with pytest.raises(OwnRiskError):
        say(world, "low", "eve")
    assert level(world) == "high", "linked persons are one human"


def test_who_is_alone_lowers_what_they_said(world: World) -> None:
    answered_for(world, "bob", "carl")
    say(world, "high", "bob")
    People(world.adapters, world.views).leave("default", "carl", actor_of("carl"), owns=False, reason="")
    assert say(world, "low", "bob").risk.value == "low"
    link_persons(world.adapters, "default", "bob", "eve", linked=True, actor=OWNER, owns=True)
    People(world.adapters, world.views).set_answering(
        "default", "coder", owner="ann", approvers=("bob", "eve"), actor=ANN, owns=False
    )
    say(world, "high", "bob")
    assert say(world, "low", "bob").risk.value == "low", "the other approver is the same human"


def test_an_approver_who_had_left_when_the_agent_was_registered_is_no_other_one(world: World) -> None:
    answered_for(world, "bob")
    People(world.adapters, world.views).leave("default", "carl", actor_of("carl"), owns=False, reason="")
    world.agents.register(
        "default",
        "helper",
        owner="ann",
        approvers=("bob", "carl"),
        monitor="world:1",
        ceiling=scope_of(CEILING),
        actor=ANN,
    )
    say(world, "high", "bob", agent="helper")
    assert say(world, "low", "bob", agent="helper").risk.value == "low"


@pytest.mark.parametrize("same", ["low", "high"])
def test_the_level_that_stands_is_not_said_again(world: World, same: str) -> None:
    answered_for(world, "ann", "bob")
    if same != "low":
        say(world, same, "bob")
    before = len(world.records())
    with pytest.raises(SameRiskError):
        say(world, same)
    assert len(world.records()) == before


@pytest.mark.parametrize(
    ("wanted", "reason"), [("", "odd"), ("HIGH", "odd"), ("worst", "odd"), ("high", " "), ("high", "x" * 501)]
)
def test_a_level_or_a_reason_that_can_not_be_is_one_named_error(
    world: World, wanted: str, reason: str
) -> None:
    answered_for(world, "bob")
    with pytest.raises(BadRiskError) as refused:
        say(world, wanted, reason=reason)
    assert isinstance(refused.value, MalformedError)
    with pytest.raises(UnknownIdentityError):
        say(world, "high", agent="nobody")
    assert level(world) == "low"
    assert say(world, "high", reason="x" * 500).risk.value == "high"


def test_all_that_refuses_a_level_are_denials() -> None:
    assert all(issubclass(one, DeniedError) for one in (NotAnsweringError, OwnRiskError, SameRiskError))


# --- what policy is told ----------------------------------------------------------------------------


def test_a_policy_reads_the_level_and_it_is_recorded_where_one_does(reading: World) -> None:
    task = reading.settle_in()
    first, look = reading.ask(task), reading.ask(task, "bank__look", {"path": "/srv/x"})
    assert code_of(first) == code_of(look) == "permit"
    say(reading, "medium")
    assert code_of(reading.ask(task)) == "permit"
    say(reading, "high")
    refused = reading.ask(task)
    assert code_of(refused) == "forbidden"
    assert code_of(reading.ask(task, "bank__look", {"path": "/srv/x"})) == "permit"
    assert [facts(reading, id_of(one)).get("risk") for one in (first, refused, look)] == ["low", "high", None]
    assert explain(reading.adapters, "default", id_of(refused)).replay == "same"
    say(reading, "low")
    assert code_of(reading.ask(task)) == "permit"


def test_a_level_that_is_raised_while_a_call_is_judged_is_met_by_its_commit(reading: World) -> None:
    task = reading.settle_in()
    assert code_of(reading.ask(task)) == "permit", "so that all is remembered"
    other = reading.beside()
    reading.meanwhile(lambda: say(other, "high"))
    assert code_of(reading.ask(task)) == "forbidden"
    reading.meanwhile(lambda: say(other, "low"))
    assert code_of(reading.ask(task)) == "permit", "and so is one that is lowered"


def test_an_agent_of_high_risk_gains_nothing_by_handing_its_work_on(reading: World) -> None:
    parent = reading.settle_in()
    reading.add_agent("helper")
    child = reading.delegate(parent, scope=scope_of(paying(2, 3000)))
    assert code_of(reading.ask(child, agent="helper")) == "permit"
    reading.meanwhile(lambda: say(reading.beside(), "high"))
    refused = reading.ask(child, agent="helper")
    assert code_of(refused) == "forbidden"
    assert facts(reading, id_of(refused))["risk"] == "high"
    say(reading, "low")
    say(reading, "high", agent="helper")
    assert code_of(reading.ask(child, agent="helper")) == "forbidden"
    assert code_of(reading.ask(parent, arguments={"to": "eve", "amount": 1})) == "permit", "not upward"


# --- what was approved before -----------------------------------------------------------------------


@pytest.mark.parametrize("raised", ["high", ""])
def test_what_was_approved_is_not_used_at_a_level_that_policy_refuses_and_else_once(
    store: Store, raised: str
) -> None:
    there = Holding(store, ASKED + AT_HIGH)
    action = id_of(there.world.ask(there.task))
    there.say(action, "bob")
    if raised:
        say(there.world, raised)
    codes = [code_of(there.world.ask(there.task)) for _ in range(2)]
    used = len([one for one in there.world.events("approval-changed") if one["after"] == "consumed"])
    assert (codes, used) == ((["forbidden"] * 2, 0) if raised else (["permit", "hold"], 1))


def test_a_level_that_is_raised_while_an_approval_is_used_leaves_it_unused() -> None:
    there = Holding(sqlite_store(), ASKED + AT_HIGH)
    action = id_of(there.world.ask(there.task))
    there.say(action, "bob")
    other = there.world.beside()
    there.world.meanwhile(lambda: say(other, "high"))
    assert code_of(there.world.ask(there.task)) == "forbidden"
    assert there.approval(action).state.value == "approved"
