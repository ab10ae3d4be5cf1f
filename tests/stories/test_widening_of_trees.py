from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import Answer, AnswerKind, ApprovalOverError, Subject
from taskbound.core.clock import Instant
from taskbound.core.identity.person_key import CountsBackError, NotStandingError
from taskbound.core.task import (
    OutsideParentError,
    TaskEvent,
)
from taskbound.flows.approval.amendment import amendment_circle
from taskbound.flows.approval.circle import see_people
from taskbound.flows.identity.person import withdraw
from tests.peers.holding import ASKED
from tests.peers.people import actor_of
from tests.peers.widening import Wide, grants, pay
from tests.stories.test_change import LOOK, STEPS
from tests.stories.test_covered_retries import failed
from tests.stories.test_widening import differences, paid
from tests.world import ANN, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

DORA = actor_of("dora")


@pytest.fixture
def there(store: Store) -> Wide:
    return Wide(store)


def test_law_3_a_child_is_widened_out_of_its_parent_and_no_further(there: Wide) -> None:
    world = there.world
    parent = world.start(scope=grants(pay(6)))
    child = world.delegate(parent, scope=scope_of(grants(pay(2))))
    assert paid(there, child) == "permit"
    there.widened(pay(5), task=child)
    assert (world.left(child), world.left(parent)) == ({"g0/uses": 4}, {"g0/uses": 1})
    with pytest.raises(OutsideParentError):
        there.wish(pay(7), task=world.task(child))
    world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert world.left(parent) == {"g0/uses": 5}
    assert differences(there) == ()


def test_law_3_what_the_parent_has_given_away_meanwhile_is_not_given_again(there: Wide) -> None:
    world = there.world
    parent = world.start(scope=grants(pay(6)))
    child = world.delegate(parent, scope=scope_of(grants(pay(2))))
    asked = there.wish(pay(5), task=child)
    world.delegate(parent, scope=scope_of(grants(pay(3))))
    said = there.tell(asked, "bob")
    assert (said.state.value, "has too little left" in said.reason) == ("superseded", True)
    assert (world.left(child), world.left(parent)) == ({"g0/uses": 2}, {"g0/uses": 1})


def test_law_3_a_child_is_not_widened_past_the_ceiling_of_an_agent_above(there: Wide) -> None:
    world = there.world
    parent = world.start(scope=grants(pay(6), LOOK))
    child = world.delegate(parent, scope=scope_of(grants(pay(2))))
    asked = there.wish(pay(2), LOOK, task=child)
    world.agents.set_ceiling("default", "coder", scope_of(grants(pay())), ANN)
    said = there.tell(asked, "bob")
    assert said.state.value == "superseded"
    assert "ceiling of agent `coder`, whose task is above" in said.reason


def test_children_keep_what_they_have_and_their_parent_has_the_rest(there: Wide) -> None:
    world = there.world
    child = world.delegate(there.task, scope=scope_of(grants(pay(3))))
    assert [paid(there, child), paid(there)] == ["permit", "permit"]
    there.widened(pay(9))
    assert (world.left(child), world.left(there.task)) == ({"g0/uses": 2}, {"g0/uses": 5})
    assert world.task(child).scope == child.scope
    world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert world.left(there.task) == {"g0/uses": 7}
    assert differences(there) == ()


def test_what_a_mixed_one_leaves_uncovered_beneath_ends_and_is_told(there: Wide) -> None:
    world = there.world
    parent = world.start(scope=grants(pay(5), LOOK))
    child = world.delegate(parent, scope=scope_of(grants(LOOK)))
    said = there.widened(pay(9), task=parent)
    assert [one.task for one in said.ended] == [child.id]
    assert differences(there) == ()


def test_law_3_no_row_of_narrowing_and_widening_gives_back_what_was_used(there: Wide) -> None:
    world = there.world
    there.task = world.start(scope=grants(pay(10)))
    assert [paid(there) for _ in range(5)] == ["permit"] * 5
    world.changes.amend("default", there.task.id, scope_of(grants(pay(2))), ANN)
    assert paid(there) == "exhausted"
    there.widened(pay(6))
    assert world.left(there.task) == {"g0/uses": 1}
    world.changes.amend("default", there.task.id, scope_of(grants(pay(1))), ANN)
    there.widened(pay(10))
    assert world.left(there.task) == {"g0/uses": 5}
    assert differences(there) == ()


def test_law_3_what_was_used_of_one_grant_is_taken_off_what_takes_its_place(there: Wide) -> None:
    world = there.world
    to_bob, to_both = ({"to": {"equals": "bob"}}, {"to": {"one_of": ["bob", "eve"]}})
    there.task = world.start(scope=grants(pay(5, arguments=to_bob)))
    assert [paid(there) for _ in range(3)] == ["permit"] * 3
    there.widened(pay(8, arguments=to_both), pay(4, arguments={"to": {"equals": "carl"}}))
    assert world.left(there.task) == {"g0/uses": 5, "g1/uses": 4}, "carl's shares no call with bob's"


def test_law_3_totals_count_on_in_the_units_of_the_new_one(there: Wide) -> None:
    world = there.world
    money: dict[str, Any] = {"arguments": {"amount": {"any": True}}}
    there.task = world.start(scope=grants(pay(total={"amount": {"limit": 1000, "exponent": 2}}, **money)))
    assert paid(there, amount=2.5) == "permit"
    there.widened(pay(total={"amount": {"limit": 40, "exponent": 0}}, **money))
    assert world.left(there.task) == {"g0/total/amount": 37}


def test_law_3_a_wider_rate_goes_on_in_its_window(there: Wide) -> None:
    there.task = there.world.start(scope=grants(pay(rate={"uses": 2, "seconds": 60})))
    assert [paid(there) for _ in range(3)] == ["permit", "permit", "exhausted"]
    there.widened(pay(rate={"uses": 3, "seconds": 60}))
    assert [paid(there) for _ in range(2)] == ["permit", "exhausted"]


def test_law_3_what_a_step_dropped_counts_when_it_comes_back(there: Wide) -> None:
    world = there.world
    steps = {"steps": [{"name": "one", "grants": [pay(5)]}, {"name": "two", "grants": [LOOK]}]}
    there.task = world.start(scope=steps)
    assert [paid(there) for _ in range(4)] == ["permit"] * 4
    world.changes.step("default", there.task.id, "", ANN)
    assert paid(there) == "outside-scope"
    there.tell(there.wish(LOOK, pay(6)), "bob")
    assert [paid(there) for _ in range(3)] == ["permit", "permit", "exhausted"]


def test_a_task_whose_steps_have_the_same_names_stays_in_its_step(there: Wide) -> None:
    world = there.world
    there.task = world.start(scope=STEPS)
    world.changes.step("default", there.task.id, "", ANN)
    assert paid(there) == "permit"
    wider = {"steps": [STEPS["steps"][0], {"name": "pay", "grants": [pay(3)]}, STEPS["steps"][2]]}
    there.tell(there.wish(scope=wider), "bob")
    assert there.now().step == 1
    assert [paid(there) for _ in range(3)] == ["permit", "permit", "exhausted"]
    assert differences(there) == ()


def test_held_calls_of_the_task_are_asked_anew_since_the_scope_is_another_one(store: Store) -> None:
    there = Wide(store)
    there.rule(ASKED)
    held = there.world.ask(there.task)
    assert code_of(held) == "hold"
    there.widened(pay(8))
    (told,) = there.world.approvals.sweep()
    assert (told.state.value, told.reason) == ("superseded", "the scope of its task is another one now")


def test_a_scope_that_came_back_before_anybody_looked_is_another_one_for_what_is_held(store: Store) -> None:
    there = Wide(store)
    there.rule(ASKED)
    held = id_of(there.world.ask(there.task))
    there.widened(pay(8))
    there.world.changes.amend("default", there.task.id, there.task.scope, ANN)
    assert there.now().scope == there.task.scope
    with pytest.raises(ApprovalOverError, match="was given its scope anew since"):
        there.say(held, "bob")
    assert there.state(held)[1] == "superseded"
    anew = there.approval(id_of(there.world.ask(there.task)))
    assert (anew.state.value, anew.question.edition) == ("pending", 3)
    assert there.world.events("approval-asked")[-1]["edition"] == 3
    assert differences(there) == ()


def test_a_scope_that_came_back_is_another_one_for_what_is_presented_again(there: Wide) -> None:
    there.rule(ASKED)
    held = id_of(there.world.ask(there.task))
    there.say(held, "bob")
    there.widened(pay(8))
    there.world.changes.amend("default", there.task.id, there.task.scope, ANN)
    assert code_of(there.world.ask(there.task)) == "hold"
    assert there.state(held)[1] == "superseded"


@pytest.mark.parametrize(("amended", "code"), [(False, "permit"), (True, "hold")])
def test_law_7_an_approval_covers_no_retry_once_the_scope_was_given_anew(
    store: Store,
    amended: bool,  # noqa: FBT001 - drawn by its name
    code: str,
) -> None:
    there = Wide(store)
    there.rule(ASKED)
    failed(there)
    if amended:
        there.widened(pay(8))
        there.world.changes.amend("default", there.task.id, there.task.scope, ANN)
    assert code_of(there.world.ask(there.task)) == code


def test_law_4_the_end_of_a_task_withdraws_its_amendment_in_the_same_transaction(there: Wide) -> None:
    child = there.world.delegate(there.task, scope=scope_of(grants(pay(2))))
    asked, below = there.wish(pay(8)), there.wish(pay(3), task=child)
    there.world.tasks.end("default", there.task.id, TaskEvent.COMPLETE, ANN, reason="")
    for one in (asked, below):
        assert there.amendment(one).state.value == "withdrawn", "nobody has swept"
    assert differences(there) == ()


def test_a_child_that_an_amendment_above_ends_takes_its_own_amendment_along(there: Wide) -> None:
    there.task = there.world.start(scope=grants(pay(5), LOOK))
    child = there.world.delegate(there.task, scope=scope_of(grants({**LOOK, "uses": 1})))
    below = there.wish({**LOOK, "uses": 2}, task=child)
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(5))), ANN)
    assert there.amendment(below).state.value == "withdrawn"


def test_law_3_a_call_that_was_not_sent_gives_nothing_back_to_a_scope_that_came_back(there: Wide) -> None:
    world = there.world
    to_bob, to_eve = ({"to": {"equals": name}, "amount": {"any": True}} for name in ("bob", "eve"))
    there.task = world.start(scope=grants(pay(2, arguments=to_bob)))
    early = id_of(world.ask(there.task, arguments={"to": "bob", "amount": 1}))
    there.widened(pay(2, arguments=to_eve))
    there.widened(pay(2, arguments=to_bob))
    assert (there.now().scope, world.left(there.task)) == (there.task.scope, {"g0/uses": 1})
    world.tell(early, "not-sent", None)
    assert world.left(there.task) == {"g0/uses": 1}
    late = id_of(world.ask(there.task, arguments={"to": "bob", "amount": 1}))
    world.tell(late, "not-sent", None)
    assert world.left(there.task) == {"g0/uses": 1}
    assert differences(there) == ()


# Keys and signatures, as for held actions.


def test_a_copied_device_that_counts_back_approves_nothing(there: Wide) -> None:
    there.widened(pay(8))
    there.devices["bob"][1].counter = 0
    asked = there.wish(pay(9))
    with pytest.raises(CountsBackError):
        there.tell(asked, "bob")
    assert there.amendment(asked).state.value == "pending"


def test_a_key_that_was_withdrawn_answers_nothing_any_more(there: Wide) -> None:
    asked = there.wish(pay(8))
    withdraw(
        there.world.adapters, "default", there.devices["bob"][0].id, actor_of("bob"), owns=False, reason=""
    )
    with pytest.raises(NotStandingError):
        there.tell(asked, "bob")
    assert there.amendment(asked).answers == ()


@pytest.mark.parametrize("subject", [Subject.ACTION, Subject.PLAN])
def test_a198_an_answer_in_the_store_that_was_signed_about_something_else_counts_for_nothing(
    there: Wide, subject: Subject
) -> None:
    asked = there.wish(pay(8))
    raw, signature = there.word(asked, "bob", subject=subject)
    said = Answer(
        kind=AnswerKind.APPROVE,
        person="bob",
        key=there.devices["bob"][0].id,
        at=Instant(there.world.clock.at),
        received=Instant(there.world.clock.at),
        statement=raw,
        signature=signature,
    )
    there.world.store.write(lambda tx: tx.amendments.put_answer("default", asked.question.id, said))
    kept = there.amendment(asked)
    with there.world.store.read() as snapshot:
        people = see_people(snapshot, "default", there.world.clock.now())
        circle = amendment_circle(snapshot, people, there.task, "ann")
        now = there.world.clock.now()
        lacking = people.lacking(kept.question, kept.answers, circle, there.world.adapters, now)
    assert (len(kept.answers), lacking) == (1, "`approval:agent` has 0 of 1")
