from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.decision import Permit, Refuse, Settled
from taskbound.core.task import NoTaskError, TaskEvent
from taskbound.flows.decision.usable import NotDecided
from taskbound.flows.revocation import stop
from tests.world import ANN, World, code_of, codes_of, id_of, scope_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

ONE_USE = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 1}]}


def test_a_covered_call_is_permitted_recorded_and_takes_its_limits(world: World) -> None:
    task = world.settle_in()
    answer = world.ask(task)
    assert code_of(answer) == "permit"
    assert world.left(task) == {"g0/uses": 4, "g0/total/amount": 9000}
    (event,) = world.events("action-decided")
    assert (event["action"], event["decision"], event["grant"]) == (id_of(answer), "permit", "g0")
    with world.store.read() as snapshot:
        kept = snapshot.actions.action("default", id_of(answer))
    assert kept is not None
    assert (kept.arguments, kept.state.value) == (b'{"amount":10,"to":"bob"}', "permitted")


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("bank__pay", {"to": "mallory", "amount": 1}, "outside-scope"),
        ("bank__pay", {"to": "bob", "amount": 51}, "outside-scope"),
        ("bank__pay", {"to": "bob", "amount": 1, "approved": True}, "outside-scope"),
        ("bank__pay", {"to": "bob"}, "outside-scope"),
        ("bank__pay", {"to": ["bob"], "amount": 1}, "outside-scope"),
        ("bank__pay", {"to": "bob", "amount": "1"}, "outside-scope"),
        ("bank__pay", {"to": "bob", "amount": 0.001}, "outside-scope"),
        ("bank__look", {"path": "/srv/../etc/passwd"}, "outside-scope"),
        ("bank__look", {"path": "/srv_extra/a"}, "outside-scope"),
        ("bank__burn", {}, "unknown-tool"),
        ("bank__Pay", {"to": "bob", "amount": 1}, "unknown-tool"),
    ],
)
def test_i16_what_no_grant_covers_is_refused_with_one_record_and_takes_nothing(
    world: World, tool: str, arguments: dict[str, Any], code: str
) -> None:
    task = world.settle_in()
    before = world.left(task)
    answer = world.ask(task, tool, arguments)
    assert code_of(answer) == code
    assert world.left(task) == before
    (event,) = world.events("action-decided")
    assert (event["decision"], event["action"]) == ("refuse", id_of(answer))


def test_a_refusal_tells_the_model_in_one_sentence_what_it_may_do(world: World) -> None:
    task = world.settle_in()
    answer = world.ask(task, "bank__pay", {"to": "mallory", "amount": 1})
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Refuse)
    assert "bob" in answer.decision.reasons[0].text
    assert answer.decision.instead.startswith("stay within that")
    assert "\n" not in answer.decision.instead


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"to":"bob","to":"eve","amount":1}', "duplicate-key"),
        (b'{"amount":NaN,"to":"bob"}', "not-finite"),
        (b'{"amount":1e999,"to":"bob"}', "not-finite"),
        (b'{"amount": 1,"to":"bob"}', "not-canonical"),
        (b'{"to":"bob","amount":1}', "not-canonical"),
        (b'{"amount":1.0,"to":"bob"}', "not-canonical"),
        (b'["bob"]', "not-an-object"),
        (b"", "empty-document"),
    ],
)
def test_i20_bytes_that_are_not_their_own_canonical_form_are_no_action_and_leave_one_record(
    world: World, raw: bytes, code: str
) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task, "bank__pay", raw)) == code
    (event,) = world.events("action-refused-malformed")
    assert (event["code"], event["size"], event["task"]) == (code, len(raw), task.id)
    assert world.events("action-decided") == []


def test_a_key_that_is_too_long_is_no_action_and_leaves_one_record(world: World) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task, key="k" * 201)) == "bad-idempotency-key"
    (event,) = world.events("action-refused-malformed")
    assert (event["code"], event["task"]) == ("bad-idempotency-key", task.id)
    assert world.events("action-decided") == []
    assert code_of(world.ask(task, key="k" * 200)) == "permit"


def test_the_split_attack_is_stopped_by_the_total_at_the_limit(world: World) -> None:
    scope = {
        "grants": [
            {
                "tool": "bank__pay",
                "arguments": {"amount": {"any": True}},
                "others": "any",
                "total": {"amount": {"limit": 100, "exponent": 0}},
            }
        ]
    }
    world.settle_in()
    world.tasks.end("default", _running(world), TaskEvent.COMPLETE, ANN, reason="")
    task = world.start(scope=scope)
    calls = [world.call(task, "bank__pay", {"to": "bob", "amount": 30, "n": n}) for n in range(6)]
    assert codes_of(world.decisions.decide(calls)) == ["permit"] * 3 + ["exhausted"] * 3
    assert world.left(task) == {"g0/total/amount": 10}
    assert code_of(world.ask(task, "bank__pay", {"to": "bob", "amount": 10})) == "permit"
    assert code_of(world.ask(task, "bank__pay", {"to": "bob", "amount": 1})) == "exhausted"


def test_of_64_racing_threads_on_one_remaining_use_one_is_permitted(world: World) -> None:
    world.settle_in()
    world.tasks.end("default", _running(world), TaskEvent.COMPLETE, ANN, reason="")
    task = world.start(scope=ONE_USE)
    lock = threading.Lock()
    calls = [world.call(task, arguments={"to": "bob", "n": n}, connection=f"con_{n % 2}") for n in range(64)]
    found: list[str] = []

    def decide(call: Any) -> None:
        # Each through its own views, as two daemons would: only the store settles between them.
        decisions = type(world.decisions)(world.adapters, type(world.views)(world.store))
        (answer,) = decisions.decide([call])
        with lock:
            found.append(code_of(answer))

    threads = [threading.Thread(target=decide, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["exhausted"] * 63 + ["permit"]
    assert world.left(task) == {"g0/uses": 0}


def test_of_64_calls_in_one_group_on_one_remaining_use_one_is_permitted(world: World) -> None:
    world.settle_in()
    world.tasks.end("default", _running(world), TaskEvent.COMPLETE, ANN, reason="")
    task = world.start(scope=ONE_USE)
    answers = world.decisions.decide([world.call(task) for _ in range(64)])
    assert codes_of(answers) == ["permit"] + ["exhausted"] * 63


@pytest.mark.parametrize("poison", [b"{", b'{"amount":1,"to":"bob"}' * 2, b'{"a":1,"a":1}'])
def test_i26_a_group_with_one_poisoned_call_answers_the_other_63_rightly(world: World, poison: bytes) -> None:
    world.settle_in()
    world.tasks.end("default", _running(world), TaskEvent.COMPLETE, ANN, reason="")
    task = world.start(scope={"grants": [{"tool": "bank__pay", "others": "any", "uses": 63}]})
    calls = [world.call(task) for _ in range(64)]
    calls[17] = world.call(task, arguments=poison)
    answers = world.decisions.decide(calls)
    assert isinstance(answers[17], NotDecided)
    assert codes_of([*answers[:17], *answers[18:]]) == ["permit"] * 63


def test_i26_a_call_that_can_not_be_written_breaks_only_itself(tmp_path: Path) -> None:
    world = World(store=SqlStore(tmp_path / "world.db"))
    task = world.settle_in()
    calls = [world.call(task, "bank__look", {"path": f"/srv/{n}"}) for n in range(5)]
    # A lone surrogate in a place that the wire can't produce: this database can't write it.
    calls[2] = world.call(task, "bank__look", {"path": "/srv/2"}, request="\ud800")
    answers = world.decisions.decide(calls)
    assert codes_of([*answers[:2], *answers[3:]]) == ["permit"] * 4
    assert code_of(answers[2]) == "undecided"
    (event,) = world.events("action-undecided")
    assert (event["code"], event["tool"], event["task"]) == ("undecided", "bank__look", task.id)


def test_a_revocation_that_commits_while_a_decision_waits_wins(world: World) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    call = world.call(task)
    world.meanwhile(lambda: world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="late"))
    (answer,) = world.decisions.decide([call])
    assert code_of(answer) == "task-ended"


def test_another_daemons_revocation_wins_over_this_ones_views(world: World) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task)) == "permit"
    other = world.beside()
    other.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="elsewhere")
    assert code_of(world.ask(task)) == "task-ended"


def test_the_kill_switch_stops_permits_at_once_and_tasks_can_still_be_ended(world: World) -> None:
    task = world.settle_in()
    stop(world.adapters, "default", stopped=True, reason="fire", actor=ANN)
    assert code_of(world.ask(task)) == "stopped"
    assert [one.task for one in world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")] == [
        task.id
    ]
    stop(world.adapters, "default", stopped=False, reason="out", actor=ANN)
    assert code_of(world.ask(task)) == "task-ended"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (TaskEvent.COMPLETE, "task-ended"),
        (TaskEvent.FAIL, "task-ended"),
        (TaskEvent.CANCEL, "task-ended"),
        (TaskEvent.REVOKE, "task-ended"),
    ],
)
def test_i12_an_ended_task_permits_nothing(world: World, event: TaskEvent, code: str) -> None:
    task = world.settle_in()
    world.tasks.end("default", task.id, event, ANN, reason="done")
    assert code_of(world.ask(task)) == code


def test_a_paused_task_permits_nothing_until_it_is_resumed(world: World) -> None:
    task = world.settle_in()
    world.tasks.pause("default", task.id, ANN, reason="lunch")
    assert code_of(world.ask(task)) == "task-paused"
    world.tasks.resume("default", task.id, ANN)
    assert code_of(world.ask(task)) == "permit"


def test_i52_a_deadline_is_the_end_whatever_the_sweep_does(world: World) -> None:
    task = world.settle_in()
    world.clock.advance(3600)
    assert code_of(world.ask(task)) == "task-expired"
    assert [one.state.value for one in world.tasks.expire()] == ["expired"]
    assert code_of(world.ask(task)) == "task-ended"


def test_a_suspended_agents_tasks_are_revoked_and_it_acts_no_more(world: World) -> None:
    task = world.settle_in()
    assert [one.task for one in world.agents.suspend("default", "coder", ANN, reason="odd")] == [task.id]
    assert code_of(world.ask(task)) == "inactive-agent"


def test_law_1_a_call_without_a_task_is_refused_and_recorded(world: World) -> None:
    world.settle_in()
    answer = world.ask(None, unbound=NoTaskError("no task runs for agent `coder`"))
    assert code_of(answer) == "no-task"
    (event,) = world.events("action-decided")
    assert (event["decision"], event["task"]) == ("refuse", "")


def test_a_task_is_its_own_agents_and_nobody_elses(world: World) -> None:
    task = world.settle_in()
    world.add_agent("other")
    assert code_of(world.ask(task, agent="other")) == "no-task"


def test_law_3_the_ceiling_bounds_what_a_wider_scope_says(world: World) -> None:
    narrow = {
        "grants": [{"tool": "bank__pay", "arguments": {"amount": {"range": {"max": 5}}}, "others": "any"}]
    }
    world.settle_in()
    world.add_agent("small")
    task = world.start(scope={"grants": [{"tool": "bank__pay", "others": "any"}]}, agent="small")
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 6}, agent="small")) == "permit"
    world.agents.set_ceiling("default", "small", scope_of(narrow), ANN)
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 5}, agent="small")) == "permit"
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 6}, agent="small")) == "outside-scope"


def test_a_duplicate_is_answered_with_the_first_one_and_takes_nothing(world: World) -> None:
    task = world.settle_in()
    first = world.ask(task, key="k", connection="con_a")
    world.tell(id_of(first))
    left = world.left(task)
    again = world.ask(task, key="k", connection="con_b")
    assert code_of(again) == "duplicate"
    assert id_of(again) == id_of(first)
    assert world.left(task) == left
    assert [one["decision"] for one in world.events("action-decided")] == ["permit", "duplicate"]


def test_the_same_request_on_the_same_connection_is_a_duplicate_and_on_another_a_new_one(
    world: World,
) -> None:
    task = world.settle_in()
    first = world.ask(task, request="7", connection="con_a")
    assert id_of(world.ask(task, request="7", connection="con_a")) == id_of(first)
    assert code_of(world.ask(task, request="7", connection="con_b")) == "permit"
    assert code_of(world.ask(task, request='"7"', connection="con_a")) == "permit"


def test_a183_a_key_with_another_argument_is_refused(world: World) -> None:
    task = world.settle_in()
    world.ask(task, key="k")
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 11}, key="k")) == "key-reused"


def test_a_key_of_one_task_says_nothing_in_another(world: World) -> None:
    first = world.settle_in()
    world.ask(first, key="k")
    second = world.start()
    assert code_of(world.ask(second, key="k")) == "permit"


def test_an_ended_task_does_not_release_a_stored_answer(world: World) -> None:
    task = world.settle_in()
    world.tell(id_of(world.ask(task, key="k")))
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
    assert code_of(world.ask(task, key="k")) == "task-ended"


def test_law_7_a_repeat_after_an_unknown_outcome_holds_over_the_whole_task(world: World) -> None:
    task = world.settle_in()
    world.tell(id_of(world.ask(task)), "unknown", None)
    assert code_of(world.ask(task)) == "hold"
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 11})) == "permit"


def test_attempts_are_counted_by_act(world: World) -> None:
    task = world.settle_in()
    for number in (1, 2, 3):
        answer = world.ask(task)
        assert isinstance(answer, Settled)
        assert (isinstance(answer.decision, Permit), answer.attempt) == (True, number)
    other = world.ask(task, arguments={"to": "eve", "amount": 10})
    assert isinstance(other, Settled)
    assert other.attempt == 1


def test_i25_every_decision_names_what_it_was_made_from(world: World) -> None:
    task = world.settle_in()
    world.ask(task)
    (event,) = world.events("action-decided")
    assert event["scope"] == task.scope.digest
    assert event["bundle"] == world.adapters.policy.base.bundle
    with world.store.read() as snapshot:
        pinned = snapshot.tools.tool("default", "bank__pay")
    assert pinned is not None
    assert (event["server"], event["definition"]) == (pinned.identity, pinned.digest)


def test_a_policy_that_errs_refuses(store: Any) -> None:
    bar = (
        '@id("bar") forbid (principal, action, resource) when { context.attempt + 9223372036854775807 > 0 };'
    )
    world = World(store=store, policy=f'@id("all") permit (principal, action, resource);\n{bar}')
    task = world.settle_in()
    assert code_of(world.ask(task)) == "policy-erred"


def test_a_text_trick_in_an_argument_is_flagged_in_the_record(world: World) -> None:
    world.settle_in()
    world.tasks.end("default", _running(world), TaskEvent.COMPLETE, ANN, reason="")
    task = world.start(scope={"grants": [{"tool": "bank__pay", "others": "any"}]})
    world.ask(task, arguments={"to": "bob\u202eevil", "amount": 1})
    (event,) = world.events("action-decided")
    assert event["flags"] == ["bidi"]


def _running(world: World) -> str:
    with world.store.read() as snapshot:
        (task,) = snapshot.tasks.tasks("default")
    return task.id


def test_law_3_a_childs_wider_scope_gives_nothing_that_an_ancestor_does_not_cover(world: World) -> None:
    parent = world.settle_in()
    child = world.child(parent, scope={"grants": [{"tool": "bank__pay", "others": "any"}]})
    grandchild = world.child(child, scope={"grants": [{"tool": "bank__pay", "others": "any"}]})
    for task in (child, grandchild):
        assert code_of(world.ask(task, arguments={"to": "bob", "amount": 1})) == "permit"
        assert code_of(world.ask(task, arguments={"to": "mallory", "amount": 1})) == "outside-scope"


def test_i13_the_end_of_a_task_ends_every_task_beneath_it_at_any_depth(world: World) -> None:
    parent = world.settle_in()
    child = world.child(parent)
    grandchild = world.child(child)
    assert code_of(world.ask(grandchild)) == "permit"
    ended = world.tasks.end("default", parent.id, TaskEvent.COMPLETE, ANN, reason="")
    assert [(one.task, one.state.value) for one in ended] == [
        (grandchild.id, "revoked"),
        (child.id, "revoked"),
        (parent.id, "completed"),
    ]
    for task in (child, grandchild):
        assert code_of(world.ask(task)) == "task-ended"


def test_a_paused_parent_pauses_what_is_beneath_it(world: World) -> None:
    parent = world.settle_in()
    child = world.child(parent)
    assert code_of(world.ask(child)) == "permit"
    world.tasks.pause("default", parent.id, ANN, reason="")
    assert code_of(world.ask(child)) == "task-paused"
