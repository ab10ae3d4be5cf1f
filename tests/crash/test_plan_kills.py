"""A daemon is killed between a plan's question and its last step: each step is used once, in order."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.flows.audit.rows import compare_rows
from tests.crash.kills import run_until_killed
from tests.crash.test_approval_kills import append
from tests.crash.test_bundle_kills import chance
from tests.crash.worker import POINTS, Kill, hook, mortal
from tests.peers.holding import ASKED
from tests.peers.planning import Planner, pay
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.approval import Plan

STEPS = (pay(1), pay(2))
WRITES = ("plan", "sign", "first", "report", "second")
"""What a daemon commits of a plan, each in one transaction."""
AFTER = {
    "plan": ("pending", 0, ["pending", "pending"]),
    "sign": ("approved", 0, ["approved", "approved"]),
    "first": ("approved", 1, ["consumed", "approved"]),
    "report": ("approved", 1, ["consumed", "approved"]),
    "second": ("consumed", 2, ["consumed", "consumed"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a process does until it is killed."""

    path: Path
    number: int
    at: int
    task: str
    write: str
    action: str = ""
    signed: tuple[bytes, bytes] = (b"", b"")
    kill: Kill = field(default_factory=Kill)


def live(life: Life) -> None:
    """A daemon starts, does one thing, says what was acknowledged, and is killed at the latest then."""
    machine = Machine(factory=mortal(life.kill.steps)) if life.kill.steps else Machine()
    store = SqlStore(life.path, reserve=0, at=hook(life.kill), machine=machine)
    there = object.__new__(Planner)  # who proposes and calls; who signs is not in this process
    there.world = World(store=store, policy=ASKED, chance=chance(life.number))
    there.world.clock.at = life.at
    with store.read() as snapshot:
        found = snapshot.tasks.task("default", life.task)
    assert found is not None
    there.task = found
    match life.write:
        case "plan":
            append(life.path, "told", f"plan {there.propose(*STEPS).id}")
        case "sign":
            there.world.plans.answer("default", *life.signed)
            append(life.path, "told", "sign")
        case "report":
            there.world.tell(life.action)
            append(life.path, "told", "report")
        case _:
            answer = there.call(STEPS[life.write == "second"], request=f"r{life.number}")
            append(life.path, "told", f"{life.write} {id_of(answer)}")
            if code_of(answer) == "permit":
                append(life.path, "sent", id_of(answer))
    os.kill(os.getpid(), signal.SIGKILL)


class Story:
    """One database, those who sign, and a daemon that is started again after each kill."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "t.db"
        store = SqlStore(self.path, reserve=0)
        self.there = Planner(store)
        store.close()
        self.numbers = count(1)
        self.plan: Plan | None = None

    def lines(self, name: str) -> list[str]:
        file = self.path.with_suffix(f".{name}")
        return file.read_text().splitlines() if file.exists() else []

    def again(self) -> Planner:
        """A daemon that is started after a kill, and finds everything whole."""
        there, clock = self.there, self.there.world.clock
        clock.at += 1_000_000
        store = SqlStore(self.path, reserve=0)
        there.world = World(store=store, policy=ASKED, clock=clock, chance=chance(500 + next(self.numbers)))
        with store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
            plans = snapshot.approvals.open_plans()
            steps = snapshot.approvals.steps_of("default", {one.plan.id for one in plans})
            every = snapshot.approvals.approvals("default")
        if plans:
            self.plan = plans[0].plan
            assert len(steps) == len(STEPS), "a plan comes whole"
        assert self.plan is not None or every == (), "no step comes without its plan"
        sent = self.lines("sent")
        assert len(set(sent)) == len(sent)
        return there

    def stands(self) -> tuple[str, int, list[str]] | None:
        there = self.again()
        found = None if self.plan is None else there.stands(self.plan)
        there.world.store.close()
        return found

    def action(self, number: int) -> str:
        assert self.plan is not None
        there = self.again()
        found = there.whole(self.plan).steps[number].question.action
        there.world.store.close()
        return found

    def kill(self, write: str, kill: Kill) -> bool:
        """Let a daemon do this until it is killed; whether it was done."""
        before = self.stands()
        action = self.action(0) if write == "report" else ""
        there = self.again()
        signed = (b"", b"")
        if write == "sign":
            assert self.plan is not None
            raw = there.statement_of(self.plan, "bob")
            signed = (raw, there.devices["bob"][1].sign(raw))
        there.world.store.close()
        known = len(self.lines("told"))
        life = Life(
            path=self.path,
            number=next(self.numbers),
            at=there.world.clock.at,
            task=there.task.id,
            write=write,
            action=action,
            signed=signed,
            kill=kill,
        )
        run_until_killed(partial(live, life))
        acknowledged = len(self.lines("told")) > known
        stands = self.stands()
        done = stands == AFTER[write] and (write != "report" or self.reported(action))
        assert done or not acknowledged, "what was acknowledged is gone"
        assert done or stands == before
        return done

    def reported(self, action: str) -> bool:
        there = self.again()
        state = there.state(action)[0]
        there.world.store.close()
        return state == "succeeded"

    def do(self, write: str) -> None:
        """Do it again, as whoever was not answered does; it is done once."""
        action = self.action(0) if write == "report" else ""
        there = self.again()
        match write:
            case "plan":
                self.plan = there.propose(*STEPS)
            case "sign":
                assert self.plan is not None
                there.sign(self.plan)
            case "report":
                there.world.tell(action)
            case _:
                answer = there.call(STEPS[write == "second"], request=f"r{next(self.numbers)}")
                assert code_of(answer) == "permit"
                append(self.path, "sent", id_of(answer))
        there.world.store.close()
        assert self.stands() == AFTER[write]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", POINTS)
def test_i29_a_kill_at_any_point_of_a_plan_uses_each_step_once_and_in_order(
    tmp_path: Path, point: str
) -> None:
    story = Story(tmp_path)
    for write in WRITES:
        done = story.kill(write, Kill(point=point, times=2))  # the first write opens the daemon's chain
        assert done is (point == "after-commit"), write
        if not done:
            story.do(write)
    used = [story.action(0), story.action(1)]
    assert story.lines("sent") == ([] if point == "after-commit" else used)
    there = story.again()
    assert [one["decision"] for one in there.world.events("action-decided")].count("permit") == len(STEPS)
    answer = there.call(STEPS[0], request="last")
    assert code_of(answer) == "hold"
    there.world.store.close()


def test_i30_a_kill_between_the_use_of_a_step_and_its_sending_ends_what_is_left(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for write in ("plan", "sign", "first"):
        story.do(write)
    there = story.again()
    assert there.world.outcomes.lose("default", connection="con_a", reason="its gateway was killed") == 1
    answer = there.call(STEPS[1], request="after")
    assert code_of(answer) == "hold"
    assert story.plan is not None
    assert there.stands(story.plan) == ("superseded", 1, ["consumed", "superseded"])
    assert there.whole(story.plan).stored.reason == "step 2: the step before it is unknown"
    there.world.store.close()
