"""Decisions while the signer has not confirmed the log, and what goes on without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.task import TaskEvent
from taskbound.flows.action import Release, Withhold
from taskbound.flows.audit.sequencing import BOUND, LATE, LogFreshness, LogUnconfirmedError
from taskbound.flows.decision import Decisions
from taskbound.flows.revocation import stop
from tests.world import ANN, World, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_freshness_begins_unconfirmed() -> None:
    freshness = LogFreshness(Seconds())
    with pytest.raises(LogUnconfirmedError, match="since the daemon started"):
        freshness.require()


@pytest.mark.parametrize(("later", "refused"), [(0.0, False), (BOUND, False), (BOUND + 0.001, True)])
def test_confirmation_counts_from_when_the_store_was_looked_at(later: float, *, refused: bool) -> None:
    clock = Seconds()
    freshness = LogFreshness(clock)
    freshness.mark(7)
    clock.now += later
    freshness.confirm(7)  # a signer that took so long to answer
    assert bool(freshness.trouble) is refused


def test_signer_that_answers_and_vouches_for_nothing_new_stops_decisions_within_the_bound() -> None:
    clock = Seconds()
    freshness = LogFreshness(clock)
    freshness.mark(7)
    freshness.confirm(7)
    refused = []
    for second in range(12):
        refused.append(freshness.trouble != "")
        clock.now += 1
        freshness.mark(8 + second)
        freshness.confirm(7)
    assert refused == [False] * 11 + [True]


@pytest.mark.parametrize(("later", "refused"), [(BOUND - 3, False), (BOUND - 3 + 0.001, True)])
def test_signature_confirms_as_of_when_the_store_held_no_more(later: float, *, refused: bool) -> None:
    clock = Seconds()
    freshness = LogFreshness(clock)
    for records in (7, 8, 9, 10):
        freshness.mark(records)
        clock.now += 1
    freshness.confirm(8)  # what it held three seconds ago
    clock.now += later
    assert bool(freshness.trouble) is refused


def test_records_are_late_from_three_seconds_without_a_signature() -> None:
    clock = Seconds()
    freshness = LogFreshness(clock)
    freshness.mark(7)
    clock.now += LATE
    late = [freshness.late]
    clock.now += 0.001
    freshness.mark(7)
    late.append(freshness.late)
    freshness.confirm(7)
    assert [*late, freshness.late] == [False, True, False]


def test_signer_that_vouches_for_less_than_the_store_holds_confirms_nothing_at_the_start() -> None:
    freshness = LogFreshness(Seconds())
    freshness.mark(7)
    freshness.confirm(6)
    assert "since the daemon started" in freshness.trouble


def test_daemon_that_never_compared_its_log_refuses_and_takes_nothing(world: World) -> None:
    task = world.settle_in()
    before = world.left(task)
    world.adapters = replace(world.adapters, freshness=LogFreshness(lambda: world.elapsed))
    world.decisions = Decisions(world.adapters, world.views)
    assert code_of(world.ask(task)) == "log-unconfirmed"
    assert world.left(task) == before


CALLS: dict[str, Callable[[World, Task], str]] = {
    "a call that scope permits": lambda world, task: code_of(world.ask(task)),
    "a call that scope refuses": lambda world, task: code_of(world.ask(task, arguments={"to": "mallory"})),
    "a repeat of a call": lambda world, task: code_of(world.ask(task, request="first")),
    "a repeat of a key": lambda world, task: code_of(world.ask(task, key="k")),
}


@pytest.mark.parametrize("call", CALLS)
def test_stale_confirmation_refuses_with_one_record_until_the_signer_confirms(
    world: World, call: str
) -> None:
    task = world.settle_in()
    id_of(world.ask(task, request="first", key="k"))
    world.elapsed += BOUND + 1
    left, records = world.left(task), world.records()
    assert CALLS[call](world, task) == "log-unconfirmed"
    assert world.left(task) == left
    (record,) = world.records()[len(records) :]
    assert (record["event"]["kind"], record["event"]["code"]) == ("action-undecided", "log-unconfirmed")
    world.adapters.freshness.mark(len(world.records()))
    world.adapters.freshness.confirm(len(world.records()))
    assert CALLS[call](world, task) != "log-unconfirmed"


def test_group_that_waits_for_locks_past_the_bound_is_refused(world: World) -> None:
    task = world.settle_in()

    def pass_by() -> None:
        world.elapsed += BOUND + 1

    world.meanwhile(pass_by)  # between evaluation and commit
    assert code_of(world.ask(task)) == "log-unconfirmed"


def test_outcomes_ends_and_the_kill_switch_commit_while_decisions_are_refused(world: World) -> None:
    task = world.settle_in()
    told, late = id_of(world.ask(task)), id_of(world.ask(task, arguments={"to": "eve", "amount": 2}))
    world.elapsed += BOUND + 1
    assert isinstance(world.tell(told), Release)
    world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="enough")
    assert isinstance(world.tell(late), Withhold)
    assert stop(world.adapters, "default", stopped=True, reason="enough", actor=ANN).stopped
