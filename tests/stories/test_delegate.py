from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import InactiveAgentError
from taskbound.core.identity.agent import OutsideGrantableError
from taskbound.core.revocation import StoppedError
from taskbound.core.task import (
    LongerThanParentError,
    NoTaskError,
    NotInChargeError,
    OutsideParentError,
    TaskEndedError,
    TaskEvent,
    TaskPausedError,
    TaskSyntaxError,
    TreeTooLargeError,
)
from taskbound.core.task.amendment import DEPTH
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.means import Actor
from taskbound.flows.revocation import stop
from taskbound.flows.task.life import OutsideCeilingError
from tests.world import ANN, CEILING, SCOPE, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from tests.world import World

BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")


def paying(uses: int, total: int, **more: Any) -> dict[str, Any]:
    """A part of what `SCOPE` permits."""
    grant = {**SCOPE["grants"][0], "uses": uses, "total": {"amount": {"limit": total, "exponent": 2}}}
    return {"grants": [grant | more]}


def settle(world: World) -> Task:
    parent = world.settle_in()
    world.add_agent("helper")
    return parent


def ask(world: World, task: Task, amount: int = 10, to: str = "bob", agent: str = "helper") -> str:
    return code_of(world.ask(task, arguments={"to": to, "amount": amount}, agent=agent))


def differences(world: World) -> tuple[str, ...]:
    with world.store.read() as snapshot:
        return compare_rows(snapshot, lambda _done, _total: None).differences


def test_law_3_a_child_takes_its_limits_out_of_its_parents_at_once(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(2, 3000)))
    assert world.left(parent) == {"g0/uses": 3, "g0/total/amount": 7000}
    assert world.left(child) == {"g0/uses": 2, "g0/total/amount": 3000}
    assert (child.parent, child.root, child.requester) == (parent.id, parent.id, "ann")
    assert child.deadline == parent.deadline
    started = world.events("task-started")[-1]
    assert started["parent"] == parent.id
    assert started["carved"] == ["g0/total/amount=3000", "g0/uses=2"]
    assert differences(world) == ()


def test_law_3_splitting_a_task_multiplies_nothing(world: World) -> None:
    parent = settle(world)
    first = world.delegate(parent, scope=scope_of(paying(2, 6000)))
    with pytest.raises(OutsideParentError):
        world.delegate(parent, scope=scope_of(paying(2, 6000)))
    second = world.delegate(parent, scope=scope_of(paying(2, 4000)))
    with pytest.raises(OutsideParentError):
        world.delegate(first, scope=scope_of(paying(1, 6001)))
    third = world.delegate(first, scope=scope_of(paying(2, 6000)))
    paid = 0
    for _ in range(9):
        for task, agent in ((first, "helper"), (second, "helper"), (third, "helper"), (parent, "coder")):
            paid += ask(world, task, amount=20, agent=agent) == "permit"
    assert paid == 4, "uses and total are shared out: whoever has one of them has nothing of the other"
    assert differences(world) == ()


def test_a_child_is_refused_what_its_parent_does_not_cover_and_leaves_nothing(world: World) -> None:
    parent = settle(world)
    before = len(world.records())
    wide = {"to": {"one_of": ["bob", "mallory"]}, "amount": {"range": {"min": 0, "max": 50}}}
    for scope in (
        paying(2, 3000, arguments=wide),
        paying(6, 3000),
        {"grants": [{"tool": "bank__look", "others": "any"}]},
    ):
        with pytest.raises(OutsideParentError):
            world.delegate(parent, scope=scope_of(scope))
    assert len(world.records()) == before
    assert world.left(parent) == {"g0/uses": 5, "g0/total/amount": 10000}


def test_what_a_child_has_not_spent_goes_back_when_it_ends_and_what_is_unknown_does_not(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(4, 9000)))
    answers = [
        world.ask(child, arguments={"to": "bob", "amount": amount}, agent="helper") for amount in (10, 20, 30)
    ]
    world.tell(id_of(answers[0]))
    world.tell(id_of(answers[1]), "unknown", None)
    world.tell(id_of(answers[2]), "not-sent", None)
    world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert world.left(parent) == {"g0/uses": 3, "g0/total/amount": 7000}
    (changed,) = [one for one in world.events("task-changed") if one["task"] == child.id]
    assert changed["returned"] == ["g0/total/amount=6000", "g0/uses=2"]
    assert differences(world) == ()


def test_what_is_open_when_a_child_ends_is_spent_and_told_later_gives_nobody_anything(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(2, 3000)))
    answer = world.ask(child, agent="helper")
    world.tasks.end("default", child.id, TaskEvent.CANCEL, ANN, reason="")
    world.tell(id_of(answer), "not-sent", None)
    assert world.left(parent) == {"g0/uses": 4, "g0/total/amount": 9000}
    world.tasks.end("default", child.id, TaskEvent.CANCEL, ANN, reason="")
    assert world.left(parent) == {"g0/uses": 4, "g0/total/amount": 9000}
    assert differences(world) == ()


def test_what_goes_back_goes_up_through_every_task_that_ends_with_it(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(4, 8000)))
    below = world.delegate(child, scope=scope_of(paying(2, 4000)))
    assert ask(world, below) == "permit"
    ended = world.tasks.end("default", child.id, TaskEvent.COMPLETE, ANN, reason="")
    assert [one.task for one in ended] == [below.id, child.id]
    assert world.left(parent) == {"g0/uses": 4, "g0/total/amount": 9000}
    assert differences(world) == ()


def test_a_child_ends_no_later_than_its_parent(world: World) -> None:
    parent = settle(world)
    with pytest.raises(LongerThanParentError):
        world.delegate(parent, seconds=3601)
    assert world.delegate(parent, scope=scope_of(paying(1, 1)), seconds=60).deadline < parent.deadline


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"purpose": "\u00a0"}, TaskSyntaxError),
        ({"purpose": "x" * 501}, TaskSyntaxError),
        ({"seconds": -1}, TaskSyntaxError),
        ({"scope": None}, TaskSyntaxError),
        ({"template": "both"}, TaskSyntaxError),
        ({"evidence": ("ticket:a:1", "ticket:a:1")}, TaskSyntaxError),
        ({"parent": "tsk_\u202e'; DROP TABLE tasks; --"}, NoTaskError),
        ({"agent": "lazy"}, InactiveAgentError),
        ({"agent": "narrow"}, OutsideCeilingError),
    ],
)
def test_a_child_that_can_not_be_is_refused_and_leaves_nothing(
    world: World, changes: dict[str, Any], error: type[Exception]
) -> None:
    parent = settle(world)
    world.add_agent("lazy")
    world.agents.suspend("default", "lazy", ANN, reason="")
    world.add_agent("narrow", ceiling={"grants": [{"tool": "bank__look", "others": "any"}]})
    before = len(world.records())
    with pytest.raises(error):
        world.delegate(parent, **changes)
    assert len(world.records()) == before


def test_nothing_is_handed_on_of_what_is_paused_ended_or_stopped(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(2, 3000)))
    world.tasks.pause("default", parent.id, ANN, reason="")
    for task in (parent, child):
        with pytest.raises(TaskPausedError):
            world.delegate(task, scope=scope_of(paying(1, 1)))
    stop(world.adapters, "default", stopped=True, reason="", actor=ANN)
    with pytest.raises(StoppedError):
        world.delegate(parent, scope=scope_of(paying(1, 1)))
    stop(world.adapters, "default", stopped=False, reason="", actor=ANN)
    world.tasks.end("default", parent.id, TaskEvent.COMPLETE, ANN, reason="")
    with pytest.raises(TaskEndedError):
        world.delegate(child, scope=scope_of(paying(1, 1)))


def test_a180_only_who_asked_for_a_task_or_owns_its_agent_hands_it_on_and_what_they_may_grant(
    world: World,
) -> None:
    parent = settle(world)
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    with pytest.raises((NotInChargeError, OutsideGrantableError)):
        world.delegate(parent, BOB, scope=scope_of(paying(1, 1)))
    with world.store.read() as snapshot:
        bob = snapshot.identities.persons("default")["bob"]
        ann = snapshot.identities.persons("default")["ann"]
    world.store.write(
        lambda tx: tx.identities.put_person(
            replace(bob, grantable=ann.grantable, version=bob.version + 1), expect=bob.version
        )
    )
    with pytest.raises(NotInChargeError):
        world.delegate(parent, BOB, scope=scope_of(paying(1, 1)))
    child = world.delegate(parent, scope=scope_of(paying(1, 1)))
    with world.store.read() as snapshot:
        line = snapshot.tasks.lineage("default", child.id)
        tree = snapshot.tasks.tree("default", child.root)
    assert [one.requester for one in line] == ["ann", "ann"]
    assert {one.id for one in tree} == {parent.id, child.id}


def test_who_owns_the_parents_agent_no_more_when_it_is_written_hands_nothing_on(world: World) -> None:
    parent = settle(world)
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    with world.store.read() as snapshot:
        persons = snapshot.identities.persons("default")
    bob = replace(persons["bob"], grantable=persons["ann"].grantable, version=persons["bob"].version + 1)
    world.store.write(lambda tx: tx.identities.put_person(bob, expect=bob.version - 1))

    def own(owner: str, actor: Actor) -> None:
        People(world.adapters, world.views).set_answering(
            "default", "coder", owner=owner, approvers=("ann",), actor=actor, owns=False
        )

    own("bob", ANN)
    child = world.delegate(parent, BOB, scope=scope_of(paying(1, 1)))
    assert child.requester == "bob"
    world.meanwhile(lambda: own("ann", BOB))
    before = world.left(parent)
    with pytest.raises(NotInChargeError):
        world.delegate(parent, BOB, scope=scope_of(paying(1, 1)))
    assert world.left(parent) == before


def test_a_line_of_tasks_has_an_end(world: World) -> None:
    task = settle(world)
    for _ in range(DEPTH - 1):
        task = world.delegate(task, scope=scope_of(paying(1, 100)))
    with pytest.raises(TreeTooLargeError):
        world.delegate(task, scope=scope_of(paying(1, 100)))
    assert ask(world, task, amount=1) == "permit"


def test_a_tree_of_tasks_has_a_bound_and_an_ended_task_makes_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = settle(world)
    monkeypatch.setattr("taskbound.core.task.amendment.LIVING", 3)
    first = world.delegate(parent, scope=scope_of(paying(1, 100)))
    world.delegate(first, scope=scope_of(paying(1, 100)))
    with pytest.raises(TreeTooLargeError):
        world.delegate(parent, scope=scope_of(paying(1, 100)))
    world.tasks.end("default", first.id, TaskEvent.COMPLETE, ANN, reason="")
    world.delegate(parent, scope=scope_of(paying(1, 100)))


def test_i13_a_parents_end_ends_and_its_pause_silences_all_beneath_it(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(4, 8000)))
    below = world.delegate(child, scope=scope_of(paying(2, 4000)))
    told = world.tasks.pause("default", parent.id, ANN, reason="odd")
    assert [(one.task, one.state.value) for one in told] == [
        (child.id, "paused"),
        (below.id, "paused"),
        (parent.id, "paused"),
    ]
    assert ask(world, below) == ask(world, child) == "task-paused"
    told = world.tasks.resume("default", parent.id, ANN)
    assert {one.task for one in told} == {child.id, below.id, parent.id}
    assert ask(world, below) == ask(world, child) == "permit"
    world.tasks.pause("default", below.id, ANN, reason="")
    told = world.tasks.pause("default", parent.id, ANN, reason="")
    told = world.tasks.resume("default", parent.id, ANN)
    assert {one.task for one in told} == {child.id, parent.id}, "what was paused itself stays so"
    assert ask(world, below) == "task-paused"
    world.tasks.end("default", parent.id, TaskEvent.REVOKE, ANN, reason="")
    assert ask(world, below) == ask(world, child) == "task-ended"


def test_i08_a_call_is_bounded_by_the_agent_of_every_task_above(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(4, 8000)))
    assert ask(world, child, to="eve") == "permit"
    bob_only = {"tool": "bank__pay", "arguments": {"to": {"equals": "bob"}}, "others": "any"}
    narrow = {"grants": [bob_only, CEILING["grants"][1]]}
    world.agents.set_ceiling("default", "coder", scope_of(narrow), ANN)
    assert ask(world, child, to="eve") == "outside-scope"
    assert ask(world, child, to="bob") == "permit"
    ended = world.agents.suspend("default", "coder", ANN, reason="")
    assert {one.task for one in ended} == {parent.id, child.id}
    assert ask(world, child, to="bob") == "task-ended"
    assert differences(world) == ()


def test_what_an_agent_above_lost_while_a_call_was_judged_is_lost_for_it(world: World) -> None:
    parent = settle(world)
    child = world.delegate(parent, scope=scope_of(paying(4, 8000)))
    assert ask(world, child) == "permit"
    other = world.beside()
    look = scope_of({"grants": [{"tool": "bank__look", "others": "any"}]})
    world.meanwhile(lambda: other.agents.set_ceiling("default", "coder", look, ANN))
    assert ask(world, child) == "outside-scope"


def test_a_child_that_is_handed_on_while_its_parent_ends_is_refused(world: World) -> None:
    parent = settle(world)
    world.meanwhile(lambda: world.tasks.end("default", parent.id, TaskEvent.REVOKE, ANN, reason=""))
    with pytest.raises(TaskEndedError):
        world.delegate(parent, scope=scope_of(paying(1, 1)))
    assert world.left(parent) == {"g0/uses": 5, "g0/total/amount": 10000}


def test_what_was_spent_while_a_child_was_handed_on_is_not_there_to_be_carved(world: World) -> None:
    parent = settle(world)

    def spend() -> None:
        for _ in range(2):
            assert ask(world, parent, amount=50, agent="coder") == "permit"

    world.meanwhile(spend)
    with pytest.raises(OutsideParentError):
        world.delegate(parent, scope=scope_of(paying(3, 1)))


RATED = {"grants": [{"tool": "bank__pay", "others": "any", "rate": {"uses": 2, "seconds": 60}}]}


def test_law_3_children_share_the_rate_of_what_they_were_carved_from(world: World) -> None:
    settle(world)
    parent = world.start(scope=RATED)
    first = world.delegate(parent, scope=scope_of(RATED))
    second = world.delegate(parent, scope=scope_of(RATED))
    below = world.delegate(second, scope=scope_of(RATED))
    assert ask(world, first) == "permit"
    assert ask(world, below) == "permit"
    assert ask(world, second) == ask(world, first) == ask(world, parent, agent="coder") == "exhausted"
    world.clock.advance(60)
    assert ask(world, parent, agent="coder") == "permit"
    assert ask(world, second) == "permit"
    assert ask(world, below) == "exhausted"
    assert differences(world) == ()


def test_calls_that_are_decided_together_share_the_rates_above_them(world: World) -> None:
    settle(world)
    parent = world.start(scope=RATED)
    tasks = [world.delegate(parent, scope=scope_of(RATED)) for _ in range(3)]
    calls = [world.call(one, arguments={"to": "bob", "amount": 1}, agent="helper") for one in tasks]
    assert [code_of(one) for one in world.decisions.decide(calls)] == ["permit", "permit", "exhausted"]


def test_a_grant_stands_only_on_those_that_it_was_carved_from(world: World) -> None:
    settle(world)
    exact = {"tool": "bank__pay", "arguments": {"to": {"equals": "bob"}, "amount": {"any": True}}, "uses": 2}
    parent = world.start(scope={"grants": [exact, {"tool": "bank__pay", "others": "any", "uses": 3}]})
    small = {"tool": "bank__pay", "arguments": {"to": {"equals": "bob"}, "amount": {"any": True}}, "uses": 2}
    child = world.delegate(parent, scope=scope_of({"grants": [small]}))
    (share,) = child.shares
    gone = replace(child, shares=(replace(share, parent="g9"),), version=child.version + 1)
    world.store.write(lambda tx: tx.tasks.put_task(gone, expect=child.version))
    answer = world.ask(gone, agent="helper")
    assert code_of(answer) == "outside-scope"


def test_names_and_texts_of_a_child_are_kept_as_they_are_and_told_escaped(world: World) -> None:
    parent = settle(world)
    purpose = "pay \u202eevil\u202c\x1b[31m {“} ' \" \\ \n"
    child = world.delegate(parent, purpose=purpose, evidence=("ticket:a:1",), scope=scope_of(paying(1, 1)))
    assert world.task(child).purpose == purpose
    assert world.events("task-started")[-1]["purpose"] == purpose
