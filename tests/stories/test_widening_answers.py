"""Who has to answer a widening, and how many: those of the agent, and of each tool that is widened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind, ApprovalOverError, NoApproverError, NotEntitledError
from taskbound.core.approval.amendment import parse_amendment
from taskbound.core.policy import ActiveBundle, DamagedBundleError
from taskbound.core.task import AmendmentDeniedError
from taskbound.core.task.amendment import widened_tools
from tests.peers.holding import hold_policy
from tests.peers.widening import Wide, grants, pay
from tests.sqlite import sqlite_store
from tests.stories.test_approvers import name_for
from tests.stories.test_bundles import edit_force
from tests.stories.test_change import LOOK
from tests.stories.test_widening import differences
from tests.world import scope_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

AGENT, PAY, SEE = "approval:agent", "approval:tool:bank__pay", "approval:tool:bank__look"
TWO = hold_policy("approval:agent:2")


@pytest.fixture
def there(store: Store) -> Wide:
    return Wide(store)


def test_who_approves_for_a_tool_is_asked_too_where_more_of_it_may_be_called(there: Wide) -> None:
    name_for(there.world, "dora")
    asked = there.wish(pay(8))
    assert asked.question.lifters == (AGENT, PAY)
    assert parse_amendment(asked.question.canonical) == asked.question
    said = there.tell(asked, "bob")
    assert (said.state.value, said.missing) == ("pending", f"`{PAY}` has 0 of 1")
    assert there.now() == there.task
    assert there.tell(asked, "dora").state.value == "applied"
    assert there.now().scope == scope_of(grants(pay(8)))
    assert differences(there) == ()


def test_the_word_of_those_of_the_tool_alone_is_not_enough_and_their_denial_is_final(there: Wide) -> None:
    name_for(there.world, "dora")
    asked = there.wish(pay(8))
    assert there.tell(asked, "dora").missing == f"`{AGENT}` has 0 of 1"
    assert there.now() == there.task
    other = there.world.start(scope=grants(pay(5)))
    assert there.tell(there.wish(pay(8), task=other), "dora", AnswerKind.DENY).state.value == "denied"
    with pytest.raises(AmendmentDeniedError):
        there.wish(pay(8), task=other)


def test_one_human_who_approves_for_both_is_both(there: Wide) -> None:
    name_for(there.world, "bob", "dora")
    assert there.widened(pay(8)).state.value == "applied"


def test_who_approves_for_a_tool_of_which_nothing_more_may_be_called_is_not_asked(there: Wide) -> None:
    there.task = there.world.start(scope=grants(pay(5), {**LOOK, "uses": 2}))
    name_for(there.world, "dora")
    asked = there.wish(pay(4), {**LOOK, "uses": 3})
    assert asked.question.lifters == (AGENT,)
    with pytest.raises(NotEntitledError):
        there.tell(asked, "dora")
    assert there.tell(asked, "bob").state.value == "applied"


def test_each_tool_that_is_added_or_widened_has_its_own(there: Wide) -> None:
    name_for(there.world, "dora")
    name_for(there.world, "carl", tool="bank__look")
    asked = there.wish(pay(8), LOOK)
    assert asked.question.lifters == (AGENT, SEE, PAY)
    assert there.tell(asked, "carl").missing == f"`{PAY}` has 0 of 1", "carl approves for the agent too"
    assert there.tell(asked, "dora").state.value == "applied"


def test_where_nobody_is_left_of_those_of_the_tool_nobody_is_asked(there: Wide) -> None:
    name_for(there.world, "ann")
    with pytest.raises(NoApproverError, match="bank__pay"):
        there.wish(pay(8))


@pytest.mark.parametrize("before", ["", "dora"])
@pytest.mark.parametrize("how", ["answer", "sweep"])
def test_where_others_have_to_answer_by_now_it_is_another_question(
    there: Wide, before: str, how: str
) -> None:
    if before:
        name_for(there.world, before)
    asked = there.wish(pay(8))
    name_for(there.world, "carl", tool="bank__look")
    if before:
        set_nobody(there)
    else:
        name_for(there.world, "dora")
    if how == "answer":
        with pytest.raises(ApprovalOverError, match="others have to answer it by now"):
            there.tell(asked, "bob")
    else:
        assert len(there.world.widenings.sweep()) == 1
    kept = there.amendment(asked)
    assert (kept.state.value, kept.reason) == ("superseded", "others have to answer it by now")
    assert there.now() == there.task


def set_nobody(there: Wide) -> None:
    there.world.store.write(lambda tx: tx.tools.put_approvers("default", "bank__pay", None))


def test_as_many_answer_as_a_policy_asks_of_those_of_the_agent(there: Wide) -> None:
    there.rule(TWO)
    asked = there.wish(pay(8))
    assert asked.question.lifters == (f"{AGENT}:2",)
    assert there.tell(asked, "bob").missing == f"`{AGENT}:2` has 1 of 2"
    assert there.tell(asked, "carl").state.value == "applied"


def test_as_many_of_those_of_the_tool_too_and_where_too_few_are_left_nobody_is_asked(there: Wide) -> None:
    there.rule(TWO)
    name_for(there.world, "dora", "carl")
    asked = there.wish(pay(8))
    assert asked.question.lifters == (f"{AGENT}:2", f"{PAY}:2")
    assert parse_amendment(asked.question.canonical) == asked.question
    assert [there.tell(asked, who).state.value for who in ("bob", "carl", "dora")] == [
        "pending",
        "pending",
        "applied",
    ]
    there.approvers("coder", "bob")
    with pytest.raises(NoApproverError, match="needs 2, and 1 may answer"):
        there.wish(pay(9))


def test_what_a_policy_asks_of_a_group_is_no_number_of_those_of_the_agent(there: Wide) -> None:
    there.rule(hold_policy("approval:finance:2"))
    assert there.wish(pay(8)).question.lifters == (AGENT,)


def test_policies_that_are_not_whole_end_it_and_leave_the_round_to_the_others() -> None:
    there = Wide(sqlite_store())
    asked = there.wish(pay(8))
    edit_force(there.world, ActiveBundle(epoch=1, digest="5a" * 32))
    assert [one.amendment for one in there.world.widenings.sweep()] == [asked.question.id]
    assert there.amendment(asked).state.value == "superseded"
    with pytest.raises(DamagedBundleError):
        there.wish(pay(8))


STEPS = {"steps": [{"name": "a", "grants": [pay(9)]}, {"name": "b", "grants": [LOOK]}]}


@pytest.mark.parametrize(
    ("before", "step", "after", "wider"),
    [
        (grants(pay(5)), 0, grants(pay(6)), ["bank__pay"]),
        (grants(pay(5)), 0, grants(pay(5), LOOK), ["bank__look"]),
        (grants(pay(5), LOOK), 0, grants(pay(4), LOOK), ["bank__look", "bank__pay"]),
        (STEPS, 1, grants(LOOK, pay(1)), ["bank__pay"]),
        (STEPS, 1, {"steps": [STEPS["steps"][0], {"name": "b", "grants": [LOOK, pay(1)]}]}, ["bank__pay"]),
        (STEPS, 0, {"steps": [STEPS["steps"][0], {"name": "b", "grants": [LOOK, pay(1)]}]}, ["bank__pay"]),
        (STEPS, 0, {"steps": [STEPS["steps"][1], STEPS["steps"][0]]}, ["bank__look", "bank__pay"]),
    ],
)
def test_the_tools_of_which_more_may_be_called(
    before: dict[str, Any], step: int, after: dict[str, Any], wider: list[str]
) -> None:
    assert list(widened_tools(scope_of(before), step, scope_of(after))) == wider
