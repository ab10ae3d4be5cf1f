from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.approval.fatigue import ApprovalLimits, BadLimitsError
from taskbound.core.task import TaskState
from taskbound.flows.approval.fatigue import note_display
from taskbound.flows.approval.limits import measure, set_limits, tell_paused
from taskbound.flows.approval.proof.evidence import give_evidence
from taskbound.flows.identity.leaving import NotSelfError
from tests.peers.holding import Holding, hold_policy
from tests.peers.people import OWNER, actor_of
from tests.sqlite import sqlite_store
from tests.stories.test_evidence import believe
from tests.stories.test_proofs import token
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

WIDE = {"grants": [{"tool": "bank__pay", "others": "any"}]}


@pytest.fixture
def there(store: Store) -> Holding:
    return wide(Holding(store))


@pytest.fixture
def here() -> Holding:
    return wide(Holding(sqlite_store()))


def wide(held: Holding) -> Holding:
    held.task = held.world.start(scope=WIDE)
    return held


def limit(there: Holding, **values: int) -> ApprovalLimits:
    return set_limits(there.world.adapters, "default", actor=OWNER, owns=True, **values)


def ask(there: Holding, amount: int = 10, **more: Any) -> tuple[str, str]:
    answer = there.world.ask(there.task, arguments={"to": "bob", "amount": amount}, **more)
    code = code_of(answer)
    return code, id_of(answer) if code in {"hold", "permit"} else ""


def show(there: Holding, action: str, who: str) -> None:
    note_display(there.world.adapters, "default", there.approval(action).question.id, actor_of(who))


def news(there: Holding, kind: str) -> list[dict[str, Any]]:
    return [one for one in there.world.monitor.messages if one.get("kind") == kind]


def test_a_yes_after_the_time_to_read_is_measured_and_told_to_nobody(there: Holding) -> None:
    _, action = ask(there)
    show(there, action, "bob")
    there.world.clock.advance(3600 / 2)
    there.say(action, "bob")
    (shown,) = there.world.events("approval-shown")
    (answered,) = there.world.events("approval-answered")
    assert (shown["person"], shown["length"]) == ("bob", answered["length"])
    assert answered["length"] > 500
    assert answered["taken"] // 1_000_000 == 1800
    assert "hasty" not in answered
    assert not news(there, "taskbound-hasty-answer")
    assert ask(there) == ("permit", action)


def test_a_yes_sooner_than_anybody_reads_counts_and_is_recorded_and_told(there: Holding) -> None:
    _, action = ask(there)
    show(there, action, "bob")
    there.world.clock.advance(2)
    there.say(action, "bob")
    (answered,) = there.world.events("approval-answered")
    assert answered["hasty"] is True
    (told,) = news(there, "taskbound-hasty-answer")
    assert (told["person"], told["agent"], told["milliseconds"]) == ("bob", "coder", 2000)
    assert ask(there) == ("permit", action)


def test_a_yes_to_what_was_shown_to_somebody_else_only_is_told_as_never_shown(here: Holding) -> None:
    _, action = ask(here)
    show(here, action, "carl")
    here.world.clock.advance(1800)
    here.say(action, "bob")
    (told,) = news(here, "taskbound-hasty-answer")
    assert (told["person"], told["milliseconds"]) == ("bob", -1)


def test_how_fast_anybody_reads_is_the_namespaces_to_say(here: Holding) -> None:
    limit(here, speed=10_000)
    _, action = ask(here)
    show(here, action, "bob")
    here.world.clock.advance(2)
    here.say(action, "bob")
    assert not news(here, "taskbound-hasty-answer")


def test_a_denial_in_haste_is_measured_and_told_to_nobody(here: Holding) -> None:
    _, action = ask(here)
    here.say(action, "bob", AnswerKind.DENY)
    (answered,) = here.world.events("approval-answered")
    assert "hasty" not in answered
    assert not news(here, "taskbound-hasty-answer")


def test_only_the_first_display_to_each_person_counts_and_none_after_the_end(there: Holding) -> None:
    _, action = ask(there)
    for who in ("bob", "bob", "carl", "bob"):
        show(there, action, who)
        there.world.clock.advance(60)
    assert [one["person"] for one in there.world.events("approval-shown")] == ["bob", "carl"]
    there.say(action, "bob")
    assert there.world.events("approval-answered")[0]["taken"] // 1_000_000 == 240
    there.say(action, "carl", AnswerKind.DENY)
    show(there, action, "dora")
    note_display(there.world.adapters, "default", "apr_none", actor_of("dora"))
    assert len(there.world.events("approval-shown")) == 2


def test_a189_beyond_the_open_questions_of_a_task_it_pauses_instead_of_asking_on(there: Holding) -> None:
    limit(there, open=3)
    codes = [ask(there, one)[0] for one in range(6)]
    assert codes == ["hold"] * 3 + ["too-many-holds", "task-paused", "task-paused"]
    assert there.world.task(there.task).state is TaskState.PAUSED
    (paused,) = [one for one in there.world.events("task-changed") if one["after"] == "paused"]
    assert (paused["by"], paused["reason"]) == ("daemon", "it asks people too much (too-many-holds)")
    moved = there.world.decisions.take_paused()
    assert [one.task for one in moved] == [there.task.id]
    assert there.world.decisions.take_paused() == []
    tell_paused(there.world.adapters, moved)
    assert [one["task"] for one in news(there, "taskbound-asks-too-much")] == [there.task.id]


def test_a189_what_was_asked_stays_open_and_a_resumed_task_goes_on_once_it_was_answered(
    there: Holding,
) -> None:
    limit(there, open=2)
    _, first = ask(there, 1)
    ask(there, 2)
    assert ask(there, 3)[0] == "too-many-holds"
    there.say(first, "bob")
    there.world.tasks.resume("default", there.task.id, ANN)
    there.world.views.forget()
    assert ask(there, 1) == ("permit", first)
    assert ask(there, 3)[0] == "hold"


def test_a189_an_agent_asks_so_often_within_an_hour_over_all_its_tasks_and_then_pauses(
    there: Holding,
) -> None:
    limit(there, hourly=3)
    assert [ask(there, one)[0] for one in range(2)] == ["hold"] * 2
    there.task = there.world.start(scope=WIDE)
    codes = [ask(there, one)[0] for one in range(3)]
    assert codes == ["hold", "too-many-questions", "task-paused"]
    there.world.clock.advance(3600)
    there.task = there.world.start(scope=WIDE)
    assert ask(there, 9)[0] == "hold"


def test_another_agent_of_the_namespace_is_not_kept_from_asking(here: Holding) -> None:
    limit(here, hourly=1)
    here.world.add_agent("helper")
    other = here.world.start(scope=WIDE, agent="helper")
    assert [ask(here, one)[0] for one in range(2)] == ["hold", "too-many-questions"]
    assert code_of(here.world.ask(other, agent="helper")) == "hold"


def test_only_the_account_that_owns_the_data_directory_says_how_much_is_asked(there: Holding) -> None:
    with pytest.raises(NotSelfError):
        set_limits(there.world.adapters, "default", actor=ANN, owns=False, open=99)
    with pytest.raises(BadLimitsError):
        limit(there, open=0)
    assert limit(there, hourly=7) == ApprovalLimits(namespace="default", open=20, hourly=7, speed=100)
    assert limit(there, speed=50) == ApprovalLimits(namespace="default", open=20, hourly=7, speed=50)
    kept = [
        (one["open"], one["hourly"], one["speed"]) for one in there.world.events("approval-limits-changed")
    ]
    assert kept == [(20, 7, 100), (20, 7, 50)]
    with there.world.store.read() as snapshot:
        assert snapshot.approvals.limits("acme") == ApprovalLimits(namespace="acme")


def test_what_was_asked_shown_and_answered_is_counted_within_the_span(there: Holding) -> None:
    actions = [ask(there, one)[1] for one in range(3)]
    for action, seconds in zip(actions[:2], (1, 600), strict=True):
        show(there, action, "bob")
        there.world.clock.advance(seconds)
        there.say(action, "bob")
    there.say(actions[2], "carl", AnswerKind.DENY)
    limits, agents, persons = measure(there.world.adapters, "default", 24)
    assert limits == ApprovalLimits(namespace="default")
    assert [(one.agent, one.asked, one.busiest, one.states) for one in agents] == [
        ("coder", 3, 3, {"approved": 2, "denied": 1})
    ]
    assert [(one.person, one.shown, one.yes, one.no, one.hasty, one.unseen) for one in persons] == [
        ("bob", 2, 2, 0, 1, 0),
        ("carl", 0, 0, 1, 0, 0),
    ]
    there.world.clock.advance(25 * 3600)
    assert measure(there.world.adapters, "default", 24)[1:] == ((), ())


def test_evidence_is_no_persons_answer_and_is_never_hasty() -> None:
    here = wide(Holding(sqlite_store(), hold_policy("evidence:jws.tickets")))
    believe(here.world)
    _, action = ask(here)
    text = token(here, action)
    give_evidence(here.world.adapters, "default", here.approval(action).question.id, text, ANN)
    assert not news(here, "taskbound-hasty-answer")
    assert measure(here.world.adapters, "default", 24)[2] == ()
