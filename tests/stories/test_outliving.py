"""Questions of tasks whose template says that holds outlive their calls, and of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.task import Holds, TaskEvent, TaskSyntaxError, Template, parse_holds
from taskbound.flows.approval.hold.holds import HOLD_LIFE
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.decision import strangers
from taskbound.flows.task import TaskOrder, save_template
from tests.peers.holding import Holding
from tests.sqlite import sqlite_store
from tests.world import ANN, SCOPE, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

OUTLIVE, END = Holds.OUTLIVE_CALL, Holds.END_WITH_CALL
BOTH = pytest.mark.parametrize("holds", [OUTLIVE, END], ids=lambda one: one.value)


def started(there: Holding, holds: Holds) -> Task:
    """A task of a template that says so."""
    plain: dict[str, Any] = {"namespace": "default", "scope": scope_of(SCOPE), "seconds": 86400}
    save_template(there.world.adapters, Template(name="nightly", purpose="pay", holds=holds, **plain), ANN)
    order = TaskOrder(namespace="default", agent="coder", purpose="pay", seconds=86400, template="nightly")
    return there.world.tasks.start(order, ANN)


@pytest.fixture
def there(store: Store) -> Holding:
    return Holding(store)


@pytest.fixture
def here() -> Holding:
    """On SQLite only: what is asked is no matter of the engine."""
    return Holding(sqlite_store())


def held(there: Holding, task: Task, **more: Any) -> str:
    answer = there.world.ask(task, **more)
    assert code_of(answer) == "hold"
    return id_of(answer)


def leave(there: Holding, connection: str = "con_a", action: str = "") -> list[str]:
    told = there.world.approvals.leave("default", connection, action=action, reason="the client went away")
    return [one.action for one in told]


@BOTH
def test_a_task_has_what_its_template_says_of_holds_and_the_log_says_so(there: Holding, holds: Holds) -> None:
    task = started(there, holds)
    assert there.world.task(task).holds is holds
    assert there.world.events("template-saved")[-1]["holds"] == holds.value
    assert there.world.events("task-started")[-1]["holds"] == holds.value
    child = there.world.delegate(task, agent="coder", template="nightly", scope=None)
    assert there.world.task(child).holds is holds
    plain = there.world.delegate(task, agent="coder", scope=scope_of({"grants": [SCOPE["grants"][-1]]}))
    assert there.world.task(plain).holds is END, "a word of its parent's template is not its own"


def test_no_other_word_is_taken_for_what_becomes_of_holds() -> None:
    assert (parse_holds(""), parse_holds("outlive-the-call")) == (END, OUTLIVE)
    for word in ("outlive", "OUTLIVE-THE-CALL", "true", " "):
        with pytest.raises(TaskSyntaxError, match="holds can't be"):
            parse_holds(word)


@pytest.mark.parametrize("action", [True, False], ids=["cancelled", "gone"])
@pytest.mark.parametrize("approved", ["before", "after"])
def test_what_outlives_its_call_is_resumed_by_the_same_call_from_elsewhere_and_runs_once(
    there: Holding, approved: str, *, action: bool
) -> None:
    task = started(there, OUTLIVE)
    first = held(there, task, wait=45)
    if approved == "before":
        there.say(first, "bob")
    assert leave(there, action=first if action else "") == []
    if approved == "after":
        there.say(first, "bob")
    assert there.state(first) == ("held", "approved")
    answer = there.world.ask(task, connection="con_b")
    assert (code_of(answer), id_of(answer)) == ("permit", first)
    there.world.tell(first)
    again = held(there, task, connection="con_b")
    assert again != first
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


@pytest.mark.parametrize("action", [True, False], ids=["cancelled", "gone"])
@pytest.mark.parametrize("approved", [True, False])
def test_what_ends_with_its_call_is_withdrawn_by_it_and_asked_anew_from_elsewhere(
    there: Holding, *, approved: bool, action: bool
) -> None:
    task = started(there, END)
    first = held(there, task, wait=45)
    if approved:
        there.say(first, "bob")
    assert leave(there, action=first if action else "") == [first]
    assert there.state(first) == ("withdrawn", "withdrawn")
    assert held(there, task, connection="con_b") != first


def test_the_same_connection_resumes_what_it_cancelled(here: Holding) -> None:
    task = started(here, OUTLIVE)
    first = held(here, task, wait=45, request="1")
    leave(here, action=first)
    assert held(here, task, wait=45, request="2") == first


def test_while_somebody_waits_for_what_outlives_its_call_nobody_else_resumes_it(here: Holding) -> None:
    task = started(here, OUTLIVE)
    first = held(here, task, wait=45)
    leave(here)
    assert held(here, task, wait=45, connection="con_b") == first
    assert held(here, task, wait=45, connection="con_c") != first


@BOTH
def test_who_waits_and_is_lost_gives_way_at_once_where_holds_outlive_calls(
    there: Holding, holds: Holds
) -> None:
    task = started(there, holds)
    first = held(there, task, wait=45)
    assert held(there, task, wait=45, connection="con_b") != first, "it is there, and waits"
    there.world.views.doubts.lose(("default", "con_a"))
    there.say(first, "bob")
    answer = there.world.ask(task, wait=45, connection="con_c")
    if holds is END:
        assert code_of(answer) == "hold"
        return
    assert (code_of(answer), id_of(answer)) == ("permit", first)
    late = there.world.ask(task, wait=45, resume=first)
    assert code_of(late) == "hold-over", "who comes back is told that it is over"


def test_who_waits_for_what_a_person_narrowed_gives_way_too(here: Holding) -> None:
    task = started(here, OUTLIVE)
    first = held(here, task, wait=45)
    less = here.narrow(first, "bob", {"to": "bob", "amount": 4}).instead.action
    assert code_of(here.world.ask(task, wait=45, connection="con_b")) == "approval-narrowed"
    here.world.views.doubts.lose(("default", "con_a"))
    found = here.world.ask(task, wait=45, connection="con_b", resume=first)
    assert (code_of(found), id_of(found)) == ("narrowed", less)


def test_nobody_is_looked_for_who_waits_for_what_outlives_its_call(there: Holding) -> None:
    task = started(there, OUTLIVE)
    held(there, task, wait=45)
    with there.world.store.read() as snapshot:
        assert strangers(snapshot) == {("default", "con_a")}
    leave(there)
    with there.world.store.read() as snapshot:
        assert strangers(snapshot) == frozenset()
    assert leave(there, connection="") == []


@pytest.mark.parametrize("end", ["task", "deadline", "scope", "denied", "withdrawn"])
def test_all_else_that_ends_a_question_ends_one_that_outlives_its_call(there: Holding, end: str) -> None:
    task = started(there, OUTLIVE)
    first = held(there, task, wait=45)
    if end not in {"denied", "withdrawn"}:
        there.say(first, "bob")
    leave(there)
    match end:
        case "task":
            there.world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="enough")
        case "deadline":
            there.world.clock.advance(HOLD_LIFE / 1_000_000)
        case "scope":
            less = scope_of({"grants": [SCOPE["grants"][0] | {"uses": 3}]})
            there.world.changes.amend("default", task.id, less, ANN)
        case "denied":
            there.say(first, "bob", AnswerKind.DENY)
        case _:
            there.world.approvals.withdraw("default", there.approval(first).question.id, ANN, reason="no")
    after = there.world.ask(task, connection="con_b")
    wanted = {"task": "task-ended", "denied": "approval-denied"}
    assert code_of(after) == wanted.get(end, "hold")
    assert id_of(after) != first
    states = {"task": "withdrawn", "deadline": "expired", "scope": "superseded", "denied": "denied"}
    assert there.state(first)[1] == states.get(end, "withdrawn")
