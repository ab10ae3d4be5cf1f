from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.task import TaskEvent
from taskbound.flows.action import Release, Withhold, explain
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.action.outcome import NotRecordedError, OutcomeSyntaxError, Report
from taskbound.flows.decision import strangers
from taskbound.flows.revocation import stop
from taskbound.ports.store import AmbiguousCommitError, FullDiskError
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from typing import Any

    from taskbound.ports.action import StoredAction
    from tests.world import World


def kept(world: World, action: str) -> StoredAction:
    with world.store.read() as snapshot:
        found = snapshot.actions.action("default", action)
    assert found is not None
    return found


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_result_leaves_once_its_outcome_is_durable_and_its_task_ran(world: World, outcome: str) -> None:
    action = id_of(world.ask(world.settle_in()))
    assert world.tell(action, outcome) == Release(action=action)
    row = kept(world, action)
    assert (row.state.value, row.answer, row.released) == (outcome, b'{"ok":true}', True)
    (event,) = world.events("action-outcome")
    assert (event["before"], event["after"], event["released"]) == ("permitted", outcome, True)


@pytest.mark.parametrize(
    ("way", "code"),
    [("end", "task-ended"), ("pause", "task-paused"), ("expire", "task-expired"), ("stop", "stopped")],
)
def test_law_4_a_result_whose_task_lost_its_authority_is_withheld_and_not_kept(
    world: World, way: str, code: str
) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task))
    match way:
        case "end":
            world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="")
        case "pause":
            world.tasks.pause("default", task.id, ANN, reason="")
        case "expire":
            world.clock.advance(3600)
        case _:
            stop(world.adapters, "default", stopped=True, reason="", actor=ANN)
    answer = world.tell(action)
    assert isinstance(answer, Withhold)
    assert answer.code == code
    row = kept(world, action)
    assert (row.state.value, row.answer, row.released) == ("succeeded", None, False)


def test_only_the_connection_that_holds_the_permit_may_say_what_came_of_it(world: World) -> None:
    action = id_of(world.ask(world.settle_in(), connection="con_a"))
    stranger = world.tell(action, connection="con_b")
    assert isinstance(stranger, Withhold)
    assert stranger.code == "not-holder"
    assert kept(world, action).state.value == "permitted"
    assert isinstance(world.tell(action, connection="con_a"), Release)


def test_an_outcome_is_told_once(world: World) -> None:
    action = id_of(world.ask(world.settle_in()))
    assert isinstance(world.tell(action), Release)
    for outcome in ("failed", "unknown", "not-sent"):
        again = world.tell(action, outcome)
        assert isinstance(again, Withhold)
        assert again.code == "not-holder"
    assert len(world.events("action-outcome")) == 1


def test_an_outcome_that_is_told_again_by_its_holder_is_answered_with_what_stands(world: World) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task))
    assert world.tell(action) == world.tell(action) == Release(action=action)
    assert len(world.events("action-outcome")) == 1
    other = (world.tell(action, "succeeded", b'{"ok":false}'), world.tell(action, connection="con_b"))
    assert [one.code for one in other if isinstance(one, Withhold)] == ["not-holder", "not-holder"]
    world.tasks.pause("default", task.id, ANN, reason="")
    late = world.tell(action)
    assert isinstance(late, Withhold), "what was released while the task ran does not leave afterwards"
    assert late.code == "task-paused"


def test_a_result_that_was_withheld_is_not_released_by_asking_again(world: World) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task))
    world.tasks.pause("default", task.id, ANN, reason="")
    assert isinstance(world.tell(action), Withhold)
    world.tasks.resume("default", task.id, ANN)
    again = world.tell(action)
    assert isinstance(again, Withhold)
    assert (again.code, again.recorded) == ("withheld", True)


def test_an_outcome_that_the_store_could_not_record_is_owed_and_told_again(world: World) -> None:
    action = id_of(world.ask(world.settle_in()))
    write = world.store.write

    def full(*_: Any, **__: Any) -> Any:
        raise FullDiskError("the disk is full")

    world.store.write = full  # type: ignore[method-assign]  # the seam of this story
    owed = world.tell(action)
    assert isinstance(owed, Withhold)
    assert (owed.code, owed.recorded) == ("full-disk", False)
    with pytest.raises(NotRecordedError):
        world.outcomes.lose("default", connection="con_a", reason="gone")
    world.store.write = write  # type: ignore[method-assign]  # the seam of this story
    assert kept(world, action).state.value == "permitted"
    assert isinstance(world.tell(action), Release)


LOSER = ("default", "con_a")


def test_a_repeat_is_held_from_the_instant_its_holder_is_lost_until_it_is_back(world: World) -> None:
    task = world.settle_in()
    world.ask(task, connection="con_a")
    assert code_of(world.ask(task, connection="con_b")) == "permit", "in flight, and its holder is there"
    world.views.doubts.lose(LOSER)
    assert code_of(world.ask(task, connection="con_b")) == "hold"
    eve = {"to": "eve", "amount": 1}
    assert code_of(world.ask(task, arguments=eve, connection="con_b")) == "permit", "another act"
    world.views.doubts.settle(LOSER)
    assert code_of(world.ask(task, connection="con_b")) == "permit"


def test_what_only_reads_is_repeated_in_doubt_and_leaves_no_unknown_behind(world: World) -> None:
    task = world.settle_in()
    look = ("bank__look", {"path": "/srv/a"})
    lost = id_of(world.ask(task, *look, connection="con_a"))
    world.views.doubts.lose(LOSER)
    assert code_of(world.ask(task, *look, connection="con_b")) == "permit"
    with world.store.read() as snapshot:
        act = snapshot.actions.act("default", task.root, kept(world, lost).act_key)
    assert (act.attempts, act.last_outcome) == (2, "none")


def test_a_permit_that_was_granted_to_a_holder_already_lost_is_in_doubt_too(world: World) -> None:
    task = world.settle_in()
    world.views.doubts.lose(LOSER)
    assert code_of(world.ask(task, arguments={"to": "eve", "amount": 1}, connection="con_b")) == "permit"
    assert code_of(world.ask(task, connection="con_a")) == "permit", "it was asked for before the loss"
    assert code_of(world.ask(task, connection="con_b")) == "hold"


def test_an_outcome_ends_the_doubt_for_good(world: World) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task, connection="con_a"))
    world.views.doubts.lose(LOSER)
    assert code_of(world.ask(task, connection="con_b")) == "hold"
    world.views.doubts.settle(LOSER)
    world.tell(action, "not-sent", None)
    assert code_of(world.ask(task, connection="con_b")) == "permit"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "unknown", "not-sent"])
def test_an_outcome_that_is_told_again_within_one_group_is_one_and_another_one_is_refused(
    world: World, outcome: str
) -> None:
    action = id_of(world.ask(world.settle_in()))
    other = "failed" if outcome == "succeeded" else "succeeded"
    report = Report(namespace="default", connection="con_a", action=action, outcome=outcome)
    stranger = replace(report, connection="con_b")
    first, second, *others = world.outcomes.record(
        [report, report, replace(report, outcome=other), stranger, replace(report, answer=b"{}")]
    )
    assert first == second
    assert [one.code for one in others if isinstance(one, Withhold)] == ["not-holder"] * 3
    assert [one["after"] for one in world.events("action-outcome")] == [outcome]


def test_what_was_not_sent_gives_uses_and_limits_back_and_unknown_keeps_them(world: World) -> None:
    task = world.settle_in()
    whole = world.left(task)
    world.tell(id_of(world.ask(task)), "not-sent", None)
    assert world.left(task) == whole
    world.tell(id_of(world.ask(task)), "unknown", None)
    assert world.left(task) == {"g0/uses": 4, "g0/total/amount": 9000}
    assert world.left(task) != whole


def test_two_that_were_not_sent_in_one_group_give_both_back(world: World) -> None:
    task = world.settle_in()
    whole = world.left(task)
    actions = [id_of(world.ask(task)) for _ in range(2)]
    reports = [
        Report(namespace="default", connection="con_a", action=one, outcome="not-sent") for one in actions
    ]
    world.outcomes.record(reports)
    assert world.left(task) == whole


def test_no_outcome_releases_an_unknown_or_unsent_result(world: World) -> None:
    task = world.settle_in()
    for outcome in ("unknown", "not-sent"):
        answer = world.tell(id_of(world.ask(task, arguments={"to": "eve", "amount": 1})), outcome)
        assert isinstance(answer, Withhold)


def test_i30_a_lost_holders_permits_are_unknown_and_stay_so(world: World) -> None:
    task = world.settle_in()
    lost = id_of(world.ask(task, connection="con_a"))
    other = id_of(world.ask(task, arguments={"to": "eve", "amount": 1}, connection="con_b"))
    assert world.outcomes.lose("default", connection="con_a", reason="gone") == 1
    assert kept(world, lost).state.value == "unknown"
    assert kept(world, other).state.value == "permitted"
    assert isinstance(world.tell(lost), Withhold)
    assert code_of(world.ask(task)) == "hold"


def test_permits_of_connections_that_did_not_come_back_are_unknown(world: World) -> None:
    task = world.settle_in()
    here = id_of(world.ask(task, connection="con_a"))
    gone = id_of(world.ask(task, arguments={"to": "eve", "amount": 1}, connection="con_b"))
    with world.store.read() as snapshot:
        assert strangers(snapshot) == {("default", "con_a"), ("default", "con_b")}
    assert world.outcomes.lose("default", connection="con_b", reason="restart") == 1
    assert (kept(world, here).state.value, kept(world, gone).state.value) == ("permitted", "unknown")


def test_an_answer_over_the_limit_is_released_and_only_its_digest_kept(world: World) -> None:
    action = id_of(world.ask(world.settle_in()))
    large = b'"' + b"x" * 1_048_575 + b'"'
    assert isinstance(world.tell(action, "succeeded", large), Release)
    row = kept(world, action)
    assert (row.answer, len(row.answer_digest)) == (None, 64)


def test_an_outcome_that_does_not_exist_reaches_no_group() -> None:
    with pytest.raises(OutcomeSyntaxError):
        Report(namespace="default", connection="c", action="a", outcome="approved")


def test_f3_an_ambiguous_commit_of_an_outcome_is_looked_up(world: World) -> None:
    task = world.settle_in()
    action = id_of(world.ask(task))
    write = world.store.write

    def lost_after(work: Any, **more: Any) -> Any:
        write(work, **more)
        raise AmbiguousCommitError("the connection broke at the commit")

    world.store.write = lost_after  # type: ignore[method-assign]  # the seam of this story
    assert world.tell(action) == Release(action=action)


def test_f3_an_ambiguous_commit_of_a_decision_is_looked_up_and_never_assumed(world: World) -> None:
    task = world.settle_in()
    write = world.store.write
    broken = {"after": 1, "before": 1}

    def lose(work: Any, **more: Any) -> Any:
        if broken["before"]:
            broken["before"] -= 1
            raise AmbiguousCommitError("lost before")
        answer = write(work, **more)
        if broken["after"]:
            broken["after"] -= 1
            raise AmbiguousCommitError("lost after")
        return answer

    world.store.write = lose  # type: ignore[method-assign]  # the seam of this story
    answer = world.ask(task)
    assert code_of(answer) == "permit"
    assert broken == {"after": 0, "before": 0}
    assert world.left(task)["g0/uses"] == 4
    assert [one["action"] for one in world.events("action-decided")] == [id_of(answer)]


def test_i25_a_decision_replays_from_its_record_to_the_same_answer(world: World) -> None:
    task = world.settle_in()
    permitted = id_of(world.ask(task))
    refused = id_of(world.ask(task, arguments={"to": "mallory", "amount": 1}))
    for action in (permitted, refused):
        assert explain(world.adapters, "default", action).replay == "same"


def test_what_came_from_the_standing_of_the_moment_is_not_computed_again(world: World) -> None:
    task = world.settle_in()
    world.tasks.pause("default", task.id, ANN, reason="")
    action = id_of(world.ask(task))
    assert explain(world.adapters, "default", action).replay.startswith("not computed")


def test_an_unknown_action_is_not_explained(world: World) -> None:
    world.settle_in()
    with pytest.raises(UnknownActionError):
        explain(world.adapters, "default", "act_none")
