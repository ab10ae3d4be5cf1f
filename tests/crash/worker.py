"""A process that writes to a store until it is killed, and says what was acknowledged."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.action import ActionState
from taskbound.core.audit import ActionOutcome, TaskChanged, grow, leaf_hash, restore_frontier
from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory
from taskbound.core.task import TaskState
from taskbound.ports.store import FullDiskError
from tests.contracts.store.rows import NOW, SPACE, action, decided, opening, outcome, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from taskbound.ports.store import Transaction

LIMIT = 400
USES = "g0/uses"
RESERVE = 64 * 1024
POINTS = ("begin", "locked", "written", "before-commit", "after-commit")
OPENING = ("looked", "made", "prepared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """When the process ends: at a named point, after so many steps of SQLite, or by its parent."""

    point: str = ""
    times: int = 1
    steps: int = 0
    acknowledged: int = 0
    """So many writes its parent waits for before it kills."""


def run(path: Path, seed: int, kill: Kill, told: Connection) -> None:
    """Write until killed; each line told is one write that was acknowledged."""
    chosen = random.Random(seed)  # noqa: S311  # a course of events that can be repeated
    machine = Machine(factory=mortal(kill.steps) if kill.steps else driver.Connection)
    store = SqlStore(path, reserve=RESERVE, at=hook(kill), machine=machine)
    writer = Writer(store=store, name=f"wrt_{seed}", chosen=chosen)
    told.send_bytes(writer.open())
    while True:
        told.send_bytes(writer.step())


def hook(kill: Kill) -> Callable[[str], None]:
    """What ends the process at the named point."""
    left = [kill.times]

    def at(point: str) -> None:
        if point == kill.point:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


def mortal(steps: int) -> type[driver.Connection]:
    """A connection in whose midst the process is killed, after so many steps of SQLite's machine."""
    left = [steps]

    def step() -> int:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    class Mortal(driver.Connection):
        def __init__(self, *args: Any, **words: Any) -> None:
            super().__init__(*args, **words)
            self.set_progress_handler(step, 1)

    return Mortal


@dataclass(slots=True, kw_only=True)
class Writer:
    """Decides, reports, orders and ends, as flows do, in an order that the seed chooses."""

    store: SqlStore
    name: str
    chosen: random.Random
    number: int = 0

    def open(self) -> bytes:
        """Open the writer's chain, and the one task when there is none."""

        def work(tx: Transaction) -> None:
            heads = [f"{one.writer}:{one.seq}:{one.hash}" for one in tx.audit.heads()]
            tx.audit.append(SPACE, self.name, [opening(*heads)], NOW)
            if tx.tasks.task(SPACE, "tsk_1") is None:
                tx.tasks.put_task(task(), expect=0)
                tx.tasks.open_limits(SPACE, "tsk_1", {USES: LIMIT})

        self.store.write(work)
        return f"opened {self.name}".encode()

    def step(self) -> bytes:
        """One write."""
        steps = (self.decide, self.decide, self.decide, self.report, self.place, self.move)
        return self.chosen.choice(steps)().encode()

    def decide(self) -> str:
        """Permit as many as the limit holds, refuse the others."""
        first = self.number
        self.number += self.chosen.randint(1, 9)
        rows = [
            replace(
                action(number, act=f"act {number % 50}"),
                id=f"act_{self.name}_{number}",
                connection=self.name,
                charges=((USES, 1),),
                arguments=self.chosen.randbytes(self.chosen.randrange(3000)),
            )
            for number in range(first, self.number)
        ]

        def work(tx: Transaction) -> str:
            left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"][USES]
            keys = {(one.root, one.act_key) for one in rows}
            known = tx.actions.lock_acts(SPACE, keys)
            settled = [one if place < left else _refused(one) for place, one in enumerate(rows)]
            taken = min(left, len(rows))
            if taken:
                tx.tasks.set_remainders(SPACE, {("tsk_1", USES): (left, left - taken)})
            acts = {key: ActHistory(attempts=known.get(key, ActHistory()).attempts + 1) for key in keys}
            tx.actions.put_acts(SPACE, acts)
            tx.actions.insert_actions(settled)
            tx.audit.append(SPACE, self.name, [decided(one) for one in settled], Instant(NOW + self.number))
            return " ".join(f"{one.id}={one.decision}" for one in settled)

        return f"decided {self.store.write(work)}"

    def report(self) -> str:
        """Give open permits their outcomes; what was not sent is given back."""
        after = self.chosen.choice((ActionState.SUCCEEDED, ActionState.NOT_SENT, ActionState.UNKNOWN))

        def work(tx: Transaction) -> str:
            opened = tx.actions.open_permits(SPACE, task="tsk_1")[:5]
            rows = {one.id: tx.actions.action(SPACE, one.id) for one in opened}
            changes = [outcome(one, after) for one in rows.values() if one is not None]
            tx.actions.set_outcomes(SPACE, changes)
            if after is ActionState.NOT_SENT and changes:
                left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"][USES]
                tx.tasks.set_remainders(SPACE, {("tsk_1", USES): (left, left + len(changes))})
            events = [
                ActionOutcome(
                    action=one.id, task="tsk_1", before="permitted", after=after.value, released=True
                )
                for one in changes
            ]
            tx.audit.append(SPACE, self.name, events, NOW)
            return " ".join(f"{one.id}={after.value}" for one in changes)

        return f"reported {self.store.write(work)}"

    def place(self) -> str:
        """Give records their places, and grow the tree over them."""
        most = self.chosen.randint(1, 300)

        def work(tx: Transaction) -> int:
            size = tx.audit.size()
            pending = tx.audit.pending(most)
            frontier = restore_frontier(size, tx.audit.tile)
            grown = grow(frontier, [leaf_hash(one.body) for one in pending])
            tx.audit.extend(size, [one.number for one in pending])
            tx.audit.put_tiles({(one.level, one.index): one.hashes for one in grown.tiles})
            return size + len(pending)

        return f"placed {self.store.write(work)}"

    def move(self) -> str:
        """Pause the task or let it go on, with the reserve."""

        def work(tx: Transaction) -> int:
            now = tx.tasks.task(SPACE, "tsk_1")
            if now is None:
                raise FullDiskError("the task is gone")
            states = {TaskState.RUNNING: TaskState.PAUSED, TaskState.PAUSED: TaskState.RUNNING}
            after = replace(now, state=states[now.state], version=now.version + 1)
            tx.tasks.put_task(after, expect=now.version)
            event = TaskChanged(
                task=now.id,
                before=now.state.value,
                after=after.state.value,
                event="pause",
                reason="",
                by="ann",
                proof="test",
            )
            tx.audit.append(SPACE, self.name, [event], NOW)
            return after.version

        return f"moved {self.store.write(work, reserve=True)}"


def _refused(one: Any) -> Any:
    return replace(one, decision="refuse", state=ActionState.REFUSED, code="exhausted", charges=())
