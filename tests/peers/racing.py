"""One approval, the workers of two daemons, and what happens at the same time: one execution, or none."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from tests.peers.holding import Holding
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.store import Store

__all__ = ["KINDS", "TRIES", "race_rounds"]

KINDS = ("nothing", "deny", "withdraw", "leave", "end", "leave the group")
TRIES = 36
"""Consumptions that are tried in each round by each of two workers."""


@dataclass
class Race:
    """Who starts together, and what each was permitted."""

    start: threading.Barrier = field(default_factory=lambda: threading.Barrier(3))
    permitted: list[str] = field(default_factory=list)

    def use(self, there: Holding, connection: str) -> None:
        self.start.wait()
        for _ in range(TRIES):
            answer = there.world.ask(there.task, connection=connection)
            if code_of(answer) == "permit":
                self.permitted.append(id_of(answer))

    def meanwhile(self, act: Callable[[], object]) -> None:
        self.start.wait()
        with suppress(TaskboundError):  # what came too late
            act()


def ending(there: Holding, what: str, action: str) -> Callable[[], object]:
    world = there.world
    deny = there.statement(action, "carl", AnswerKind.DENY)
    signature = there.devices["carl"][1].sign(deny)
    name = there.approval(action).question.id
    acts: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "deny": partial(world.approvals.answer, "default", deny, signature),
        "withdraw": partial(world.approvals.withdraw, "default", name, ANN, reason=""),
        "leave": partial(world.approvals.leave, "default", "con_a", reason=""),
        "end": partial(world.tasks.end, "default", there.task.id, TaskEvent.CANCEL, ANN, reason=""),
        "leave the group": partial(there.leave, "bob"),
    }
    return acts[what]


def race_rounds(what: str, stores: tuple[Store, Store], rounds: int) -> int:
    """So many rounds of a race of this kind; in how many of them the approval was used."""
    first = Holding(stores[0])
    times = 0
    second, third = first.beside_on(stores[1]), first.beside_on(stores[1])
    for _ in range(rounds):
        first.task = second.task = third.task = first.world.start()
        action = id_of(first.world.ask(first.task, connection="con_a"))
        first.say(action, "bob")
        race = Race()
        threads = [
            threading.Thread(target=race.use, args=(first, "con_a")),
            threading.Thread(target=race.use, args=(second, "con_b")),
            threading.Thread(target=race.meanwhile, args=(ending(third, what, action),)),
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        used = race.permitted
        assert used in ([], [action])
        stands = first.state(action)
        assert (stands[0] == "permitted") == (used == [action])
        assert (stands[1] == "consumed") == (used == [action])
        if what == "nothing":
            assert used == [action]
        if what == "leave the group":
            third.groups.set_member("default", "finance", "bob", member=True, actor=ANN, owns=True)
        times += len(used)
    return times
