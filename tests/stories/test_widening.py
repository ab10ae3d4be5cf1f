from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    ApprovalOverError,
    NoApproverError,
    NotEntitledError,
    OtherQuestionError,
    StatementTimeError,
    Subject,
    TooLongToShowError,
    TooManyHoldsError,
    TooManyQuestionsError,
    UnknownApprovalError,
)
from taskbound.core.approval.fatigue import ApprovalLimits
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import Breadth
from taskbound.core.identity.agent import OutsideGrantableError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import (
    AmendmentDeniedError,
    AmendmentOpenError,
    NotInChargeError,
    NotWideningError,
    TaskEndedError,
    TaskEvent,
    TaskPausedError,
    TaskSyntaxError,
)
from taskbound.flows.approval.amendment import note_amendment
from taskbound.flows.approval.limits import measure
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import set_person_grantable
from taskbound.flows.identity.leaving import People
from taskbound.flows.revocation import stop
from taskbound.flows.task.change import ScopeChangedError
from taskbound.flows.task.life import OutsideCeilingError
from tests.peers.holding import ASKED, hold_policy
from tests.peers.people import OWNER, actor_of
from tests.peers.widening import Wide, grants, only, pay
from tests.sqlite import edit, sqlite_store
from tests.stories.test_change import LOOK, STEPS
from tests.world import ANN, CEILING, code_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store
    from taskbound.ports.task import StoredAmendment

DORA = actor_of("dora")


@pytest.fixture
def there(store: Store) -> Wide:
    return Wide(store)


@pytest.fixture
def here() -> Wide:
    return Wide(sqlite_store())


def paid(there: Wide, task: Task | None = None, **arguments: Any) -> str:
    on = task or there.task
    return code_of(there.world.ask(on, arguments={"to": "bob", "amount": 1} | arguments, agent=on.agent))


def differences(there: Wide) -> tuple[str, ...]:
    with there.world.store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences


def state(there: Wide, one: StoredAmendment) -> str:
    return there.amendment(one).state.value


def test_a_widening_is_asked_for_approved_and_applied_and_what_was_used_stays_used(there: Wide) -> None:
    assert [paid(there), paid(there)] == ["permit", "permit"]
    asked = there.wish(pay(8), LOOK)
    assert state(there, asked) == "pending"
    assert there.world.left(there.task) == {"g0/uses": 3}, "nothing of it happens before it is approved"
    said = there.tell(asked, "bob")
    assert (said.state.value, said.missing, said.ended) == ("applied", "", ())
    assert there.world.left(there.task) == {"g0/uses": 6}
    assert [paid(there) for _ in range(7)] == ["permit"] * 6 + ["exhausted"]
    assert (there.now().scope, there.now().scope_version) == (scope_of(grants(pay(8), LOOK)), 2)
    assert differences(there) == ()


def test_each_step_of_it_is_in_the_log_with_scopes_versions_and_who(there: Wide) -> None:
    before = there.task.scope.digest
    asked = there.wish(pay(8))
    there.tell(asked, "carl")
    question, world = asked.question, there.world
    was = only(world, "amendment-asked")
    assert (was["amendment"], was["digest"], was["by"]) == (question.id, question.digest, "ann")
    assert (was["before"], was["after"], was["edition"]) == (before, question.after.digest, 1)
    answer = only(world, "amendment-answered")
    assert (answer["person"], answer["answer"], answer["digest"]) == ("carl", "approve", question.digest)
    amended = only(world, "task-amended")
    assert (amended["before"], amended["scope"]) == (before, question.after.digest)
    assert (amended["version"], amended["by"], amended["amendment"]) == (2, "carl", question.id)
    changed = only(world, "amendment-changed")
    assert (changed["before"], changed["after"], changed["by"]) == ("pending", "applied", "carl")


def test_a_denial_is_final_for_exactly_this_scope_in_this_task(there: Wide) -> None:
    asked = there.wish(pay(8))
    assert there.tell(asked, "bob", AnswerKind.DENY).state.value == "denied"
    assert there.now() == there.task
    with pytest.raises(ApprovalOverError):
        there.tell(asked, "carl")
    with pytest.raises(AmendmentDeniedError):
        there.wish(pay(8))
    assert there.widened(pay(7)).state.value == "applied"
    with pytest.raises(AmendmentDeniedError):
        there.wish(pay(8))
    other = there.world.start(scope=grants(pay(5)))
    assert there.widened(pay(8), task=other).state.value == "applied"


@pytest.mark.parametrize("who", ["ann", "dora"])
def test_i_31_who_asked_and_who_approves_for_nothing_here_approve_nothing(here: Wide, who: str) -> None:
    here.approvers("coder", "ann", "bob")
    asked = here.wish(pay(8))
    with pytest.raises(NotEntitledError):
        here.tell(asked, who)
    with pytest.raises(NotEntitledError):
        here.tell(asked, who, AnswerKind.DENY)
    assert state(here, asked) == "pending"


def test_the_owner_who_asks_for_it_approves_nothing_of_it_either(here: Wide) -> None:
    here.approvers("coder", "bob", "carl", owner="bob")
    bob = actor_of("bob")
    set_person_grantable(here.world.adapters, "default", "bob", Breadth.CEILING, actor=ANN, owns=True)
    asked = here.wish(pay(8), by=bob)
    with pytest.raises(NotEntitledError):
        here.tell(asked, "bob")
    assert here.tell(asked, "carl").state.value == "applied"


def test_law_3_neither_kin_nor_who_runs_the_agent_approves(here: Wide) -> None:
    below = here.child("bob")
    asked = here.wish(pay(9))
    with pytest.raises(NotEntitledError):
        here.tell(asked, "bob")
    here.world.store.write(lambda tx: tx.tasks.keep_account("default", here.task.id, 1002))
    with pytest.raises(NotEntitledError):
        here.tell(asked, "carl")
    assert below.requester == "bob"


def test_nobody_is_asked_where_nobody_may_answer(here: Wide) -> None:
    here.approvers("coder", "ann")
    with pytest.raises(NoApproverError):
        here.wish(pay(8))


def test_a182_where_two_are_needed_two_humans_are(here: Wide) -> None:
    here.rule(hold_policy("approval:agent:2"))
    asked = here.wish(pay(8))
    said = here.tell(asked, "bob")
    assert (said.state.value, said.missing) == ("pending", "`approval:agent:2` has 1 of 2")
    with pytest.raises(AlreadyAnsweredError):
        here.tell(asked, "bob")
    assert here.now() == here.task
    assert here.tell(asked, "carl").state.value == "applied"


def test_a182_who_left_before_the_last_answer_is_not_counted(here: Wide) -> None:
    here.rule(hold_policy("approval:agent:2"))
    asked = here.wish(pay(8))
    here.tell(asked, "bob")
    here.approvers("coder", "carl", "dora")
    assert here.tell(asked, "carl").missing == "`approval:agent:2` has 1 of 2"
    assert here.tell(asked, "dora").state.value == "applied"


@pytest.mark.parametrize("subject", [Subject.ACTION, Subject.PLAN])
def test_a198_what_was_signed_about_something_else_answers_no_amendment(here: Wide, subject: Subject) -> None:
    asked = here.wish(pay(8))
    with pytest.raises(OtherQuestionError):
        here.tell(asked, "bob", subject=subject)
    assert state(here, asked) == "pending"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"digest": "0" * 64}, OtherQuestionError),
        ({"namespace": "other"}, OtherQuestionError),
        ({"question": "amd_x"}, UnknownApprovalError),
        ({"at": 0}, StatementTimeError),
    ],
)
def test_a198_a_statement_of_anything_else_answers_nothing(
    here: Wide, changes: dict[str, Any], error: type[TaskboundError]
) -> None:
    asked = here.wish(pay(8))
    with pytest.raises(error):
        here.tell(asked, "bob", **changes)
    assert state(here, asked) == "pending"


@pytest.mark.parametrize("field", ["reason", "purpose", "asker", "requester", "agent", "bundle", "before"])
def test_a176_a_question_that_was_changed_in_the_store_after_somebody_signed_has_no_answers(
    here: Wide, field: str
) -> None:
    here.rule(hold_policy("approval:agent:2"))
    asked = here.wish(pay(8))
    here.tell(asked, "bob")
    other = here.amendment(asked)
    said_else: dict[str, Any] = {field: "else"}
    changed = replace(other, question=replace(other.question, **said_else))
    statement = "UPDATE amendments SET question = ? WHERE id = ?"
    edit(here.world.store, statement, changed.question.canonical, asked.question.id)
    if field in {"agent", "bundle", "before"}:
        with pytest.raises(ApprovalOverError):  # what it says that it stands on is not so
            here.tell(changed, "carl")
    else:
        said = here.tell(changed, "carl")
        assert (said.state.value, said.missing) == ("pending", "`approval:agent:2` has 1 of 2")
    assert here.now() == here.task


def test_who_may_ask_is_the_requester_or_the_owner_and_nobody_else(here: Wide) -> None:
    for who in (DORA, actor_of("bob"), OWNER):
        with pytest.raises(NotInChargeError):
            here.wish(pay(8), by=who)
    assert here.world.events("amendment-asked") == []


@pytest.mark.parametrize(
    ("some", "error"),
    [
        ([pay(5)], TaskSyntaxError),
        ([pay(4)], NotWideningError),
        ([{"tool": "bank__other"}], OutsideCeilingError),
    ],
)
def test_nobody_is_asked_for_what_is_the_same_narrower_or_can_never_be(
    here: Wide, some: list[dict[str, Any]], error: type[TaskboundError]
) -> None:
    with pytest.raises(error):
        here.wish(*some)
    assert here.world.events("amendment-asked") == []


def test_an_order_that_can_not_be_is_refused(here: Wide) -> None:
    for wrong in ({"reason": " "}, {"reason": "x" * 501}, {"seconds": 0}, {"seconds": 8 * 3600 + 1}):
        with pytest.raises(TaskSyntaxError):
            here.wish(pay(8), **wrong)
    with pytest.raises(ScopeChangedError):
        here.wish(pay(8), seen="0" * 64)
    ceiling = {"grants": [*CEILING["grants"], {"tool": "bank__gone"}]}
    here.world.agents.set_ceiling("default", "coder", scope_of(ceiling), ANN)
    with pytest.raises(TaskSyntaxError):
        here.wish(pay(8), {"tool": "bank__gone"})
    here.world.tasks.end("default", here.task.id, TaskEvent.CANCEL, ANN, reason="")
    with pytest.raises(TaskEndedError):
        here.wish(pay(8))


def test_law_6_a_scope_that_is_too_long_to_be_shown_is_refused(here: Wide) -> None:
    long = [pay(1, arguments={"to": {"equals": "x" * 700 + str(number)}}) for number in range(100)]
    with pytest.raises(TooLongToShowError):
        here.wish(*long)


def test_one_amendment_of_a_task_waits_at_a_time(there: Wide) -> None:
    asked = there.wish(pay(8))
    with pytest.raises(AmendmentOpenError):
        there.wish(pay(9))
    there.world.widenings.withdraw("default", asked.question.id, ANN, reason="")
    other = there.wish(pay(9))
    there.world.clock.advance(3600)
    there.task = there.world.start(scope=grants(pay(1)))
    assert state(there, other) == "pending", "nobody has met it"
    assert there.world.widenings.sweep()[0].state.value == "expired"


def test_an_amendment_that_is_overtaken_makes_room_for_the_next(there: Wide) -> None:
    asked = there.wish(pay(8))
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(4))), ANN)
    again = there.wish(pay(8))
    assert state(there, asked) == "superseded"
    assert there.tell(again, "bob").state.value == "applied"
    assert there.world.left(there.task) == {"g0/uses": 8}


def test_a189_amendments_count_among_what_people_are_asked(here: Wide) -> None:
    world = here.world

    def limit(**values: int) -> None:
        world.store.write(lambda tx: tx.approvals.put_limits(ApprovalLimits(namespace="default", **values)))

    limit(open=1, hourly=3)
    asked = here.wish(pay(8))
    world.widenings.withdraw("default", asked.question.id, ANN, reason="")
    here.wish(pay(8))
    other = world.start(scope=grants(pay(5)))
    here.wish(pay(8), task=other)
    third = world.start(scope=grants(pay(5)))
    with pytest.raises(TooManyQuestionsError):
        here.wish(pay(8), task=third)
    world.clock.advance(3601)
    here.wish(pay(8), task=world.start(scope=grants(pay(5))))


def test_a189_an_open_amendment_takes_the_room_of_a_held_call(store: Store) -> None:
    there = Wide(store)
    there.rule(ASKED)
    there.world.store.write(lambda tx: tx.approvals.put_limits(ApprovalLimits(namespace="default", open=1)))
    there.wish(pay(8))
    assert paid(there) == "too-many-holds"
    other = there.world.start(scope=grants(pay(5)))
    assert paid(there, other) == "hold"
    with pytest.raises(TooManyHoldsError):
        there.wish(pay(8), task=other)


def test_a_hasty_yes_is_told_and_counted(here: Wide) -> None:
    asked = here.wish(pay(8))
    bob = actor_of("bob")
    note_amendment(here.world.adapters, "default", asked.question.id, bob)
    note_amendment(here.world.adapters, "default", asked.question.id, bob)
    assert len(here.world.events("amendment-shown")) == 1
    here.tell(asked, "bob")
    _, (load,), (shown,) = measure(here.world.adapters, "default", 1)
    assert (load.agent, load.asked, load.states) == ("coder", 1, {"applied": 1})
    assert (shown.person, shown.shown, shown.yes, shown.hasty) == ("bob", 1, 1, 1)
    answer = only(here.world, "amendment-answered")
    assert (answer["hasty"], answer["length"] > 0, 0 <= answer["taken"] < 1000) == (True, True, True)
    assert here.world.monitor.messages[-1]["kind"] == "taskbound-hasty-answer"


@pytest.mark.parametrize(
    ("what", "became"),
    [
        ("narrow", "superseded"),
        ("step", "superseded"),
        ("end", "withdrawn"),
        ("time", "expired"),
        ("suspend", "withdrawn"),
        ("nothing", "pending"),
    ],
)
def test_what_an_amendment_stands_on_ends_it_whoever_meets_it_first(
    store: Store, what: str, became: str
) -> None:
    there = Wide(store, scope=STEPS)
    wider: dict[str, Any] = {
        "steps": [STEPS["steps"][0], {"name": "pay", "grants": [pay(4)]}, STEPS["steps"][2]]
    }
    less: dict[str, Any] = {
        "steps": [STEPS["steps"][0], {"name": "pay", "grants": [pay(1)]}, STEPS["steps"][2]]
    }
    asked = there.wish(scope=wider)
    acts: dict[str, Any] = {
        "narrow": lambda: there.world.changes.amend("default", there.task.id, scope_of(less), ANN),
        "step": lambda: there.world.changes.step("default", there.task.id, "", ANN),
        "end": lambda: there.world.tasks.end("default", there.task.id, TaskEvent.COMPLETE, ANN, reason=""),
        "time": lambda: there.world.clock.advance(3600),
        "suspend": lambda: there.world.agents.suspend("default", "coder", ANN, reason=""),
        "nothing": lambda: None,
    }
    acts[what]()
    there.world.widenings.sweep()
    assert state(there, asked) == became
    if what == "nothing":
        return
    before = there.now()
    with pytest.raises(ApprovalOverError):
        there.tell(asked, "bob")
    assert there.now() == before
    assert differences(there) == ()


def test_an_answer_to_what_nobody_swept_is_told_so_and_ends_it(there: Wide) -> None:
    asked = there.wish(pay(8))
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(4))), ANN)
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(3))), ANN)
    with pytest.raises(ApprovalOverError):
        there.tell(asked, "bob")
    assert state(there, asked) == "superseded"
    assert there.now().scope == scope_of(grants(pay(3)))


def test_narrowed_and_back_at_the_same_scope_is_another_question(there: Wide) -> None:
    asked = there.wish(pay(8))
    there.world.changes.amend("default", there.task.id, scope_of(grants(pay(4))), ANN)
    there.world.widenings.sweep()
    there.widened(pay(5))
    assert there.now().scope == there.task.scope
    assert state(there, asked) == "superseded"


def test_a_pause_keeps_it_and_nothing_is_applied_meanwhile(there: Wide) -> None:
    asked = there.wish(pay(8))
    there.world.tasks.pause("default", there.task.id, ANN, reason="")
    there.world.widenings.sweep()
    with pytest.raises(TaskPausedError):
        there.tell(asked, "bob")
    assert (state(there, asked), there.amendment(asked).answers) == ("pending", ())
    with pytest.raises(TaskPausedError):
        there.wish(pay(9))
    there.world.tasks.resume("default", there.task.id, ANN)
    assert there.tell(asked, "bob").state.value == "applied"


def test_the_kill_switch_lets_nothing_be_asked_or_applied(there: Wide) -> None:
    asked = there.wish(pay(8))
    stop(there.world.adapters, "default", stopped=True, reason="", actor=ANN)
    with pytest.raises(StoppedError):
        there.tell(asked, "bob")
    assert state(there, asked) in {"pending", "withdrawn"}
    assert there.now().scope == there.task.scope


@pytest.mark.parametrize("what", ["ceiling", "grantable", "asker"])
def test_law_3_what_could_be_granted_when_it_was_asked_and_can_not_any_more_is_not_applied(
    there: Wide, what: str
) -> None:
    world = there.world
    less: dict[str, Any] = grants(pay(6), LOOK)
    asker = ANN
    if what == "asker":
        there.approvers("coder", "carl", "dora", owner="bob")
        asker = actor_of("bob")
        set_person_grantable(world.adapters, "default", "bob", Breadth.CEILING, actor=ANN, owns=True)
    asked = there.wish(pay(8), by=asker)
    if what == "ceiling":
        world.agents.set_ceiling("default", "coder", scope_of(grants(LOOK)), ANN)
    else:
        who = "ann" if what == "grantable" else "bob"
        set_person_grantable(world.adapters, "default", who, scope_of(less), actor=OWNER, owns=True)
    said = there.tell(asked, "carl")
    assert said.state.value == "superseded"
    assert said.reason.startswith("it can't be applied any more")
    assert (there.now().scope, world.left(there.task)) == (there.task.scope, {"g0/uses": 5})
    with pytest.raises((OutsideCeilingError, OutsideGrantableError)):
        there.wish(pay(8), by=asker)
    assert differences(there) == ()


def test_the_person_in_charge_may_take_it_back_and_nobody_else(here: Wide) -> None:
    asked = here.wish(pay(8))
    withdraw = partial(here.world.widenings.withdraw, "default", asked.question.id, reason="")
    with pytest.raises(NotEntitledError):
        withdraw(DORA)
    withdraw(ANN)
    assert state(here, asked) == "withdrawn"
    with pytest.raises(ApprovalOverError):
        withdraw(ANN)
    with pytest.raises(UnknownApprovalError):
        here.world.widenings.withdraw("default", "amd_x", ANN, reason="")


def test_a_mixed_amendment_is_one_question_and_nothing_of_it_happens_before(there: Wide) -> None:
    there.task = there.world.start(scope=grants(pay(5), LOOK))
    asked = there.wish(pay(9))
    assert code_of(there.world.ask(there.task, "bank__look", {"path": "/srv"})) == "permit"
    there.tell(asked, "bob")
    assert code_of(there.world.ask(there.task, "bank__look", {"path": "/srv"})) == "outside-scope"
    assert there.world.left(there.task) == {"g0/uses": 9}


def test_a_call_that_was_judged_before_is_judged_again_on_every_daemon(there: Wide) -> None:
    world = there.world
    there.task = world.start(scope=grants(pay(1)))
    asked = there.wish(pay(1), LOOK)
    other = world.beside()
    assert code_of(other.ask(there.task, "bank__look", {"path": "/srv"})) == "outside-scope"
    there.tell(asked, "bob")
    assert code_of(other.ask(there.task, "bank__look", {"path": "/srv"})) == "permit"


def test_a181_who_has_left_approves_nothing(here: Wide) -> None:
    asked = here.wish(pay(6))
    People(here.world.adapters, here.world.views).leave("default", "bob", OWNER, owns=True, reason="")
    with pytest.raises(DeniedError):
        here.tell(asked, "bob")
    assert here.now().scope == here.task.scope
