from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import (
    AlreadyAnsweredError,
    Answer,
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    NotEntitledError,
    OtherQuestionError,
    StatementTimeError,
    Subject,
    UnknownApprovalError,
)
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.person_key import BadSignatureError, NotStandingError
from taskbound.core.task import TaskEvent
from taskbound.flows.action import Release, explain
from taskbound.flows.approval.hold.holds import HOLD_LIFE
from taskbound.flows.approval.proof.kept import signed
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.decision import strangers
from taskbound.ports.store import AmbiguousCommitError
from tests.peers.holding import ASKED, TWICE, Holding, hold_policy
from tests.peers.people import actor_of
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

DENY = AnswerKind.DENY


@pytest.fixture
def there(store: Store) -> Holding:
    return Holding(store)


@pytest.fixture
def here() -> Holding:
    """On SQLite only: what is asked is no matter of the engine."""
    return Holding(sqlite_store())


def held(there: Holding, **more: object) -> str:
    answer = there.world.ask(there.task, **more)  # type: ignore[arg-type]  # what a call may say
    assert code_of(answer) == "hold"
    return id_of(answer)


def test_an_approved_action_runs_once_under_its_own_id_and_is_refused_or_asked_again_after(
    there: Holding,
) -> None:
    action = held(there)
    before = there.world.left(there.task)
    assert code_of(there.world.ask(there.task)) == "hold"
    assert there.world.left(there.task) == before
    told, lacking = there.say(action, "bob")
    assert (told.state, lacking) == (ApprovalState.APPROVED, "")
    assert there.state(action) == ("held", "approved")
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    assert there.state(action) == ("permitted", "consumed")
    assert there.world.left(there.task) != before
    there.world.tell(action)
    again = there.world.ask(there.task)
    assert code_of(again) == "hold"
    assert id_of(again) != action


def test_each_step_is_in_the_log_with_the_digests_of_what_was_signed(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    there.world.ask(there.task)
    question = there.approval(action).question
    (asked,) = there.world.events("approval-asked")
    (answered,) = there.world.events("approval-answered")
    changes = there.world.events("approval-changed")
    assert (asked["digest"], asked["action"]) == (question.digest, action)
    assert (answered["person"], answered["answer"], answered["digest"]) == ("bob", "approve", question.digest)
    assert [one["after"] for one in changes] == ["approved", "consumed"]
    assert explain(there.world.adapters, "default", action).replay == "same"
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    decided = [one["decision"] for one in there.world.events("action-decided") if one["action"] == action]
    assert decided == ["hold", "permit"]


def test_the_same_call_resumes_the_hold_and_asks_no_second_question(there: Holding) -> None:
    action = held(there)
    assert {held(there) for _ in range(3)} == {action}
    assert len(there.world.events("approval-asked")) == 1


def test_while_one_waits_another_call_asks_anew_and_has_an_approval_of_its_own(there: Holding) -> None:
    first = held(there, wait=60, request="1")
    second = held(there, wait=60, request="2")
    assert first != second
    there.say(second, "bob")
    assert code_of(there.world.ask(there.task, request="1", resume=first)) == "hold"
    answer = there.world.ask(there.task, request="2", resume=second)
    assert (code_of(answer), id_of(answer)) == ("permit", second)
    assert there.state(first) == ("held", "pending")


def test_another_connection_does_not_take_what_the_first_one_waits_for(there: Holding) -> None:
    action = held(there, wait=60, request="1")
    there.say(action, "bob")
    assert id_of(there.world.ask(there.task, connection="con_b")) != action
    assert code_of(there.world.ask(there.task, connection="con_b", resume=action)) == "hold-over"
    there.world.clock.advance(61)
    answer = there.world.ask(there.task, connection="con_b")
    assert (code_of(answer), id_of(answer)) == ("permit", action)


def test_a_denial_is_final_also_for_the_same_call_made_again(there: Holding) -> None:
    action = held(there)
    told, _ = there.say(action, "carl", DENY)
    assert told.state is ApprovalState.DENIED
    assert there.state(action) == ("refused", "denied")
    for who in ("bob", "carl"):
        with pytest.raises(ApprovalOverError):
            there.say(action, who)
    assert code_of(there.world.ask(there.task)) == "approval-denied"
    assert code_of(there.world.ask(there.task, arguments={"to": "bob", "amount": 11})) == "hold"


def test_i36_a_denial_after_enough_have_approved_is_final_too(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    told, _ = there.say(action, "carl", DENY)
    assert told.state is ApprovalState.DENIED
    assert code_of(there.world.ask(there.task, resume=action)) == "hold-over"
    assert code_of(there.world.ask(there.task)) == "approval-denied"


def test_a_question_expires_and_runs_never(there: Holding) -> None:
    there.task = there.world.start(seconds=30 * 3600)
    action = held(there)
    there.say(action, "bob")
    there.world.clock.advance(HOLD_LIFE // 1_000_000)
    assert [one.state for one in there.world.approvals.sweep()] == [ApprovalState.EXPIRED]
    assert there.state(action) == ("expired", "expired")
    assert id_of(there.world.ask(there.task)) != action


def test_what_has_expired_is_not_used_though_nobody_swept(there: Holding) -> None:
    there.task = there.world.start(seconds=30 * 3600)
    action = held(there)
    there.say(action, "bob")
    there.world.clock.advance(HOLD_LIFE // 1_000_000)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("expired", "expired")


def test_law_4_the_end_of_its_task_withdraws_a_question_in_the_same_transaction(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    there.world.tasks.end("default", there.task.id, TaskEvent.COMPLETE, ANN, reason="")
    assert there.state(action) == ("withdrawn", "withdrawn")
    assert there.world.events("approval-changed")[-1]["after"] == "withdrawn"
    with pytest.raises(ApprovalOverError):
        there.say(action, "carl")
    assert code_of(there.world.ask(there.task, resume=action)) == "task-ended"


def test_law_4_a_paused_task_uses_no_approval_and_a_resumed_one_does(there: Holding) -> None:
    action = held(there)
    there.world.tasks.pause("default", there.task.id, ANN, reason="")
    there.say(action, "bob")
    assert code_of(there.world.ask(there.task)) == "task-paused"
    there.world.tasks.resume("default", there.task.id, ANN)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)


def test_a195_a_policy_that_changed_asks_anew_and_one_that_denies_refuses(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    there.rule(hold_policy("approval:finance") + '@id("more") permit (principal, action, resource);')
    answer = there.world.ask(there.task, resume=action)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")
    second = id_of(answer)
    there.say(second, "bob")
    there.rule(hold_policy("approval:finance") + '@id("no") forbid (principal, action, resource);')
    assert code_of(there.world.ask(there.task)) == "forbidden"
    assert [one.state for one in there.world.approvals.sweep()] == [ApprovalState.SUPERSEDED]
    assert there.state(second) == ("withdrawn", "superseded")


def test_a195_suspending_an_agent_withdraws_what_people_were_asked_of_it(there: Holding) -> None:
    action = held(there)
    there.world.agents.suspend("default", "coder", ANN, reason="")
    assert there.state(action) == ("withdrawn", "withdrawn")
    with pytest.raises(ApprovalOverError):
        there.say(action, "bob")


def test_a181_who_left_the_group_between_approving_and_use_is_not_counted(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    there.leave("bob")
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")


def test_a182_two_humans_are_needed_where_two_are_named(store: Store) -> None:
    there = Holding(store, TWICE)
    action = held(there)
    _, lacking = there.say(action, "bob")
    assert lacking == "`approval:finance:2` has 1 of 2"
    with pytest.raises(AlreadyAnsweredError):
        there.say(action, "bob")
    assert code_of(there.world.ask(there.task)) == "hold"
    there.say(action, "carl")
    assert code_of(there.world.ask(there.task)) == "permit"


def test_a_confirmation_is_the_requester_s_and_recorded_as_that(store: Store) -> None:
    there = Holding(store, hold_policy("confirm"))
    action = held(there)
    for who, kind in (("bob", AnswerKind.CONFIRM), ("bob", AnswerKind.APPROVE), ("ann", AnswerKind.APPROVE)):
        with pytest.raises(NotEntitledError):
            there.say(action, who, kind)
    there.say(action, "ann", AnswerKind.CONFIRM)
    assert there.world.events("approval-answered")[0]["answer"] == "confirm"
    assert code_of(there.world.ask(there.task)) == "permit"


def test_a180_who_asked_for_the_task_or_one_beneath_it_approves_nothing(here: Holding) -> None:
    here.groups.set_member("default", "finance", "ann", member=True, actor=ANN, owns=True)
    action = held(here)
    with pytest.raises(NotEntitledError):
        here.say(action, "ann")
    here.child("bob")
    with pytest.raises(NotEntitledError):
        here.say(action, "bob")
    here.say(action, "carl")


def test_a181_an_approver_who_then_asks_for_a_task_beneath_it_is_not_counted(here: Holding) -> None:
    action = held(here)
    here.say(action, "bob")
    here.child("bob")
    assert id_of(here.world.ask(here.task)) != action


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"digest": "00" * 32}, OtherQuestionError),
        ({"question": "apr_other"}, UnknownApprovalError),
        ({"namespace": "acme"}, OtherQuestionError),
        ({"person": "carl"}, NotStandingError),
        ({"key": "key_other"}, NotStandingError),
        ({"at": Instant(1)}, StatementTimeError),
        ({"at": Instant(9_999_999_999_999_999)}, StatementTimeError),
    ],
)
def test_a198_a_statement_of_anything_else_answers_nothing(
    here: Holding, changes: dict[str, Any], error: type[TaskboundError]
) -> None:
    action = held(here)
    with pytest.raises(error):
        here.say(action, "bob", **changes)
    assert here.state(action) == ("held", "pending")
    assert not here.world.events("approval-answered")


def test_a_signature_is_over_exactly_the_statement_and_by_the_named_key(here: Holding) -> None:
    action = held(here)
    raw = here.statement(action, "bob")
    deny = here.statement(action, "bob", DENY)
    for statement, signature in (
        (raw, here.devices["carl"][1].sign(raw)),
        (raw, here.devices["bob"][1].sign(deny)),
        (raw, b""),
    ):
        with pytest.raises(BadSignatureError):
            here.world.approvals.answer("default", statement, signature)
    with pytest.raises(BadStatementError):
        here.world.approvals.answer("default", raw + b" ", here.devices["bob"][1].sign(raw + b" "))
    assert here.state(action) == ("held", "pending")


def test_a177_an_approval_of_one_action_is_not_used_for_another(here: Holding) -> None:
    action = held(here)
    other = held(here, arguments={"to": "eve", "amount": 10})
    here.say(action, "bob")
    assert code_of(here.world.ask(here.task, arguments={"to": "eve", "amount": 10})) == "hold"
    answer = here.world.ask(here.task, arguments={"to": "eve", "amount": 10}, resume=action)
    assert code_of(answer) == "hold-over"
    assert here.state(other) == ("held", "pending")


@pytest.mark.parametrize("amount", [b"10.0", b'"10"', b"1e1", b"010", b"10 "])
def test_a183_ten_written_otherwise_uses_no_approval_of_ten(here: Holding, amount: bytes) -> None:
    action = held(here)
    here.say(action, "bob")
    raw = b'{"amount":%b,"to":"bob"}' % amount
    assert code_of(here.world.ask(here.task, arguments=raw)) != "permit"
    assert here.state(action) == ("held", "approved")


def test_a193_what_nobody_may_answer_is_refused_and_not_held(here: Holding) -> None:
    for who in ("bob", "carl", "dora"):
        here.leave(who)
    assert code_of(here.world.ask(here.task)) == "no-approver"


@pytest.mark.parametrize("lifter", ["evidence:ticket", "evidence:words"])
def test_what_can_not_be_given_here_is_refused_and_not_held(lifter: str) -> None:
    here = Holding(sqlite_store(), hold_policy(lifter))
    assert code_of(here.world.ask(here.task)) == "not-liftable"


def test_law_6_what_is_too_long_to_be_shown_is_refused_and_not_held(here: Holding) -> None:
    wide = {"grants": [{"tool": "bank__pay", "others": "any"}]}
    here.task = here.world.start(scope=wide)
    long = {"to": "bob", "amount": 10, "note": "x" * 40_000}
    assert code_of(here.world.ask(here.task, arguments=long)) == "too-long-to-show"
    assert code_of(here.world.ask(here.task, arguments=long | {"note": ["x"] * 500})) == "too-long-to-show"
    assert code_of(here.world.ask(here.task, arguments=long | {"note": "x" * 8000})) == "hold"


def test_a189_a_task_has_so_many_open_questions_and_no_more(here: Holding) -> None:
    wide = {"grants": [{"tool": "bank__pay", "others": "any"}]}
    here.task = here.world.start(scope=wide)
    codes = [code_of(here.world.ask(here.task, arguments={"to": "bob", "amount": one})) for one in range(22)]
    assert codes == ["hold"] * 20 + ["too-many-holds", "task-paused"]


def test_an_approval_is_not_given_back_when_the_permit_was_not_used(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    left = there.world.left(there.task)
    assert code_of(there.world.ask(there.task)) == "permit"
    there.world.tell(action, "not-sent", None)
    assert there.world.left(there.task) == left
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)


def test_i_30_after_an_unknown_outcome_the_same_act_asks_again(there: Holding) -> None:
    action = held(there)
    there.say(action, "bob")
    assert code_of(there.world.ask(there.task)) == "permit"
    there.world.tell(action, "unknown", None)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)


def test_a_limit_that_is_used_up_meanwhile_leaves_the_approval_unused(there: Holding) -> None:
    there.task = there.world.start(scope={"grants": [{"tool": "bank__pay", "others": "any", "uses": 1}]})
    action = held(there)
    other = held(there, arguments={"to": "eve", "amount": 1})
    there.say(action, "bob")
    there.say(other, "bob")
    assert code_of(there.world.ask(there.task, arguments={"to": "eve", "amount": 1})) == "permit"
    assert code_of(there.world.ask(there.task)) == "exhausted"
    assert there.state(action) == ("held", "approved")


def test_the_requester_and_the_owner_withdraw_and_nobody_else(here: Holding) -> None:
    action = held(here)
    name = here.approval(action).question.id
    with pytest.raises(NotEntitledError):
        here.world.approvals.withdraw("default", name, actor_of("bob"), reason="")
    here.world.approvals.withdraw("default", name, ANN, reason="not needed")
    assert here.state(action) == ("withdrawn", "withdrawn")
    with pytest.raises(ApprovalOverError):
        here.world.approvals.withdraw("default", name, ANN, reason="")
    with pytest.raises(UnknownApprovalError):
        here.world.approvals.withdraw("default", "apr_none", ANN, reason="")


def test_a_connection_that_is_lost_withdraws_what_it_asked_for_and_nothing_else(there: Holding) -> None:
    mine = held(there, connection="con_a")
    other = held(there, connection="con_b", arguments={"to": "eve", "amount": 1})
    told = there.world.approvals.leave("default", "con_a", reason="the client went away")
    assert [one.action for one in told] == [mine]
    assert there.state(mine) == ("withdrawn", "withdrawn")
    assert there.state(other) == ("held", "pending")
    assert there.world.approvals.leave("default", "con_a", reason="again") == []


def test_whoever_waits_for_an_answer_when_the_daemon_starts_is_lost_until_it_is_back(there: Holding) -> None:
    action = held(there, connection="con_a")
    other = held(there, connection="con_b", arguments={"to": "eve", "amount": 1})
    there.say(other, "carl", DENY)
    with there.world.store.read() as snapshot:
        assert strangers(snapshot) == {("default", "con_a")}
    there.say(action, "bob")
    with there.world.store.read() as snapshot:
        assert strangers(snapshot) == {("default", "con_a")}


def test_f3_an_ambiguous_commit_of_a_lifted_hold_is_looked_up_under_the_held_actions_id(
    there: Holding,
) -> None:
    action = held(there)
    there.say(action, "bob")
    write = there.world.store.write

    def lost_after(work: Any, **more: Any) -> Any:
        there.world.store.write = write  # type: ignore[method-assign]  # the seam of this story
        write(work, **more)
        raise AmbiguousCommitError("lost after")

    there.world.store.write = lost_after  # type: ignore[method-assign]  # the seam of this story
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    assert there.world.tell(action) == Release(action=action)


def test_f3_a_commit_that_did_not_happen_is_not_taken_for_the_one_that_lifted_the_hold_meanwhile(
    there: Holding,
) -> None:
    action = held(there)
    there.say(action, "bob")
    write = there.world.store.write
    others: list[Any] = []

    def lost_before(work: Any, **more: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            write(lambda tx: [work(tx), 1 // 0], **more)  # it got as far as the commit
        there.world.store.write = write  # type: ignore[method-assign]  # the seam of this story
        others.append(there.world.beside().ask(there.task, connection="con_b", request="b"))
        raise AmbiguousCommitError("lost before")

    there.world.store.write = lost_before  # type: ignore[method-assign]  # the seam of this story
    answer = there.world.ask(there.task)
    assert [(code_of(one), id_of(one)) for one in others] == [("permit", action)]
    assert code_of(answer) == "hold"
    assert id_of(answer) != action


def test_a_question_that_asked_fewer_people_than_policy_wants_now_is_not_used(store: Store) -> None:
    later = (
        '@id("late") @hold("approval:finance:2") forbid (principal, action == Taskbound::Action::"bank__pay",'
        " resource) when { context.task.age >= 60 };"
    )
    there = Holding(store, policy=ASKED + later)
    action = held(there)
    there.say(action, "bob")
    there.world.clock.advance(61)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) != action) == ("hold", True)
    assert there.state(action) == ("withdrawn", "superseded")
    assert there.approval(id_of(answer)).question.lifters == ("approval:finance", "approval:finance:2")


def test_a_copied_device_that_counts_back_approves_nothing(there: Holding) -> None:
    first, second = held(there, request="1"), held(there, request="2", arguments={"to": "bob", "amount": 11})
    there.say(first, "bob")
    there.devices["bob"][1].counter = 0
    with pytest.raises(BadSignatureError):
        there.say(second, "bob")
    assert there.state(second) == ("held", "pending")


@pytest.mark.parametrize("subject", [Subject.PLAN, Subject.AMENDMENT])
def test_what_was_signed_about_something_else_answers_no_action(here: Holding, subject: Subject) -> None:
    action = held(here)
    with pytest.raises(OtherQuestionError):
        here.say(action, "bob", subject=subject)
    raw = here.statement(action, "bob", subject=subject)
    forged = Answer(
        kind=AnswerKind.APPROVE,
        person="bob",
        key=here.devices["bob"][0].id,
        at=Instant(here.world.clock.at),
        received=Instant(here.world.clock.at),
        statement=raw,
        signature=here.devices["bob"][1].sign(raw),
    )
    name = here.approval(action).question.id
    here.world.store.write(lambda tx: tx.approvals.put_answer("default", name, forged))
    with here.world.store.read() as snapshot:
        counted = signed(
            here.approval(action).question,
            here.approval(action).answers,
            {one.id: one for one in snapshot.identities.person_keys("default")},
            here.world.adapters.signatures,
        )
    assert counted == ()
