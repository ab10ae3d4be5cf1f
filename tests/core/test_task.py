from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskbound.core.clock import Instant
from taskbound.core.scope import parse_scope
from taskbound.core.task import (
    ENDED,
    TASK_TRANSITIONS,
    NoTaskError,
    Task,
    TaskEndedError,
    TaskEvent,
    TaskExpiredError,
    TaskHead,
    TaskNotStartedError,
    TaskPausedError,
    TaskState,
    TaskSyntaxError,
    ending,
    move_task,
    parse_lifetime,
    parse_purpose,
    require_live,
)
from taskbound.core.transition import WrongStateError

# Design 5, written a second time, as plainly as can be: what is not here refuses.
PLAIN = {
    "proposed": {
        "start": "running",
        "fail": "failed",
        "cancel": "cancelled",
        "expire": "expired",
        "revoke": "revoked",
    },
    "running": {
        "pause": "paused",
        "miss-heartbeat": "paused",
        "complete": "completed",
        "fail": "failed",
        "cancel": "cancelled",
        "expire": "expired",
        "revoke": "revoked",
    },
    "paused": {
        "resume": "running",
        "overstay-grace": "expired",
        "complete": "completed",
        "fail": "failed",
        "cancel": "cancelled",
        "expire": "expired",
        "revoke": "revoked",
    },
}


def head(
    name: str, *, parent: str = "", state: TaskState = TaskState.RUNNING, deadline: int = 100
) -> TaskHead:
    return TaskHead(
        namespace="default",
        id=name,
        agent="coder",
        parent=parent,
        state=state,
        deadline=Instant(deadline),
        version=1,
    )


def make_task() -> Task:
    return Task(
        namespace="default",
        id="tsk_a",
        agent="coder",
        requester="ann",
        purpose="look",
        evidence=(),
        scope=parse_scope({"grants": [{"tool": "git__log", "others": "any"}]}),
        state=TaskState.PROPOSED,
        parent="",
        root="tsk_a",
        started=Instant(0),
        deadline=Instant(100),
    )


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("event", list(TaskEvent))
def test_every_cell_of_the_table_is_answered_as_the_design_says(state: TaskState, event: TaskEvent) -> None:
    wanted = PLAIN.get(state.value, {}).get(event.value)
    if wanted is None:
        with pytest.raises(WrongStateError):
            TASK_TRANSITIONS.advance(state, event)
    else:
        assert TASK_TRANSITIONS.advance(state, event).value == wanted


class TaskLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.task = make_task()
        self.plain = "proposed"
        self.moves = 0

    @rule(event=st.sampled_from(list(TaskEvent)))
    def happen(self, event: TaskEvent) -> None:
        wanted = PLAIN.get(self.plain, {}).get(event.value)
        if wanted is None:
            with pytest.raises(WrongStateError):
                move_task(self.task, event)
            return
        self.task = move_task(self.task, event)
        self.plain = wanted
        self.moves += 1

    @invariant()
    def agrees(self) -> None:
        assert self.task.state.value == self.plain
        assert self.task.version == 1 + self.moves


TestTaskLife = TaskLife.TestCase


@given(st.sampled_from(sorted(ENDED, key=lambda one: one.value)), st.sampled_from(list(TaskEvent)))
def test_nothing_leads_out_of_an_end(state: TaskState, event: TaskEvent) -> None:
    with pytest.raises(WrongStateError):
        move_task(replace(make_task(), state=state), event)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (TaskState.PROPOSED, TaskNotStartedError),
        (TaskState.PAUSED, TaskPausedError),
        *((state, TaskEndedError) for state in sorted(ENDED, key=lambda one: one.value)),
    ],
)
def test_i13_a_task_is_live_only_while_it_and_every_ancestor_run(
    state: TaskState, error: type[Exception]
) -> None:
    heads = {"a": head("a"), "b": head("b", parent="a"), "c": head("c", parent="b")}
    require_live("c", heads, Instant(99))
    for name, one in heads.items():
        with pytest.raises(error):
            require_live("c", heads | {name: replace(one, state=state)}, Instant(99))


def test_a_deadline_that_has_come_ends_authority_at_that_very_instant() -> None:
    heads = {"a": head("a", deadline=50), "b": head("b", parent="a", deadline=100)}
    require_live("b", heads, Instant(49))
    with pytest.raises(TaskExpiredError):
        require_live("b", heads, Instant(50))


def test_an_unknown_task_an_unknown_ancestor_and_a_circle_of_ancestors_are_no_task() -> None:
    for heads in (
        {},
        {"a": head("a", parent="gone")},
        {"a": head("a", parent="b"), "b": head("b", parent="a")},
    ):
        with pytest.raises(NoTaskError):
            require_live("a", heads, Instant(0))


def test_a_purpose_is_asked_for_and_bounded() -> None:
    assert parse_purpose("look") == "look"
    for bad in ("", " \n", "x" * 501):
        with pytest.raises(TaskSyntaxError):
            parse_purpose(bad)


def test_a_lifetime_is_at_least_a_second_and_at_most_thirty_days() -> None:
    assert parse_lifetime(2_592_000) == 2_592_000
    for bad in (0, -1, 2_592_001, 10**18):
        with pytest.raises(TaskSyntaxError):
            parse_lifetime(bad)


def test_only_the_four_ways_that_somebody_can_say_end_a_task() -> None:
    assert {ending(how) for how in ("completed", "failed", "cancelled", "revoked")} == {
        TaskEvent.COMPLETE,
        TaskEvent.FAIL,
        TaskEvent.CANCEL,
        TaskEvent.REVOKE,
    }
    with pytest.raises(TaskSyntaxError):
        ending("expired")
