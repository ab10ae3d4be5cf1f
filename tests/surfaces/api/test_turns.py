from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.decision import Settled
from taskbound.flows.action.outcome import Release, Report
from taskbound.surfaces.api.server.worker import CallTurns
from tests.core.decision.test_plan_order import call, place, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.flows.action.outcome import Released
    from taskbound.flows.approval import QuestionUpdate

MOST = 256


def released(reports: Sequence[Report]) -> tuple[Released, ...]:
    return tuple(Release(action=one.action) for one in reports)


def report(action: str, namespace: str = "default") -> Report:
    return Report(namespace=namespace, connection="con_1", action=action, outcome="succeeded")


def test_who_waits_is_told_once_of_the_outcome_before_it_and_of_no_other() -> None:
    told: list[QuestionUpdate] = []
    turns = CallTurns(released, told.extend)
    turns.note(settled(call(2, 1), plan=place(2, runs="act_1")).answers)
    answers = turns.record([report("act_9"), report("act_1", "other")])
    assert (told, len(answers)) == ([], 2)
    turns.record([report("act_1")])
    turns.record([report("act_1")])
    assert [(one.namespace, one.action, one.connection) for one in told] == [("default", "act_2", "con_1")]


def test_who_is_permitted_or_asked_about_waits_for_nothing_that_runs() -> None:
    told: list[QuestionUpdate] = []
    turns = CallTurns(released, told.extend)
    answers = settled(call(1, 1), call(0, 2), plan=place()).answers
    assert any(isinstance(one, Settled) for one in answers)
    turns.note(answers)
    turns.record([report("act_1"), report("")])
    assert told == []


def test_of_too_many_that_wait_the_oldest_is_let_go() -> None:
    told: list[QuestionUpdate] = []
    turns = CallTurns(released, told.extend)
    runs = [f"act_run{number}" for number in range(MOST + 1)]
    for one in runs:
        turns.note(settled(call(2, 1), plan=place(2, runs=one)).answers)
    turns.record([report(one) for one in runs])
    assert len(told) == MOST
    turns.note(settled(call(2, 1), plan=place(2, runs=runs[0])).answers)
    turns.record([report(runs[0])])
    assert len(told) == MOST + 1
