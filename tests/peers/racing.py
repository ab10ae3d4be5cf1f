"""One approval, the workers of two daemons, and what happens at the same time: one execution, or none.

What stands in `TABLE` is the whole truth of a race: an approval that was not used before stands as its row
says when all is over, and none is used that is over.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from tests.peers.endings import HOUR, LEAST, Ending
from tests.peers.holding import Holding
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.ports.store import Store

__all__ = ["TABLE", "TRIES", "USED", "Row", "Said", "lone_round", "race_rounds"]

LESS: Final[dict[str, JsonValue]] = {"to": "bob", "amount": 4}
_GROUPS: Final = (1, 1, 2, 4, 8, 20, 36)
"""How many consumptions each of two workers tries in one transaction, one transaction after the other."""
TRIES: Final = sum(_GROUPS)
"""Consumptions that are tried in each round by each of two workers."""


class Said(Enum):
    """When a person says yes, and to what."""

    BEFORE = "approved"
    """Before the race: use races against what happens."""
    MEANWHILE = "approved meanwhile"
    """In the race: approving, using and what happens all race."""
    NARROWED = "narrowed"
    """Before the race, to what they narrowed a held call to: that is what is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What becomes of an approval beside which this happens, if it was not used before."""

    action: str = "withdrawn"
    """Where the held action stands."""
    approval: str = "superseded"
    stays: bool = False
    """Whether it is usable again when what happened is over: then it is used once, before or after."""
    silences: bool = False
    """Whether who says yes may not do so any more: if they said nothing before, others are asked still."""


USED: Final = ("permitted", "consumed")
_ASKED: Final = ("held", "pending")
TABLE: Final[Mapping[str, Row]] = {
    "nothing": Row(stays=True),
    "deny": Row(action="refused", approval="denied"),
    "expire": Row(action="expired", approval="expired"),
    "withdraw": Row(approval="withdrawn"),
    "leave": Row(approval="withdrawn"),
    "end": Row(approval="withdrawn"),
    "leave the group": Row(silences=True),
    "withdraw the key": Row(silences=True),
    "leave for good": Row(silences=True),
    "policy": Row(),
    "tool": Row(),
    "re-pin": Row(),
    "amend": Row(),
    "narrow": Row(action="refused", approval="narrowed"),
    "pause": Row(stays=True),
    "stop": Row(stays=True),
}
"""What happens at the same time, and what becomes of the approval."""
_OVER: Final = frozenset({"end", "expire"})
"""Where the round's task has ended, or is past its deadline."""


@dataclass
class Race:
    """Who starts together, and what each was permitted."""

    start: threading.Barrier = field(default_factory=lambda: threading.Barrier(4))
    permitted: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """What the calls are that are made, where they are not plain ones."""

    def use(self, there: Holding, connection: str) -> None:
        self.start.wait()
        for size in _GROUPS:
            self.take(there, connection, size)

    def take(self, there: Holding, connection: str, size: int) -> None:
        calls = [there.world.call(there.task, connection=connection, **self.more) for _ in range(size)]
        answers = there.world.decisions.decide(calls)
        self.permitted += [id_of(one) for one in answers if code_of(one) == "permit"]

    def meanwhile(self, act: Callable[[], object]) -> None:
        self.start.wait()
        with suppress(TaskboundError):  # what came too late
            act()


@dataclass(frozen=True, kw_only=True)
class Daemons:
    """Two that use, one that makes something happen, and one that takes the answer; over two handles."""

    first: Holding
    second: Holding
    third: Holding
    fourth: Holding

    @classmethod
    def over(cls, stores: tuple[Store, Store]) -> Daemons:
        first = Holding(stores[0])
        second, third, fourth = (first.beside_on(stores[1]) for _ in range(3))
        return cls(first=first, second=second, third=third, fourth=fourth)

    def begin(self) -> None:
        """A task of this round's own."""
        task = self.first.world.start()
        for one in (self.first, self.second, self.third, self.fourth):
            one.task = task


def race_rounds(
    what: str, stores: tuple[Store, Store], rounds: int, *, said: Said = Said.BEFORE
) -> Counter[str]:
    """So many rounds of a race of this kind; how often the approval ended up in which state.

    Args:
        what: Happens meanwhile.
        stores: Of the daemons.
        rounds: How many.
        said: When a person says yes.
    """
    daemons = Daemons.over(stores)
    ending = Ending(daemons.third, what)
    ended: Counter[str] = Counter()
    for _ in range(rounds):
        ended[_round(daemons, ending, what, said)] += 1
    return ended


def _round(daemons: Daemons, ending: Ending, what: str, said: Said) -> str:
    first = daemons.first
    ending.begin()
    daemons.begin()
    action = held = id_of(first.world.ask(first.task, connection="con_a"))
    race = Race()
    saying: Callable[[], object] = str
    match said:
        case Said.BEFORE:
            first.say(action, ending.approver)
        case Said.MEANWHILE:
            raw = first.statement(action, ending.approver)
            signature = first.devices[ending.approver][1].sign(raw)
            saying = partial(daemons.fourth.world.approvals.answer, "default", raw, signature)
            race.more = {"resume": action}  # who waits: calls that don't would ask for themselves
        case Said.NARROWED:
            action = first.narrow(action, ending.approver, LESS).instead.action
            race.more = {"arguments": LESS, "resume": action}
    threads = [
        threading.Thread(target=race.use, args=(first, "con_a")),
        threading.Thread(target=race.use, args=(daemons.second, "con_b")),
        threading.Thread(target=race.meanwhile, args=(ending.of(action),)),
        threading.Thread(target=race.meanwhile, args=(saying,)),
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first.world.approvals.sweep()  # what nobody met is ended now
    ending.over()
    for there, connection in ((first, "con_a"), (daemons.second, "con_b")):
        race.take(there, connection, 1)  # who comes when all is over
    used = race.permitted
    assert used in ([], [action]), (what, said, used)
    found = first.state(action)
    assert found in _possible(what, said, used=bool(used)), (what, said, found)
    if said is Said.NARROWED:
        assert first.state(held) == ("refused", "narrowed")
    if what == "narrow":
        _take_least(first, action, was_used=bool(used))
    _leave_nothing(daemons, ending, what)
    return found[1]


def _possible(what: str, said: Said, *, used: bool) -> tuple[tuple[str, str], ...]:
    """Where action and approval may stand when all is over, by the table."""
    row = TABLE[what]
    if used:
        return (USED,)
    if row.stays:
        return ()
    ended = (row.action, row.approval)
    return (ended, _ASKED) if row.silences and said is Said.MEANWHILE else (ended,)


def _leave_nothing(daemons: Daemons, ending: Ending, what: str) -> None:
    """Each round leaves nothing open, so that none is slower than the one before."""
    ending.undo()
    world = daemons.first.world
    if what not in _OVER:
        world.tasks.end("default", daemons.first.task.id, TaskEvent.COMPLETE, ANN, reason="")
    world.clock.advance(HOUR)  # what an agent may ask within an hour is no matter of this race


def _take_least(there: Holding, action: str, *, was_used: bool) -> None:
    """What an action was narrowed to runs once, where the action itself was not used; else there is none."""
    with there.world.store.read() as snapshot:
        narrowed = snapshot.approvals.narrowed_to("default", there.approval(action).question.digest)
    assert (narrowed is None) == was_used
    if narrowed is None:
        return
    least = narrowed.question.action
    assert there.state(least) == ("held", "approved")
    answers = [there.world.ask(there.task, arguments=LEAST, resume=least) for _ in range(2)]
    assert [code_of(one) for one in answers] == ["permit", "hold-over"]


def lone_round(what: str, store: Store, *, first: str) -> tuple[str, str]:
    """One round without a race: where action and approval stand, by what comes first.

    Args:
        what: Happens.
        store: Of the daemons.
        first: `use`, or what happens (`end`).
    """
    daemons = Daemons.over((store, store))
    ending = Ending(daemons.third, what)
    there = daemons.first
    ending.begin()
    daemons.begin()
    action = id_of(there.world.ask(there.task, connection="con_a"))
    there.say(action, ending.approver)
    race = Race()
    steps: list[Callable[[], object]] = [ending.of(action), partial(race.take, there, "con_a", 1)]
    for step in reversed(steps) if first == "use" else steps:
        with suppress(TaskboundError):  # what came too late
            step()
    there.world.approvals.sweep()
    assert race.permitted == ([action] if first == "use" or what == "nothing" else [])
    return there.state(action)
