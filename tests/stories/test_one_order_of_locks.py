"""Whoever has to do with questions locks in one order, of which `flows.decision.group` says what comes first.

On PostgreSQL most of these transactions are alone as well, since they read without a lock. Nothing here rests
on that: what locks in one order waits for nobody who waits for it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from taskbound.core.approval import AnswerKind, SignedTogetherError
from taskbound.core.task import TaskEvent
from tests.peers.people import OWNER
from tests.peers.planning import FIRST, SECOND, Planner, pay
from tests.sqlite import sqlite_store
from tests.stories.targeting import FILE, Aiming, aimed, declared, sealed_for
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.approval import Plan
    from taskbound.flows.target import UnderTest
    from taskbound.ports.store import Store

ORDER: Final = (
    ("lock_kill_switch",),
    ("lock_in_force",),
    ("lock_agents",),
    ("lock_tools",),
    ("lock_heads", "lock_tree"),
    ("lock_remainders",),
    ("lock_priors",),
    ("lock_acts",),
    ("lock_plan", "lock_plans"),
    ("lock_steps",),
    ("lock_approval", "lock_holds", "lock_open"),
    ("lock_grantors",),
    ("lock_person_keys",),
    ("lock_issuers",),
    (
        "lock_last_used",
    ),  # of a question that was used: whoever answers that is refused, and locks nothing more
    ("lock_credential", "lock_living"),
    ("lock_target",),
)
PLACE: Final = {name: place for place, names in enumerate(ORDER) for name in names}


class Watched:
    """A store, or a transaction or a word of one, that says what is locked, in order."""

    def __init__(self, within: Any, locks: list[str]) -> None:
        self._within, self._locks = within, locks

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._within, name)
        if name.startswith("lock_"):
            self._locks.append(name)
        return found if callable(found) else Watched(found, self._locks)

    def write(self, work: Callable[[Any], Any], **more: Any) -> Any:
        def watched(tx: Any) -> Any:
            self._locks.append("")
            return work(Watched(tx, self._locks))

        return self._within.write(watched, **more)


class Here(Planner):
    """One question and one plan, in tasks of their own, and what everybody would say to them."""

    def __init__(self) -> None:
        self.locks: list[str] = []
        super().__init__(cast("Store", Watched(sqlite_store(), self.locks)))
        self.held = id_of(self.call(FIRST, wait=60))
        self.single = self.task
        self.task = self.world.start()
        self.plan: Plan = self.propose(FIRST, SECOND)
        self.step = self.whole(self.plan).steps[0].question.action

    def refused(self, act: Callable[[], object]) -> None:
        with pytest.raises(SignedTogetherError):
            act()

    def propose_again(self) -> None:
        self.withdraw(self.plan.id)
        self.propose(SECOND, FIRST)

    def use(self) -> None:
        self.sign(self.plan)
        assert code_of(self.call(FIRST)) == "permit"

    def use_single(self) -> None:
        self.say(self.held, "bob")
        assert code_of(self.world.ask(self.single, arguments=FIRST, resume=self.held)) == "permit"

    def lapse(self) -> None:
        self.world.clock.advance(9 * 3600)
        self.world.approvals.sweep()

    def withdraw(self, name: str) -> None:
        self.world.approvals.withdraw("default", name, ANN, reason="")


ACTS: Final[dict[str, Callable[[Here], object]]] = {
    "ask": lambda here: here.world.ask(here.single, arguments=SECOND),
    "propose": Here.propose_again,
    "answer": lambda here: here.say(here.held, "bob"),
    "use": Here.use_single,
    "narrow": lambda here: here.narrow(here.held, "bob", pay(1)),
    "answer a step": lambda here: here.refused(partial(here.say, here.step, "bob")),
    "narrow a step": lambda here: here.refused(partial(here.narrow, here.step, "bob", pay(1))),
    "answer a plan": lambda here: here.sign(here.plan),
    "deny a plan": lambda here: here.sign(here.plan, kind=AnswerKind.DENY),
    "use a step": Here.use,
    "differ": lambda here: here.call(pay(3)),
    "withdraw": lambda here: here.withdraw(here.approval(here.held).question.id),
    "withdraw a plan": lambda here: here.withdraw(here.plan.id),
    "leave": lambda here: here.world.approvals.leave("default", "con_a", reason=""),
    "sweep": Here.lapse,
    "end": lambda here: here.world.tasks.end("default", here.task.id, TaskEvent.COMPLETE, ANN, reason=""),
}


OF_PLANS: Final = frozenset({"lock_plan", "lock_plans"})
OF_QUESTIONS: Final = frozenset({"lock_steps", "lock_approval", "lock_holds"})


def transactions(what: str) -> list[list[str]]:
    """What each transaction locks while this is done, in order; what it has locked already is left out."""
    here = Here()
    here.locks.clear()
    ACTS[what](here)
    return each(here.locks)


def each(locks: list[str]) -> list[list[str]]:
    """What each transaction locked, in order."""
    found = [one.split() for one in " ".join(one or "|" for one in locks).split("|")]
    return [list(dict.fromkeys(names)) for names in found if names]


def take_away(aiming: Aiming, test: UnderTest) -> None:
    aiming.work(test)
    aiming.targets.remove("default", "orders-db", OWNER, owns=True)


AIMED: Final[dict[str, Callable[[Aiming, UnderTest], object]]] = {
    "declare": lambda aiming, _: aiming.add(declared(target="other")),
    "test": lambda aiming, _: aiming.targets.test("default", "orders-db", OWNER),
    "note": lambda aiming, test: aiming.work(test),
    "set an access": lambda aiming, _: aiming.targets.set_admin(
        "default", "orders-db", number=2, sealed=sealed_for(FILE, number=2), actor=OWNER, owns=True
    ),
    "take it away": take_away,
}


@pytest.mark.parametrize("what", AIMED)
def test_whoever_has_to_do_with_a_target_locks_in_that_order_too(what: str) -> None:
    locks: list[str] = []
    aiming = aimed(cast("Store", Watched(sqlite_store(), locks)))
    test = aiming.add()
    locks.clear()
    AIMED[what](aiming, test)
    found = each(locks)
    assert found
    for names in found:
        assert names == sorted(names, key=PLACE.__getitem__)


@pytest.mark.parametrize("what", ACTS)
def test_whoever_has_to_do_with_a_question_locks_in_one_order(what: str) -> None:
    found = transactions(what)
    assert found
    for names in found:
        assert names == sorted(names, key=PLACE.__getitem__)


@pytest.mark.parametrize("what", [one for one in ACTS if one.endswith(("a step", "a plan"))])
def test_a_step_is_locked_behind_its_plan(what: str) -> None:
    for names in transactions(what):
        questions = [place for place, name in enumerate(names) if name in OF_QUESTIONS]
        plans = [place for place, name in enumerate(names) if name in OF_PLANS]
        assert plans
        assert min(plans) < min(questions)
