"""A daemon is killed while people are asked and answer: an approval is used once, or not at all."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.flows.audit.rows import compare_rows
from tests.crash.kills import run_until_killed
from tests.crash.test_bundle_kills import chance
from tests.crash.worker import POINTS, Kill, hook, mortal
from tests.peers.holding import ASKED, Holding
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

WRITES = ("ask", "answer", "use", "report")
"""What a daemon commits on the way from a question to the end of its action, each in one transaction."""
NARROWING = ("ask", "narrow", "take", "report")
"""The same where people answer with a narrower action, which is taken instead."""
LESS = b'{"amount":4,"to":"bob"}'
BEFORE = {
    "ask": None,
    "narrow": ("held", "pending"),
    "take": ("held", "approved"),
    "answer": ("held", "pending"),
    "use": ("held", "approved"),
    "report": ("permitted", "consumed"),
}
AFTER = {
    "ask": ("held", "pending"),
    "narrow": ("refused", "narrowed"),
    "take": ("permitted", "consumed"),
    "answer": ("held", "approved"),
    "use": ("permitted", "consumed"),
    "report": ("succeeded", "consumed"),
}
STEPS = (60, 200, 350, 500, 800, 1_200, 1_800, 2_700, 4_000)


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
    sends: bool = True
    """Whether it lives long enough to send what it permitted."""


def live(life: Life) -> None:
    """A daemon starts, does one thing, says what was acknowledged, and is killed at the latest then."""
    machine = Machine(factory=mortal(life.kill.steps)) if life.kill.steps else Machine()
    store = SqlStore(life.path, reserve=0, at=hook(life.kill), machine=machine)
    world = World(store=store, policy=ASKED, chance=chance(life.number))
    world.clock.at = life.at
    with store.read() as snapshot:
        task = snapshot.tasks.task("default", life.task)
    match life.write:
        case "ask":
            answer = world.ask(task, request=f"r{life.number}")
            append(life.path, "told", f"ask {id_of(answer)}")
        case "answer":
            world.approvals.answer("default", *life.signed)
            append(life.path, "told", f"answer {life.action}")
        case "narrow":
            world.narrowings.narrow("default", *life.signed, LESS)
            append(life.path, "told", f"narrow {life.action}")
        case "use" | "take":
            if life.write == "take":
                answer = world.ask(task, arguments=LESS, resume=life.action, request=f"r{life.number}")
            else:
                answer = world.ask(task, request=f"r{life.number}")
            append(life.path, "told", f"use {id_of(answer)}")
            if code_of(answer) == "permit" and life.sends:
                append(life.path, "sent", id_of(answer))
        case _:
            world.tell(life.action)
            append(life.path, "told", f"report {life.action}")
    os.kill(os.getpid(), signal.SIGKILL)


def append(path: Path, name: str, line: str) -> None:
    """Keep a line beside the database, in one write."""
    with path.with_suffix(f".{name}").open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


class Story:
    """One database, those who sign, and a daemon that is started again after each kill."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "t.db"
        store = SqlStore(self.path, reserve=0)
        self.there = Holding(store)
        store.close()
        self.numbers = count(1)
        self.action = ""

    def lines(self, name: str) -> list[str]:
        file = self.path.with_suffix(f".{name}")
        return file.read_text().splitlines() if file.exists() else []

    def again(self) -> Holding:
        """A daemon that is started after a kill, and finds everything whole."""
        there, old = self.there, self.there.world
        old.clock.at += 1_000_000
        store = SqlStore(self.path, reserve=0)
        number = 500 + next(self.numbers)
        there.world = World(store=store, policy=ASKED, clock=old.clock, chance=chance(number))
        with store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
        used = [one["action"] for one in there.world.events("approval-changed") if one["after"] == "consumed"]
        sent = self.lines("sent")
        assert len(set(used)) == len(used)
        assert len(set(sent)) == len(sent)
        assert set(sent) <= set(used)
        return there

    def kill(self, write: str, kill: Kill, *, sends: bool = True) -> bool:
        """Let a daemon do this until it is killed; whether it was done."""
        there = self.again()
        signed = (b"", b"")
        if write == "narrow":
            signed = there.narrowing(self.action, "bob", LESS)[:2]
        if write == "answer":
            raw = there.statement(self.action, "bob")
            signed = (raw, there.devices["bob"][1].sign(raw))
        there.world.store.close()
        known = len(self.lines("told"))
        life = Life(
            path=self.path,
            number=next(self.numbers),
            at=there.world.clock.at,
            task=there.task.id,
            write=write,
            action=self.action,
            signed=signed,
            kill=kill,
            sends=sends,
        )
        run_until_killed(partial(live, life))
        acknowledged = len(self.lines("told")) > known
        done = self.stands() == AFTER[write]
        assert done or not acknowledged, "what was acknowledged is gone"
        assert done or self.stands() == BEFORE[write]
        self.follow()
        return done

    def follow(self) -> None:
        """Look at what an action was narrowed to from now on, which came whole with that, or not at all."""
        there = self.again()
        narrowed = there.world.events("approval-narrowed")
        if narrowed and self.action == narrowed[-1]["action"]:
            self.action = narrowed[-1]["narrowed"]
            assert there.state(self.action) == ("held", "approved")
        asked = [one["action"] for one in there.world.events("approval-asked")]
        assert len(asked) <= 1 + len(narrowed)
        there.world.store.close()

    def stands(self) -> tuple[str, str] | None:
        """Where the action and its approval stand after a start; the one that was asked for last."""
        there = self.again()
        asked = there.world.events("approval-asked")
        known = [one["action"] for one in asked]
        if not self.action and known:
            self.action = known[-1]
        found = there.state(self.action) if self.action else None
        there.world.store.close()
        return found

    def do(self, write: str) -> None:
        """Do it again, as whoever was not answered does; it is done once."""
        there = self.again()
        match write:
            case "ask":
                self.action = id_of(there.world.ask(there.task, request=f"r{next(self.numbers)}"))
            case "answer":
                there.say(self.action, "bob")
            case "narrow":
                self.action = there.narrow(self.action, "bob", LESS).instead.action
            case "take":
                answer = there.world.ask(
                    there.task, arguments=LESS, resume=self.action, request=f"r{next(self.numbers)}"
                )
                assert (code_of(answer), id_of(answer)) == ("permit", self.action)
                append(self.path, "sent", self.action)
            case "use":
                answer = there.world.ask(there.task, request=f"r{next(self.numbers)}")
                assert (code_of(answer), id_of(answer)) == ("permit", self.action)
                append(self.path, "sent", self.action)
            case _:
                there.world.tell(self.action)
        there.world.store.close()

    def end(self) -> None:
        """The approval is used up: the same call asks people anew, and nothing more is permitted."""
        there = self.again()
        narrowed = there.world.events("approval-narrowed")
        if narrowed:
            answer = there.world.ask(there.task, request=f"r{next(self.numbers)}")
            assert code_of(answer) == "approval-narrowed"
        less: dict[str, Any] = {"arguments": LESS} if narrowed else {}
        answer = there.world.ask(there.task, request=f"r{next(self.numbers)}", **less)
        assert (code_of(answer), id_of(answer) == self.action) == ("hold", False)
        assert [one["decision"] for one in there.world.events("action-decided")].count("permit") <= 1
        there.world.store.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("writes", [WRITES, NARROWING], ids=["approved", "narrowed"])
@pytest.mark.parametrize("point", POINTS)
def test_i29_a_kill_at_any_point_between_question_and_outcome_uses_an_approval_once(
    tmp_path: Path, point: str, writes: tuple[str, ...]
) -> None:
    story = Story(tmp_path)
    for write in writes:
        done = story.kill(write, Kill(point=point, times=2))  # the first write opens the daemon's chain
        assert done is (point == "after-commit"), write
        if not done:
            story.do(write)
        elif write in {"use", "take"}:
            assert story.lines("sent") == [], "it was killed before it could send"
    story.end()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("writes", [WRITES, NARROWING], ids=["approved", "narrowed"])
@pytest.mark.parametrize("sends", [True, False])
def test_i30_a_kill_between_use_and_outcome_leaves_it_unknown_and_a_second_effect_takes_a_new_answer(
    tmp_path: Path, writes: tuple[str, ...], *, sends: bool
) -> None:
    story = Story(tmp_path)
    for write in writes[:-1]:
        assert story.kill(write, Kill(), sends=sends)
    there = story.again()
    assert story.lines("sent") == ([story.action] if sends else [])
    assert there.world.outcomes.lose("default", connection="con_a", reason="restarted") == 1
    assert there.state(story.action) == ("unknown", "consumed")
    there.world.store.close()
    story.end()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("write", "writes"),
    [*((write, WRITES) for write in WRITES), *((write, NARROWING) for write in NARROWING[1:3])],
)
def test_i29_a_kill_within_any_statement_leaves_question_answer_and_use_whole(
    tmp_path: Path, write: str, writes: tuple[str, ...]
) -> None:
    story = Story(tmp_path)
    for before in writes[: writes.index(write)]:
        story.do(before)
    outcomes = []
    for steps in STEPS:
        outcomes.append(story.kill(write, Kill(steps=steps)))
        if outcomes[-1]:
            break
    assert outcomes[0] is False
    if not outcomes[-1]:
        story.do(write)
    for after in writes[writes.index(write) + 1 :]:
        story.do(after)
    story.end()
