from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.decision import Settled, Waiting
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.core.tool import parse_definition
from taskbound.flows.action import explain, reconcile
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.identity.agent import say_risk
from taskbound.flows.policy import replay
from taskbound.flows.tool import Declaration
from tests.sqlite import edit, sqlite_store
from tests.stories.test_bundles import engine_of, propose, put_in_force
from tests.world import ANN, LOOK, PAY, World, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.decision import ActHistory
    from taskbound.core.task import Task
    from taskbound.ports.action import StoredAction
    from taskbound.ports.tool import PinnedTool

CHANGED = '@id("same") @hold("confirm") forbid (principal, action, resource) when {'
READING = """
@id("again") @hold("confirm") forbid (principal, action, resource) when { context.attempt > 1 };
@id("soon") forbid (principal, action, resource) when { context.attempt > 1 && context.last_age < 60 };
@id("link") forbid (principal, action, resource) when { context.last_action == "nothing" };
"""


def world_with(policies: str) -> World:
    return World(store=sqlite_store(), policy=base_bundle() + policies)


def kept(world: World, action: str) -> StoredAction:
    with world.store.read() as snapshot:
        found = snapshot.actions.action("default", action)
    assert found is not None
    return found


def history(world: World, action: str) -> ActHistory:
    row = kept(world, action)
    with world.store.read() as snapshot:
        return snapshot.actions.act("default", row.root, row.act_key)


def tool(world: World, name: str = "bank__pay") -> PinnedTool:
    with world.store.read() as snapshot:
        found = snapshot.tools.tool("default", name)
    assert found is not None
    return found


def lost(world: World, task: Task, **more: Any) -> str:
    """An action whose outcome is unknown."""
    action = id_of(world.ask(task, **more))
    world.tell(action, "unknown", None)
    return action


def find_out(world: World, action: str, outcome: str, note: str = "looked at the ledger") -> str:
    return reconcile(world.adapters, "default", action, outcome, note, ANN)


# --- what policy is told ----------------------------------------------------------------------------


def test_a_policy_sees_the_attempt_its_age_and_which_was_the_last() -> None:
    world = world_with(READING)
    task = world.settle_in()
    first = id_of(world.ask(task))
    assert (
        dict(kept(world, first).facts).items() >= {"attempt": "1", "last_action": "", "last_age": "0"}.items()
    )
    assert code_of(world.ask(task)) == "forbidden", "too soon"
    world.clock.advance(60)
    again = world.ask(task)
    assert code_of(again) == "hold"
    facts = dict(kept(world, id_of(again)).facts)
    assert (facts["attempt"], facts["last_action"]) == ("2", first)
    assert 60 <= int(facts["last_age"]) < 62
    assert code_of(world.ask(task, arguments={"to": "eve", "amount": 1})) == "permit", "another act"


def test_what_policy_read_of_an_attempt_replays_to_the_same_answer_from_its_record() -> None:
    world = world_with(READING)
    task = world.settle_in()
    world.ask(task)
    world.clock.advance(60)
    held = id_of(world.ask(task))
    world.clock.advance(30)
    assert explain(world.adapters, "default", held).replay == "same"
    assert "attempt 2" in explain(world.adapters, "default", held).facts


def test_replaying_never_takes_a_second_attempt_for_a_first(world: World) -> None:
    task = world.settle_in()
    calls = [world.ask(task), world.ask(task)]
    assert [code_of(one) for one in calls] == ["permit", "permit"]
    calls_of_tools = 'action in Taskbound::Action::"call"'
    twice = f'@id("twice") forbid (principal, {calls_of_tools}, resource) when {{ context.attempt > 1 }};'
    digest = put_in_force(world, twice)
    found = replay(world.adapters, "default", engine_of(world, digest), 9)
    assert found.not_asked == (("the bundle reads what was not recorded: attempt", 2),)
    third = world.ask(task)
    assert code_of(third) == "forbidden"
    most = engine_of(world, propose(world, twice.replace("> 1", "> 2")))
    assert replay(world.adapters, "default", most, 1).same == 1, "the number that was seen is asked again: 3"
    fewer = engine_of(world, propose(world, twice.replace("> 1", "> 3")))
    (one,) = replay(world.adapters, "default", fewer, 1).differences
    assert (one.action, one.was) == (id_of(third), "refuse (forbidden)")


def test_attempts_are_counted_over_the_tree_of_tasks() -> None:
    world = world_with(READING)
    task = world.settle_in()
    world.ask(world.child(task))
    world.clock.advance(60)
    assert code_of(world.ask(task)) == "hold"


def test_an_attempt_that_comes_in_between_makes_what_was_read_of_the_attempts_stale() -> None:
    world = world_with(READING)
    task = world.settle_in()
    other = world.beside()
    world.meanwhile(lambda: other.ask(task, connection="con_b"))
    assert code_of(world.ask(task)) == "forbidden", "the other attempt was just now"


def test_of_equal_calls_in_one_group_only_the_first_is_a_first_attempt() -> None:
    world = world_with(READING)
    task = world.settle_in()
    answers = world.decisions.decide([world.call(task) for _ in range(3)])
    assert [code_of(one) for one in answers] == ["permit", "forbidden", "forbidden"]


def test_a_policy_that_reads_nothing_of_attempts_has_nothing_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_with(
        '@id("only") forbid (principal, action, resource == Taskbound::Tool::"default/x__y")'
        " when { context.attempt > 1 };"
    )
    task = world.settle_in()
    asked: list[str] = []
    monkeypatch.setattr(world.views, "attempts", lambda *_: asked.append("looked"))
    assert [code_of(world.ask(task)) for _ in range(3)] == ["permit"] * 3
    assert asked == [], "the one policy that reads of attempts can't apply to this tool"


@pytest.mark.parametrize("what", ["definition", "people", "policy", "risk", "scope"])
def test_a_policy_sees_what_has_changed_since_the_last_attempt(what: str) -> None:
    rules = CHANGED + "context.attempt > 1 && context.changed.isEmpty() };"
    named = CHANGED.replace("same", "named") + f'context.changed.contains("{what}") }};'
    world = world_with(rules + named)
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    same = world.ask(task)
    assert code_of(same) == "hold"
    assert "`same`" in str(same)
    asks = world
    match what:
        case "definition":
            changed = PAY | {"description": "Pays at once."}
            see(world, changed)
            world.sights.accept("default", "bank__pay", seen_digest(world), ANN)
        case "people":
            with world.store.read() as snapshot:
                agent = snapshot.identities.agent("default", "coder")
            assert agent is not None
            register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
            after = replace(agent, approvers=("ann", "bob"), version=agent.version + 1)
            world.store.write(lambda tx: tx.identities.put_agent(after, expect=agent.version))
        case "risk":
            say_risk(world.adapters, world.views, "default", "coder", "medium", reason="odd", actor=ANN)
        case "policy":
            asks = World(
                store=world.store,
                policy=world.policy + "\n// other words\n",
                clock=world.clock,
                chance=world.chance,
            )
        case _:
            now = world.task(task)
            narrow = replace(now, scope=scope_of(ONE), version=now.version + 1)
            world.store.write(lambda tx: tx.tasks.put_task(narrow, expect=now.version))
    asks.views.forget()
    answer = asks.ask(task, connection="con_z")
    assert code_of(answer) == "hold"
    assert "`named`" in str(answer)
    assert isinstance(answer, Settled | Waiting)
    assert dict(answer.proposal.facts)["changed"].split("\n") == [what]


def test_what_is_not_known_of_the_last_attempt_counts_as_changed() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    world.ask(task)
    row = dict(kept(world, id_of(world.ask(task))).facts)
    assert "agent.owner" not in row, "nothing reads it yet"
    later = World(
        store=world.store,
        policy=base_bundle() + CHANGED + 'context.changed.contains("people") };',
        clock=world.clock,
        chance=world.chance,
    )
    answer = later.ask(task, connection="con_z")
    assert code_of(answer) == "hold"
    assert dict(kept(later, id_of(answer)).facts)["changed"] == "people\npolicy\nrisk"


# --- finding out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_repeat_after_an_unknown_outcome_asks_until_somebody_has_found_out(
    world: World, outcome: str
) -> None:
    task = world.settle_in()
    action = lost(world, task)
    assert code_of(world.ask(task)) == "hold"
    assert find_out(world, action, outcome) == f"reconciled-{outcome}"
    assert history(world, action).last_outcome == outcome
    assert code_of(world.ask(task)) == "permit"
    (event,) = world.events("action-reconciled")
    assert (event["action"], event["after"], event["by"]) == (action, f"reconciled-{outcome}", "ann")
    row = kept(world, action)
    assert (row.state.value, row.note, row.answer, row.released) == (
        f"reconciled-{outcome}", "looked at the ledger", None, False,
    )  # fmt: skip  # four values, side by side


def test_one_attempt_that_was_found_out_says_nothing_of_another_that_is_unknown(world: World) -> None:
    task = world.settle_in()
    first, second = id_of(world.ask(task)), id_of(world.ask(task))
    for one in (first, second):
        world.tell(one, "unknown", None)
    find_out(world, second, "failed")
    assert code_of(world.ask(task)) == "hold", "the first may have taken effect"
    find_out(world, first, "failed")
    assert code_of(world.ask(task)) == "permit"


def test_what_a_later_attempt_came_to_is_not_written_over(world: World) -> None:
    task = world.settle_in()
    first, second = id_of(world.ask(task)), id_of(world.ask(task))
    world.tell(first, "unknown", None)
    world.tell(second, "succeeded")
    find_out(world, first, "failed")
    assert history(world, first).last_outcome == "succeeded"


def test_i30_nothing_is_given_back_for_what_may_have_been_sent(world: World) -> None:
    task = world.settle_in()
    action = lost(world, task)
    before = world.left(task)
    find_out(world, action, "failed")
    assert world.left(task) == before


@pytest.mark.parametrize("outcome", ["", "succeeded", "failed", "not-sent"])
def test_only_an_unknown_outcome_is_reconciled_and_once(world: World, outcome: str) -> None:
    action = id_of(world.ask(world.settle_in()))
    if outcome:
        world.tell(action, outcome)
    with pytest.raises(DeniedError, match="the action"):
        find_out(world, action, "failed")
    assert world.events("action-reconciled") == []


def test_what_was_found_out_is_not_found_out_again(world: World) -> None:
    action = lost(world, world.settle_in())
    find_out(world, action, "failed")
    for outcome in ("failed", "succeeded"):
        with pytest.raises(DeniedError):
            find_out(world, action, outcome)
    assert isinstance(world.tell(action), object)
    assert kept(world, action).state.value == "reconciled-failed", "its holder comes too late"


@pytest.mark.parametrize(
    ("outcome", "note"), [("unknown", "x"), ("not-sent", "x"), ("failed", " "), ("failed", "x" * 501)]
)
def test_a_reconciliation_says_what_it_was_and_how_somebody_knows(
    world: World, outcome: str, note: str
) -> None:
    action = lost(world, world.settle_in())
    with pytest.raises(MalformedError):
        find_out(world, action, outcome, note)
    assert kept(world, action).state.value == "unknown"


def test_an_action_of_another_namespace_is_not_reconciled(world: World) -> None:
    action = lost(world, world.settle_in())
    with pytest.raises(TaskboundError, match="no action is named"):
        reconcile(world.adapters, "other", action, "failed", "x", ANN)


def test_a_duplicate_of_what_was_found_out_gets_no_made_up_answer(world: World) -> None:
    task = world.settle_in()
    action = lost(world, task, key="k", request="r")
    find_out(world, action, "succeeded")
    again = world.ask(task, key="k", request="r2")
    assert (code_of(again), id_of(again)) == ("duplicate", action)
    assert kept(world, action).answer is None


def test_what_was_found_out_of_an_ended_task_is_kept_too(world: World) -> None:
    task = world.settle_in()
    action = lost(world, task)
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="")
    assert find_out(world, action, "failed") == "reconciled-failed"


def test_rows_are_compared_with_what_was_found_out() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    first, second = lost(world, task), lost(world, task, arguments={"to": "eve", "amount": 1})
    find_out(world, first, "failed")
    with world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda *_: None).differences == ()
    for action, state in ((first, "succeeded"), (second, "reconciled-failed")):
        edit_state(world, action, state)
    with world.store.read() as snapshot:
        words = " ".join(compare_rows(snapshot, lambda *_: None).differences)
    assert f"{first} is `succeeded`" in words
    assert f"{second} is `reconciled-failed`, and its record says `unknown`" in words


# --- idempotence ------------------------------------------------------------------------------------


def test_an_unknown_outcome_of_what_a_person_declared_idempotent_asks_nobody(world: World) -> None:
    task = world.settle_in()
    lost(world, task)
    assert code_of(world.ask(task)) == "hold"
    world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(idempotent=True))
    assert code_of(world.ask(task)) == "permit"
    (event,) = world.events("tool-declared")
    assert (event["tool"], event["idempotent"], event["by"]) == ("bank__pay", True, "ann")
    world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(idempotent=False))
    lost(world, task)
    assert code_of(world.ask(task)) == "hold"


def test_a_server_s_own_word_makes_no_tool_idempotent() -> None:
    world = World(store=sqlite_store())
    world.add_bank(PAY | {"annotations": {"idempotentHint": True, "destructiveHint": False}})
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    world.add_agent("coder")
    task = world.start(scope=ONE)
    lost(world, task)
    assert code_of(world.ask(task)) == "hold"


def test_a_tool_that_says_it_is_not_idempotent_is_not_declared_so() -> None:
    world = World(store=sqlite_store())
    world.add_bank(PAY | {"annotations": {"idempotentHint": False}})
    with pytest.raises(DeniedError, match="not idempotent"):
        world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(idempotent=True))
    assert not tool(world).idempotent


def test_what_was_declared_falls_with_the_definition_that_it_was_said_of(world: World) -> None:
    world.settle_in()
    digest = tool(world).digest
    world.sights.declare("default", "bank__pay", digest, ANN, Declaration(idempotent=True))
    see(world, PAY | {"description": "Pays twice."})
    assert tool(world).idempotent, "the pinned definition is still the one that is called"
    world.sights.accept("default", "bank__pay", seen_digest(world), ANN)
    assert not tool(world).idempotent
    with pytest.raises(DeniedError, match="pinned definition"):
        world.sights.declare("default", "bank__pay", digest, ANN, Declaration(idempotent=True))


def test_a_declaration_that_commits_first_makes_a_proposal_stale(world: World) -> None:
    task = world.settle_in()
    world.sights.declare("default", "bank__pay", tool(world).digest, ANN, Declaration(idempotent=True))
    lost(world, task)
    other = world.beside()
    digest = tool(world).digest
    world.meanwhile(
        lambda: other.sights.declare("default", "bank__pay", digest, ANN, Declaration(idempotent=False))
    )
    assert code_of(world.ask(task)) == "hold"


ONE: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 5}]}


def edit_state(world: World, action: str, state: str) -> None:
    """As an attacker does who can write to the database."""
    edit(world.store, "UPDATE actions SET state = ? WHERE id = ?", state, action)


def see(world: World, definition: dict[str, Any]) -> None:
    """The bank lists this definition of `pay` now."""
    identity = tool(world).identity
    raws = [json.dumps(one).encode() for one in (definition, LOOK)]
    world.sights.see("default", "bank", identity, raws, agent="coder")


def seen_digest(world: World) -> str:
    return parse_definition(tool(world).seen).digest
