from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.flows.audit.rows import compare_rows
from tests.peers.planning import Planner, pay
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Plan
    from taskbound.ports.store import Store
    from tests.world import World

STEPS = (pay(1), pay(2), pay(3))
WIDE: dict[str, Any] = {"grants": [{"tool": "bank__pay", "others": "any"}]}
GROUPS = (1, 1, 2, 4, 8, 16)
"""How many presentations each of two daemons makes in one transaction, one after the other: 64 of both."""


class Race:
    """One signed plan of a task of its own, and two daemons that are called at the same time."""

    def __init__(self, stores: tuple[Store, Store]) -> None:
        self.there = Planner(stores[0])
        self.worlds = (self.there.world, self.there.beside_on(stores[1]).world)
        self.seen: list[tuple[str, str]] = []
        """What was permitted, and what has begun to be told of it, in the order in which callers knew."""

    def plan(self) -> Plan:
        self.there.task = self.there.world.start(scope=WIDE)
        self.seen = []
        plan = self.there.propose(*STEPS)
        self.there.sign(plan)
        return plan

    def use(self, world: World, connection: str, steps: tuple[dict[str, JsonValue], ...]) -> None:
        """Present these, in groups, again and again; whatever is permitted succeeds."""
        turn = 0
        for size in GROUPS:
            calls = []
            for _ in range(size):
                step = steps[turn % len(steps)]
                calls.append(
                    world.call(
                        self.there.task,
                        "bank__pay",
                        step,
                        connection=connection,
                        request=f"{connection}{turn}",
                    )
                )
                turn += 1
            for one in world.decisions.decide(calls):
                if code_of(one) == "permit":
                    self.seen += [("permitted", id_of(one)), ("told", id_of(one))]
                    world.tell(id_of(one), connection=connection)

    def run(self, *works: Callable[[], object]) -> None:
        """All at once."""
        start = threading.Barrier(len(works))
        errors: list[BaseException] = []

        def one(work: Callable[[], object]) -> None:
            start.wait()
            try:
                with suppress(TaskboundError):  # what came too late
                    work()
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                errors.append(error)

        threads = [threading.Thread(target=one, args=(work,)) for work in works]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert errors == []

    def require_order(self, plan: Plan) -> int:
        """How many steps were used: the first ones, once each, none before the one before it succeeded."""
        actions = [one.question.action for one in self.there.whole(plan).steps]
        used = self.there.stands(plan)[1]
        assert self.seen == [(what, one) for one in actions[:used] for what in ("permitted", "told")]
        decided = [
            one["event"]["action"]
            for one in self.there.world.records()
            if one["event"]["kind"] == "action-decided" and one["event"]["decision"] == "permit"
        ]
        assert sorted(one for one in decided if one in actions) == sorted(actions[:used])
        with self.there.world.store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
        return used


@pytest.fixture
def race(stores: tuple[Store, Store]) -> Race:
    return Race(stores)


def test_i29_of_64_presentations_of_the_first_step_one_is_permitted(race: Race) -> None:
    for _ in range(3):
        plan = race.plan()
        works = [
            partial(race.use, world, f"con_{number}", STEPS[:1]) for number, world in enumerate(race.worlds)
        ]
        race.run(*works)
        assert race.require_order(plan) == 1
        assert race.there.stands(plan)[0] == "superseded"


def test_i29_the_second_step_is_never_permitted_before_the_first_whoever_comes_first(race: Race) -> None:
    for _ in range(3):
        plan = race.plan()
        first, second = race.worlds
        race.run(partial(race.use, first, "con_a", STEPS[:1]), partial(race.use, second, "con_b", STEPS[1:2]))
        race.require_order(plan)
        assert race.there.stands(plan)[0] == "superseded"


@pytest.mark.parametrize("what", ["nothing", "deny", "withdraw", "end", "leave"])
def test_i29_whatever_happens_meanwhile_steps_are_used_in_order_and_none_after_it(
    race: Race, what: str
) -> None:
    plan = race.plan()
    there = race.there
    raw = there.statement_of(plan, "carl", AnswerKind.DENY)
    signature = there.devices["carl"][1].sign(raw)
    world = race.worlds[1]
    acts: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "deny": lambda: world.plans.answer("default", raw, signature),
        "withdraw": lambda: world.approvals.withdraw("default", plan.id, ANN, reason=""),
        "end": lambda: world.tasks.end("default", there.task.id, TaskEvent.CANCEL, ANN, reason=""),
        "leave": lambda: there.leave("bob"),
    }
    race.run(partial(race.use, race.worlds[0], "con_a", STEPS), acts[what])
    used = race.require_order(plan)
    state = there.stands(plan)[0]
    allowed = {"deny": "denied", "withdraw": "withdrawn", "end": "withdrawn"}.get(what, "superseded")
    assert state in {allowed, "consumed", "superseded"}
    assert (used == len(STEPS)) == (state == "consumed")
    if what == "nothing":
        assert used == len(STEPS)
