from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import AlreadyAnsweredError, AnswerKind, NotEntitledError
from taskbound.core.identity import UnknownIdentityError
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.task import keep_account
from taskbound.flows.tool.applying import TooManyApproversError, set_approvers
from tests.peers.holding import ASKED, TWICE, Holding, hold_policy
from tests.peers.people import OWNER, actor_of
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store
    from tests.world import World

AGENTS = hold_policy("approval:agent")
UID = {"ann": 1000, "bob": 1001, "carl": 1002, "dora": 1003}


def name_for(world: World, *names: str, tool: str = "bank__pay") -> None:
    set_approvers(world.adapters, "default", tool, names, actor=OWNER, owns=True)
    world.views.forget()


def answering(there: Holding, *names: str) -> None:
    """Have these approve for the agent."""
    people = People(there.world.adapters, there.world.views)
    people.set_answering("default", "coder", owner="ann", approvers=names, actor=ANN, owns=False)


@pytest.fixture
def there(store: Store) -> Holding:
    held = Holding(store, AGENTS)
    answering(held, "bob")
    return held


@pytest.fixture
def here() -> Holding:
    """On SQLite only, of finance: what is asked is no matter of the engine."""
    return Holding(sqlite_store(), ASKED)


def held(there: Holding) -> str:
    answer = there.world.ask(there.task)
    assert code_of(answer) == "hold"
    return id_of(answer)


def test_a_hold_goes_to_those_who_approve_for_the_tool_and_where_nobody_does_to_those_of_the_agent(
    there: Holding,
) -> None:
    first = held(there)
    with pytest.raises(NotEntitledError):
        there.say(first, "carl")
    there.say(first, "bob")
    assert code_of(there.world.ask(there.task)) == "permit"
    name_for(there.world, "carl")
    second = held(there)
    with pytest.raises(NotEntitledError):
        there.say(second, "bob")
    there.say(second, "carl")
    assert code_of(there.world.ask(there.task)) == "permit"
    (event,) = there.world.events("tool-approvers-changed")
    assert (event["tool"], event["approvers"], event["by"]) == ("bank__pay", ["carl"], "uid:0")


def test_who_was_named_for_another_tool_approves_nothing_here(there: Holding) -> None:
    name_for(there.world, "carl", tool="bank__look")
    action = held(there)
    with pytest.raises(NotEntitledError):
        there.say(action, "carl")
    there.say(action, "bob")


def test_an_approval_by_who_does_not_approve_for_the_tool_any_more_is_not_used(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    name_for(there.world, "carl")
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")


def test_when_all_who_approve_for_a_tool_have_left_nobody_does_until_somebody_is_named(
    there: Holding,
) -> None:
    name_for(there.world, "carl")
    people = People(there.world.adapters, there.world.views)
    people.leave("default", "carl", actor_of("carl"), owns=False, reason="")
    assert code_of(there.world.ask(there.task)) == "no-approver"
    people.come_back("default", "carl", OWNER, owns=True)
    assert code_of(there.world.ask(there.task)) == "no-approver"
    name_for(there.world, "dora")
    action = held(there)
    there.say(action, "dora")
    set_approvers(there.world.adapters, "default", "bank__pay", None, actor=OWNER, owns=True)
    there.world.views.forget()
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    there.say(id_of(answer), "bob")


def test_taking_a_server_away_and_pinning_it_again_changes_nothing_of_who_approves(there: Holding) -> None:
    name_for(there.world, "carl")
    there.world.pins.remove("default", "bank", ANN)
    there.world.add_bank()
    action = held(there)
    with pytest.raises(NotEntitledError):
        there.say(action, "bob")
    there.say(action, "carl")


def test_only_the_account_that_owns_the_data_directory_names_them_and_only_persons_and_pinned_tools(
    there: Holding,
) -> None:
    adapters = there.world.adapters
    with pytest.raises(NotSelfError):
        set_approvers(adapters, "default", "bank__pay", ("ann",), actor=ANN, owns=False)
    with pytest.raises(UnknownIdentityError):
        name_for(there.world, "nobody")
    with pytest.raises(UnknownToolError):
        name_for(there.world, "bob", tool="bank__other")
    with pytest.raises(TooManyApproversError):
        name_for(there.world, *(f"p{one}" for one in range(33)))
    assert not there.world.events("tool-approvers-changed")


def test_who_approves_for_a_tool_and_asked_for_the_task_approves_nothing_of_it(there: Holding) -> None:
    name_for(there.world, "ann", "carl")
    action = held(there)
    with pytest.raises(NotEntitledError):
        there.say(action, "ann")
    there.say(action, "carl")


def test_i31_who_has_the_account_that_the_agent_runs_under_approves_nothing_of_the_task(store: Store) -> None:
    there = Holding(store, ASKED)
    action = held(there)
    keep_account(there.world.adapters, there.task, UID["bob"])
    with pytest.raises(NotEntitledError):
        there.say(action, "bob")
    there.say(action, "carl")
    assert code_of(there.world.ask(there.task)) == "permit"
    accounted = {one["account"] for one in there.world.events("task-accounted")}
    assert accounted == {"peer-uid:1001"}


def test_an_account_is_kept_and_recorded_once_for_each_task(there: Holding) -> None:
    other = there.world.start()
    for task in (there.task, there.task, other, there.task):
        keep_account(there.world.adapters, task, UID["bob"])
    assert [one["task"] for one in there.world.events("task-accounted")] == [there.task.id, other.id]


def test_i31_who_approved_and_then_has_the_agent_run_under_their_account_is_not_counted(
    store: Store,
) -> None:
    there = Holding(store, ASKED)
    action = held(there)
    there.say(action, "bob")
    keep_account(there.world.adapters, there.task, UID["bob"])
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")


def test_i31_an_account_of_a_task_above_or_beneath_bars_and_one_of_another_task_does_not(
    here: Holding,
) -> None:
    action = held(here)
    keep_account(here.world.adapters, here.world.start(), UID["bob"])
    keep_account(here.world.adapters, here.child("dora"), UID["carl"])
    with pytest.raises(NotEntitledError):
        here.say(action, "carl")
    here.say(action, "bob")


def test_i31_a_second_account_of_who_controls_the_agent_approves_nothing(here: Holding) -> None:
    register_person(here.world.adapters, "default", "bob-again", uid=2001, actor=ANN)
    link_persons(here.world.adapters, "default", "bob", "bob-again", linked=True, actor=OWNER, owns=True)
    action = held(here)
    keep_account(here.world.adapters, here.task, 2001)
    with pytest.raises(NotEntitledError):
        here.say(action, "bob")
    here.say(action, "carl")


def test_the_account_of_the_requester_confirms_though_the_agent_runs_under_it() -> None:
    here = Holding(sqlite_store(), hold_policy("confirm"))
    action = held(here)
    keep_account(here.world.adapters, here.task, UID["ann"])
    here.say(action, "ann", AnswerKind.CONFIRM)
    assert code_of(here.world.ask(here.task)) == "permit"


def test_what_only_those_could_answer_who_control_the_agent_is_refused_and_not_held(here: Holding) -> None:
    for who in ("bob", "carl", "dora"):
        keep_account(here.world.adapters, here.task, UID[who])
    assert code_of(here.world.ask(here.task)) == "no-approver"


def test_a182_two_accounts_of_one_human_are_one_of_two_and_two_humans_are_two(store: Store) -> None:
    there = Holding(store, TWICE)
    link_persons(there.world.adapters, "default", "bob", "carl", linked=True, actor=OWNER, owns=True)
    action = held(there)
    there.say(action, "bob")
    with pytest.raises(AlreadyAnsweredError):
        there.say(action, "carl")
    assert code_of(there.world.ask(there.task)) == "hold"
    there.say(action, "dora")
    assert code_of(there.world.ask(there.task)) == "permit"
