from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.approval import PlanRefusedError
from taskbound.core.errors import TaskboundError
from taskbound.core.transition import WrongStateError
from taskbound.flows.action import Withhold, explain, reconcile
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.decision import overdue, strangers
from taskbound.flows.token import TransactionTokenOrder
from taskbound.flows.tool import Declaration
from taskbound.flows.tool.applying import FileDeclaration, ToolDeclaration, apply_file, compare_file
from taskbound.flows.tool.errors import DeclaredByTargetError, RelaxesError
from tests.peers.holding import ASKED, Holding
from tests.peers.planning import FIRST, SECOND, Planner
from tests.peers.targeting import Targets
from tests.sqlite import sqlite_store
from tests.token_world import CODER, TokenWorld
from tests.world import ANN, World, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Store

SUBJECT = '{"id":"alice","type":"user"}'


def declare(world: World, tool: str = "bank__pay", *, unwatched: bool = True) -> None:
    with world.store.read() as snapshot:
        pin = snapshot.tools.tool("default", tool)
    assert pin is not None
    world.sights.declare("default", tool, pin.digest, ANN, Declaration(unwatched=unwatched))


def evaluate(world: World, task: Task | None, arguments: Any = None, **more: Any) -> Answer:
    call = world.call(task, arguments=arguments, connection=world.chance.name("net"), **more)
    (answer,) = world.decide([replace(call, unwatched=True, subject=SUBJECT)])
    return answer


def kept(world: World, action: str) -> StoredAction:
    with world.store.read() as snapshot:
        found = snapshot.actions.action("default", action)
    assert found is not None
    return found


@pytest.fixture
def task(world: World) -> Task:
    found = world.settle_in()
    declare(world)
    return found


def test_a_permit_whose_outcome_nobody_tells_is_used_at_once_by_one_record(world: World, task: Task) -> None:
    before = world.left(task)
    answer = evaluate(world, task)
    assert code_of(answer) == "permit"
    row = kept(world, id_of(answer))
    assert (row.state.value, row.decision, row.finished) == ("unwatched", "permit", None)
    (event,) = world.events("action-decided")
    assert (event["decision"], event["outcome"], event["subject"]) == ("permit", "unwatched", SUBJECT)
    assert world.events("action-outcome") == []
    assert world.left(task)["g0/uses"] == before["g0/uses"] - 1
    with world.store.read() as snapshot:
        assert snapshot.actions.open_permits("default") == ()
        assert strangers(snapshot) == frozenset()


def test_nothing_of_it_is_in_doubt_or_given_up_however_long_nobody_comes_back(
    world: World, task: Task
) -> None:
    evaluate(world, task)
    world.clock.advance(3000)
    with world.store.read() as snapshot:
        found = overdue(snapshot, world.clock.now())
        assert (found.doubted, found.over) == (frozenset(), frozenset())
        assert not snapshot.actions.has_unknown("default")


def test_a_repeat_is_a_new_use_and_never_one_after_an_unknown_outcome_until_the_limit_is_spent(
    world: World, task: Task
) -> None:
    assert [code_of(evaluate(world, task)) for _ in range(6)] == ["permit"] * 5 + ["exhausted"]
    rows = [kept(world, one["action"]) for one in world.events("action-decided")]
    assert [one.attempt for one in rows] == [1, 2, 3, 4, 5, 6]
    assert {one["last_outcome"] for one in world.events("action-decided")} == {"none"}


def test_the_limit_that_it_took_from_is_given_back_by_nobody_s_word(world: World, task: Task) -> None:
    action = id_of(evaluate(world, task))
    left = world.left(task)
    for outcome in ("not-sent", "succeeded", "failed", "unknown"):
        told = world.tell(action, outcome, connection=kept(world, action).connection)
        assert isinstance(told, Withhold)
        assert told.code == "not-holder"
    assert world.left(task) == left
    with pytest.raises(WrongStateError):
        reconcile(world.adapters, "default", action, "failed", "I say so", ANN)
    assert kept(world, action).state.value == "unwatched"


@pytest.mark.parametrize("unwatched", [False, True])
def test_a_tool_is_asked_for_in_the_way_in_which_its_outcome_is_told_and_in_no_other(
    world: World, *, unwatched: bool
) -> None:
    task = world.settle_in()
    declare(world, unwatched=unwatched)
    codes = code_of(world.ask(task)), code_of(evaluate(world, task))
    assert codes == (("outcome-unwatched", "permit") if unwatched else ("permit", "outcome-watched"))
    assert [one["decision"] for one in world.events("action-decided")].count("refuse") == 1


def test_a_declaration_between_evaluation_and_commit_makes_the_decision_stale(world: World) -> None:
    task = world.settle_in()
    world.ask(task)
    other = world.beside()
    world.meanwhile(lambda: declare(other))
    assert code_of(world.ask(task)) == "outcome-unwatched"


def test_the_same_key_again_permits_nothing_and_another_action_under_it_is_refused(
    world: World, task: Task
) -> None:
    first = evaluate(world, task, key="k")
    again = evaluate(world, task, key="k")
    assert (code_of(first), code_of(again), id_of(again)) == ("permit", "duplicate", id_of(first))
    assert code_of(evaluate(world, task, {"to": "eve", "amount": 1}, key="k")) == "key-reused"


def test_a_hold_that_was_lifted_is_used_by_the_evaluation_that_comes_back_for_it(store: Store) -> None:
    people = Holding(store, ASKED)
    declare(people.world)
    held = evaluate(people.world, people.task, wait=60)
    assert (code_of(held), people.state(id_of(held))) == ("hold", ("held", "pending"))
    people.say(id_of(held), "bob")
    done = evaluate(people.world, people.task)
    assert (code_of(done), id_of(done)) == ("permit", id_of(held))
    assert people.state(id_of(held)) == ("unwatched", "consumed")
    events = people.world.events("action-decided")
    assert [(one["decision"], one.get("outcome")) for one in events] == [
        ("hold", None),
        ("permit", "unwatched"),
    ]
    again = evaluate(people.world, people.task, wait=60)
    assert (code_of(again), id_of(again) == id_of(held)) == ("hold", False)


def test_what_a_person_narrowed_it_to_is_unwatched_too(store: Store) -> None:
    people = Holding(store, ASKED)
    declare(people.world)
    held = id_of(evaluate(people.world, people.task, wait=60))
    less = people.narrow(held, "bob", {"to": "bob", "amount": 4}).instead.action
    done = evaluate(people.world, people.task, {"to": "bob", "amount": 4}, resume=less)
    assert (code_of(done), id_of(done), kept(people.world, less).state.value) == ("permit", less, "unwatched")


def test_no_plan_has_a_step_whose_success_nobody_can_tell() -> None:
    there = Planner(sqlite_store())
    declare(there.world)
    with pytest.raises(PlanRefusedError, match="outcome-unwatched"):
        there.propose(FIRST, SECOND)


def test_no_transaction_token_is_issued_for_what_nothing_would_end(here: TokenWorld) -> None:
    task = here.settle_in()
    declare(here.world)
    action = id_of(evaluate(here.world, task))
    order = TransactionTokenOrder(namespace="default", task=task.id, agent=task.agent, action=action)
    with pytest.raises(TaskboundError) as found:
        here.tokens.issue_transaction_token(order, CODER)
    assert found.value.code == "action-not-open"


def test_a_record_explains_it_to_the_same_answer(world: World, task: Task) -> None:
    action = id_of(evaluate(world, task))
    found = explain(world.adapters, "default", action)
    assert (found.replay, found.action.state.value) == ("same", "unwatched")


def test_that_nobody_tells_an_outcome_relaxes_and_falls_with_the_definition(world: World) -> None:
    world.settle_in()
    said = FileDeclaration(
        server="bank",
        tools=(ToolDeclaration(name="bank__pay", said=Declaration(unwatched=True)),),
        shareable=None,
    )
    (change,) = compare_file(world.adapters, "default", said).changes
    assert (change.what, change.before, change.after, change.relaxes) == (
        "outcome",
        "watched",
        "unwatched",
        True,
    )
    agreed = compare_file(world.adapters, "default", said).digest
    with pytest.raises(RelaxesError):
        apply_file(world.adapters, "default", said, agreed=agreed, relax=False, actor=ANN, owns=True)
    apply_file(world.adapters, "default", said, agreed=agreed, relax=True, actor=ANN, owns=True)
    (event,) = world.events("tool-declared")
    assert event["outcome"] == "unwatched"


def test_what_comes_of_a_credential_is_never_unwatched() -> None:
    world = World(sqlite_store())
    world.settle_in()
    Targets(world)
    with world.store.read() as snapshot:
        pins = [one for one in snapshot.tools.tools("default") if one.name.startswith("orders-db__")]
    with pytest.raises(DeclaredByTargetError):
        world.sights.declare("default", pins[0].name, pins[0].digest, ANN, Declaration(unwatched=True))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("actions SET state = 'permitted'", "its record says unwatched"),
        ("actions SET state = 'succeeded'", "its record says unwatched"),
        ("actions SET released = 1", "its record says unwatched"),
    ],
)
def test_rows_that_were_edited_are_told_from_what_the_log_says(tmp_path: Path, edit: str, words: str) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store, policy=base_bundle())
    task = world.settle_in()
    declare(world)
    evaluate(world, task)
    with store.read() as snapshot:
        assert compare_rows(snapshot, lambda *_: None).differences == ()
    connection = driver.connect(tmp_path / "t.db")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    assert connection.execute(f"UPDATE {edit} WHERE state = 'unwatched'").rowcount == 1
    connection.commit()
    connection.close()
    with store.read() as snapshot:
        found = compare_rows(snapshot, lambda *_: None).differences
    assert any(words in one for one in found), found
    store.close()
