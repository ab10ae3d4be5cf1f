from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import (
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    NarrowedRefusedError,
    NotEntitledError,
    NotNarrowerError,
    OtherQuestionError,
)
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person_key import BadSignatureError
from taskbound.core.task import TaskEvent
from taskbound.flows.action import explain
from taskbound.flows.approval.proof.kept import signed
from taskbound.flows.audit.rows import compare_rows
from tests.peers.holding import ASKED, TWICE, Holding
from tests.peers.people import actor_of
from tests.sqlite import sqlite_store
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Question
    from taskbound.ports.store import Store

FULL: dict[str, JsonValue] = {"to": "bob", "amount": 10}
LESS: dict[str, JsonValue] = {"to": "bob", "amount": 4}
LEAST: dict[str, JsonValue] = {"to": "bob", "amount": 1}


def rule(name: str, when: str, lifter: str = "") -> str:
    held = f'@hold("{lifter}")' if lifter else ""
    return (
        f'@id("{name}") {held} forbid (principal, action == Taskbound::Action::"bank__pay", resource)'
        f" when {{ context.arguments.amount.{when} }};"
    )


def above(amount: int, lifter: str = "approval:finance") -> str:
    """Payments of more than this wait for people."""
    return base_bundle() + rule("large", f'greaterThan(decimal("{amount}.0"))', lifter)


def below(amount: int, lifter: str = "") -> str:
    return rule("small", f'lessThan(decimal("{amount}.0"))', lifter)


@pytest.fixture
def there(store: Store) -> Holding:
    return Holding(store)


@pytest.fixture
def here() -> Holding:
    """On SQLite only: what is asked is no matter of the engine."""
    return Holding(sqlite_store())


def held(there: Holding, arguments: Any = FULL, **more: Any) -> str:
    answer = there.world.ask(there.task, arguments=arguments, **more)
    assert code_of(answer) == "hold"
    return id_of(answer)


def presented(there: Holding, action: str, arguments: Any = LESS, **more: Any) -> Any:
    """The call as a gateway presents it that was told what it was narrowed to."""
    return there.world.ask(there.task, arguments=arguments, resume=action, **more)


def test_a_narrowed_action_runs_once_instead_of_the_held_one_and_is_an_action_of_its_own(
    there: Holding,
) -> None:
    action = held(there, wait=60, request="first")
    done = there.narrow(action, "bob", LESS)
    less = done.instead.action
    assert (done.held.state, done.instead.state) == (ApprovalState.NARROWED, ApprovalState.APPROVED)
    assert (done.missing, done.held.connection) == ("", "con_a")
    assert there.state(action) == ("refused", "narrowed")
    assert there.state(less) == ("held", "approved")
    told = there.world.ask(there.task, arguments=FULL, request="first", resume=action)
    assert (code_of(told), id_of(told)) == ("narrowed", less)
    permit = presented(there, less, request="first")
    assert (code_of(permit), id_of(permit)) == ("permit", less)
    assert there.state(less) == ("permitted", "consumed")
    assert there.world.left(there.task)["g0/total/amount"] == 10000 - 400
    there.world.tell(less)
    assert code_of(presented(there, less, request="second")) == "hold-over"
    assert code_of(there.world.ask(there.task, arguments=FULL)) == "approval-narrowed"
    again = there.world.ask(there.task, arguments=LESS)
    assert (code_of(again), id_of(again) in {action, less}) == ("hold", False)


def test_both_digests_are_in_what_was_signed_in_the_question_and_in_the_log(there: Holding) -> None:
    action = held(there)
    raw, signature, arguments = there.narrowing(action, "bob", LESS)
    less = there.world.narrow(raw, signature, arguments).instead.action
    first, second = there.approval(action), there.approval(less)
    assert second.question.narrows == first.question.digest
    assert first.question.digest.encode() in raw
    assert second.question.act.encode() in raw
    assert [one.kind for one in first.answers] == [AnswerKind.NARROW]
    assert [(one.kind, one.statement) for one in second.answers] == [(AnswerKind.APPROVE, raw)]
    (event,) = there.world.events("approval-narrowed")
    assert (event["action"], event["digest"]) == (action, first.question.digest)
    assert (event["narrowed"], event["narrowed_act"]) == (less, second.question.act)
    assert (event["person"], event["changed"]) == ("bob", ["amount"])
    presented(there, less)
    changes = [(one["action"], one["after"]) for one in there.world.events("approval-changed")]
    assert changes == [(action, "narrowed"), (less, "approved"), (less, "consumed")]
    decided = [(one["action"], one["decision"]) for one in there.world.events("action-decided")]
    assert decided == [(action, "hold"), (less, "hold"), (less, "permit")]
    assert explain(there.world.adapters, "default", action).replay == "same"
    assert explain(there.world.adapters, "default", less).replay == "same"
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_with_a_quorum_the_others_answer_about_the_narrower_one(there: Holding) -> None:
    there.rule(TWICE)
    action = held(there)
    there.say(action, "carl")
    done = there.narrow(action, "bob", LESS)
    assert (done.instead.state, done.missing) == (ApprovalState.PENDING, "`approval:finance:2` has 1 of 2")
    with pytest.raises(ApprovalOverError):
        there.say(action, "dora")
    assert code_of(presented(there, done.instead.action)) == "hold"
    there.say(done.instead.action, "carl")
    assert code_of(presented(there, done.instead.action)) == "permit"


def test_what_was_narrowed_can_be_narrowed_again_and_the_call_is_told_of_the_last(here: Holding) -> None:
    here.rule(TWICE)
    action = held(here)
    first = here.narrow(action, "bob", LESS).instead.action
    last = here.narrow(first, "carl", LEAST)
    assert last.missing == "`approval:finance:2` has 1 of 2"
    assert id_of(here.world.ask(here.task, arguments=FULL)) == last.instead.action
    assert id_of(presented(here, first)) == last.instead.action
    here.say(last.instead.action, "bob")
    assert code_of(presented(here, last.instead.action, LEAST)) == "permit"
    assert here.state(first) == ("refused", "narrowed")


def test_a_denial_of_the_narrower_one_is_final_for_both(here: Holding) -> None:
    here.rule(TWICE)
    action = held(here)
    less = here.narrow(action, "bob", LESS).instead.action
    here.say(less, "carl", AnswerKind.DENY)
    assert code_of(presented(here, less)) == "hold-over"
    assert code_of(here.world.ask(here.task, arguments=LESS)) == "approval-denied"
    assert code_of(here.world.ask(here.task, arguments=FULL)) == "approval-narrowed"


def test_what_was_denied_before_is_not_narrowed_to(here: Holding) -> None:
    here.say(held(here, LESS), "carl", AnswerKind.DENY)
    action = held(here)
    with pytest.raises(NarrowedRefusedError, match="approval-denied"):
        here.narrow(action, "bob", LESS)
    assert here.state(action) == ("held", "pending")


def test_where_policy_would_permit_less_without_a_word_it_runs_by_the_answer_and_once(
    there: Holding,
) -> None:
    there.rule(above(5))
    action = held(there)
    less = there.narrow(action, "bob", LESS).instead.action
    assert there.approval(less).question.lifters == ("approval:finance",)
    permit = presented(there, less)
    assert (code_of(permit), id_of(permit)) == ("permit", less)
    assert code_of(presented(there, less)) == "hold-over"
    assert explain(there.world.adapters, "default", less).replay == "same"


@pytest.mark.parametrize("how", ["withdrawn", "denied", "expired", "ended", "missing"])
def test_what_is_not_answered_does_not_run_though_policy_would_permit_it(how: str, here: Holding) -> None:
    here.rule(above(5, "approval:finance:2"))
    action = held(here)
    less = here.narrow(action, "bob", LESS).instead.action
    code = "hold-over"
    match how:
        case "withdrawn":
            here.world.approvals.withdraw("default", here.approval(less).question.id, ANN, reason="")
        case "denied":
            here.say(less, "carl", AnswerKind.DENY)
        case "expired":
            here.world.clock.at = here.approval(less).question.deadline
            here.world.approvals.sweep()
            code = "task-expired"
        case "ended":
            here.world.tasks.end("default", here.task.id, TaskEvent.CANCEL, ANN, reason="")
            code = "task-ended"
        case _:
            code = "hold"
    assert code_of(presented(here, less)) == code
    assert here.world.events("action-decided")[-1]["decision"] != "permit"


def test_a_call_that_waits_for_what_is_over_runs_no_more_when_policy_would_permit_it(here: Holding) -> None:
    action = held(here, wait=60, request="first")
    here.say(action, "carl", AnswerKind.DENY)
    here.rule(base_bundle())
    again = here.world.ask(here.task, arguments=FULL, request="first", resume=action)
    assert code_of(again) == "hold-over"
    assert code_of(here.world.ask(here.task, arguments=FULL)) == "permit"


WIDER: dict[str, dict[str, JsonValue]] = {
    "more": {"to": "bob", "amount": 11},
    "the same": FULL,
    "to another": {"to": "eve", "amount": 4},
    "with a note": {"to": "bob", "amount": 4, "note": ""},
    "without a receiver": {"amount": 4},
    "as text": {"to": "bob", "amount": "4"},
}


@pytest.mark.parametrize("what", WIDER)
def test_nothing_is_narrowed_to_more_or_to_something_else(what: str, here: Holding) -> None:
    action = held(here)
    with pytest.raises(NotNarrowerError):
        here.narrow(action, "bob", WIDER[what])
    assert here.state(action) == ("held", "pending")
    assert len(here.world.events("action-decided")) == 1
    assert here.narrow(action, "bob", LESS).instead.state is ApprovalState.APPROVED


@pytest.mark.parametrize(
    "arguments",
    [
        b'{"amount":4.0,"to":"bob"}',
        b'{"amount":4,"amount":9,"to":"bob"}',
        b'{"to":"bob","amount":4}',
        b'{"amount":4,"to":"bob"} ',
        b'{"amount":04,"to":"bob"}',
        b'{"amount":4,"to":"bob"}{}',
        b'{"amount":NaN,"to":"bob"}',
        b"[4]",
        b"",
    ],
)
def test_a_narrower_action_is_read_as_strictly_as_a_call(arguments: bytes, here: Holding) -> None:
    action = held(here)
    with pytest.raises(MalformedError):
        here.narrow(action, "bob", arguments)
    assert here.state(action) == ("held", "pending")


def test_what_is_signed_is_what_is_brought_and_of_this_question_by_somebody_who_may(here: Holding) -> None:
    action = held(here)
    raw, signature, arguments = here.narrowing(action, "bob", LESS)
    bob, carl = (here.devices[name][0].id.encode() for name in ("bob", "carl"))
    narrow = here.world.narrow
    with pytest.raises(OtherQuestionError, match="another action"):
        narrow(raw, signature, here.narrowing(action, "bob", LEAST)[2])
    with pytest.raises(BadSignatureError):
        narrow(raw.replace(b"bob", b"carl").replace(bob, carl), signature, arguments)
    for changes in ({"digest": "00" * 32}, {"namespace": "other"}, {"narrowed": "00" * 32}):
        with pytest.raises(OtherQuestionError):
            here.narrow(action, "bob", LESS, **changes)
    with pytest.raises(NotEntitledError):
        here.narrow(action, "ann", LESS)
    with pytest.raises(BadStatementError):
        here.world.approvals.answer("default", raw, signature)
    approve = here.statement(action, "bob")
    with pytest.raises(BadStatementError):
        narrow(approve, here.devices["bob"][1].sign(approve), arguments)
    assert here.state(action) == ("held", "pending")
    assert narrow(raw, signature, arguments).instead.state is ApprovalState.APPROVED
    with pytest.raises(ApprovalOverError):
        narrow(raw, signature, arguments)


def test_who_left_the_group_narrows_nothing_and_their_narrowing_counts_no_more(here: Holding) -> None:
    action, other = held(here), held(here, {"to": "bob", "amount": 9})
    less = here.narrow(action, "bob", LESS).instead.action
    here.leave("bob")
    assert code_of(presented(here, less)) == "hold-over"
    assert here.state(less)[1] == "superseded"
    with pytest.raises(NotEntitledError):
        here.narrow(other, "bob", LESS)


def test_the_requester_confirms_by_narrowing_where_policy_asks_for_their_word(here: Holding) -> None:
    here.rule(ASKED.replace("approval:finance", "confirm"))
    action = held(here)
    less = here.narrow(action, "ann", LESS).instead.action
    assert [one.kind for one in here.approval(less).answers] == [AnswerKind.CONFIRM]
    assert code_of(presented(here, less)) == "permit"


def test_where_policy_asks_others_about_less_whoever_narrows_has_not_answered_for_them(here: Holding) -> None:
    here.groups.add("default", "board", ANN, owns=True)
    here.groups.set_member("default", "board", "carl", member=True, actor=actor_of("ann"), owns=True)
    here.rule(above(5) + below(5, "approval:board"))
    done = here.narrow(held(here), "bob", LESS)
    assert (done.instead.state, done.missing) == (ApprovalState.PENDING, "`approval:board` has 0 of 1")
    assert here.approval(done.instead.action).answers == ()
    here.say(done.instead.action, "carl")
    assert code_of(presented(here, done.instead.action)) == "permit"


def test_what_policy_forbids_is_not_narrowed_to_and_what_was_asked_goes_on(here: Holding) -> None:
    here.rule(above(5) + below(5))
    action = held(here)
    with pytest.raises(NarrowedRefusedError, match="forbidden"):
        here.narrow(action, "bob", LESS)
    here.say(action, "bob")
    assert id_of(presented(here, action, FULL)) == action
    assert here.state(action) == ("permitted", "consumed")


def test_a_narrowing_gives_no_more_time_and_takes_the_room_of_what_it_ends(here: Holding) -> None:
    action = held(here)
    here.world.clock.advance(600)
    for amount in range(20, 39):
        held(here, {"to": "bob", "amount": amount})
    assert code_of(here.world.ask(here.task, arguments={"to": "bob", "amount": 39})) == "too-many-holds"
    here.world.tasks.resume("default", here.task.id, ANN)  # who asks too much is paused
    less = here.narrow(action, "bob", LESS).instead.action
    assert here.approval(less).question.deadline == here.approval(action).question.deadline
    assert code_of(here.world.ask(here.task, arguments={"to": "bob", "amount": 39})) == "too-many-holds"


def test_whoever_waited_for_the_held_one_waits_for_the_narrower_one_and_nobody_else_takes_it(
    here: Holding,
) -> None:
    action = held(here, wait=60, request="first")
    less = here.narrow(action, "bob", LESS).instead.action
    other = here.world.ask(here.task, arguments=FULL, connection="con_b")
    assert code_of(other) == "approval-narrowed"
    assert code_of(presented(here, less, connection="con_b")) == "hold-over"
    assert code_of(presented(here, less, request="first")) == "permit"


def test_a_client_that_leaves_takes_back_what_its_call_was_narrowed_to(here: Holding) -> None:
    action = held(here, wait=60, request="first")
    less = here.narrow(action, "bob", LESS).instead.action
    here.world.approvals.leave("default", "con_a", action=action, reason="the client cancelled the call")
    assert here.state(less) == ("withdrawn", "withdrawn")
    assert code_of(presented(here, less, request="first")) == "hold-over"


def test_another_policy_or_a_pause_between_narrowing_and_use_permits_nothing(here: Holding) -> None:
    action = held(here)
    less = here.narrow(action, "bob", LESS).instead.action
    here.world.tasks.pause("default", here.task.id, ANN, reason="")
    assert code_of(presented(here, less)) == "task-paused"
    here.world.tasks.resume("default", here.task.id, ANN)
    here.rule(ASKED + "// another one\n")
    assert code_of(presented(here, less)) == "hold-over"
    assert here.state(less)[1] == "superseded"
    assert code_of(here.world.ask(here.task, arguments=FULL)) == "approval-narrowed"


def test_what_changes_while_somebody_narrows_is_seen(here: Holding) -> None:
    action, other = held(here), held(here, {"to": "bob", "amount": 9})
    here.world.meanwhile(lambda: here.say(action, "carl", AnswerKind.DENY))
    with pytest.raises(ApprovalOverError):
        here.narrow(action, "bob", LESS)
    tasks = here.world.beside().tasks
    here.world.meanwhile(lambda: tasks.end("default", here.task.id, TaskEvent.CANCEL, ANN, reason=""))
    with pytest.raises(DeniedError):
        here.narrow(other, "bob", LESS)
    assert here.state(other) == ("withdrawn", "withdrawn")


def test_an_open_hold_of_the_narrower_action_is_another_question(here: Holding) -> None:
    own = held(here, LESS, wait=60, request="own")
    action = held(here)
    less = here.narrow(action, "bob", LESS).instead.action
    assert less != own
    assert id_of(presented(here, less)) == less
    assert here.state(less) == ("permitted", "consumed")
    assert here.state(own) == ("held", "pending")


def test_a_narrowing_of_a_call_made_before_narrows_no_other_call(here: Holding) -> None:
    action = held(here)
    raw, signature, arguments = here.narrowing(action, "bob", LESS)
    here.world.narrow(raw, signature, arguments)
    here.task = here.world.start()
    again = held(here)
    with pytest.raises(ApprovalOverError):
        here.world.narrow(raw, signature, arguments)
    with pytest.raises(OtherQuestionError):
        here.narrow(again, "bob", LESS, digest=here.approval(action).question.digest)
    assert here.state(again) == ("held", "pending")


@pytest.mark.parametrize("what", ["policy", "tool", "deadline"])
def test_a_question_whose_ground_is_gone_is_not_narrowed(what: str, here: Holding) -> None:
    action = held(here)
    match what:
        case "policy":
            here.rule(ASKED + "// another one\n")
        case "tool":
            here.world.pins.remove("default", "bank", ANN)
        case _:
            here.world.clock.at = here.approval(action).question.deadline
    with pytest.raises((ApprovalOverError, DeniedError)):
        here.narrow(action, "bob", LESS)
    assert here.state(action) == ("held", "pending")
    assert here.world.events("approval-narrowed") == []


def test_a_narrowing_counts_for_the_question_and_the_action_that_it_names_and_no_other(here: Holding) -> None:
    one = here.approval(here.narrow(held(here), "bob", LESS).instead.action)
    keys = {key.id: key for key, _ in here.devices.values()}

    def counted(question: Question, kind: AnswerKind = AnswerKind.APPROVE) -> int:
        answers = [replace(each, kind=kind) for each in one.answers]
        return len(signed(question, answers, keys, here.world.adapters.signatures))

    assert counted(one.question) == 1
    other: list[dict[str, Any]] = [{"narrows": "00" * 32}, {"act": "00" * 32}, {"narrows": ""}]
    for changes in (*other, {"namespace": "other"}):
        assert counted(replace(one.question, **changes)) == 0
    for kind in (AnswerKind.CONFIRM, AnswerKind.DENY, AnswerKind.NARROW):
        assert counted(one.question, kind) == 0


def test_two_who_narrow_at_once_make_one_narrower_action(there: Holding) -> None:
    action = held(there)
    there.world.meanwhile(lambda: there.narrow(action, "carl", LEAST))
    with pytest.raises(ApprovalOverError):
        there.narrow(action, "bob", LESS)
    (event,) = there.world.events("approval-narrowed")
    assert there.state(event["narrowed"]) == ("held", "approved")
