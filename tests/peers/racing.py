"""One approval, the workers of two daemons, and what happens at the same time: one execution, or none.

What stands in `TABLE` is the whole truth of a race: an approval that was not used before stands as its row
says when all is over, and none is used that is over. A step of a plan is used as any approval is, and never
before the one before it has succeeded; of a plan that is over no step is left open.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.approval import OPEN, ApprovalState
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from tests.peers.endings import HOUR, LEAST, Ending
from tests.peers.holding import ASKED
from tests.peers.planning import BY_TOOL, FIRST, LAST, SECOND, Planner, step
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.ports.store import Store


LOOKED: Final[dict[str, JsonValue]] = {"path": "/srv/a"}
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
    PLANNED = "planned"
    """Before the race, to a plan: its first step is what is used."""
    RUNNING = "planned, and running"
    """Before the race, to a plan of which the first step runs: its end races too, and the second is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What becomes of an approval beside which this happens, if it was not used before."""

    action: str = "withdrawn"
    """Where the held action stands."""
    approval: str = "superseded"
    stays: bool = False
    """Whether it is usable again when what happened is over: then it is used once, before or after."""
    idle: bool = False
    """Whether it is usable all the while, since this is no matter of it."""
    silences: bool = False
    """Whether who says yes may not do so any more: if they said nothing before, others are asked still."""


USED: Final = ("permitted", "consumed")
_ASKED: Final = ("held", "pending")
TABLE: Final[Mapping[str, Row]] = {
    "nothing": Row(stays=True, idle=True),
    "deny": Row(action="refused", approval="denied"),
    "deny the last step": Row(stays=True, idle=True),
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
_OF_PLANS: Final[Mapping[str, Row]] = {
    "deny the last step": Row(),
    "leave": Row(stays=True, idle=True),
    "narrow": Row(stays=True, idle=True),
}
"""Where a step of a plan is not as any approval: it is asked about and answered with its plan alone, and over
when another step is denied."""
_PLANS: Final = frozenset({Said.PLANNED, Said.RUNNING})
_OVER: Final = frozenset({"end", "expire"})
"""Where the round's task has ended, or is past its deadline."""


@dataclass
class Race:
    """Who starts together, and what each was permitted."""

    start: threading.Barrier = field(default_factory=lambda: threading.Barrier(4))
    permitted: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """What the calls are that are made, where they are not plain ones."""
    runs: str = ""
    """The action that has to succeed before anything is permitted, and is not told of yet."""
    tried: threading.Event = field(default_factory=threading.Event)
    """Set once somebody has tried to use it while that runs."""
    told: threading.Event = field(default_factory=threading.Event)
    """Set when that has succeeded."""
    late: bool = False
    """Whether what happens waits for that: without it, it nearly always comes before the use."""
    early: list[str] = field(default_factory=list)
    """What was permitted before that."""

    def use(self, there: Planner, connection: str) -> None:
        self.start.wait()
        for size in _GROUPS:
            self.take(there, connection, size)
            self.tried.set()

    def take(self, there: Planner, connection: str, size: int) -> None:
        calls = [there.world.call(there.task, connection=connection, **self.more) for _ in range(size)]
        answers = there.world.decisions.decide(calls)
        permitted = [id_of(one) for one in answers if code_of(one) == "permit"]
        self.permitted += permitted
        self.early += permitted if self.runs else []

    def tell(self, there: Planner) -> None:
        """What runs has succeeded."""
        self.tried.wait()
        action, self.runs = self.runs, ""
        try:
            there.world.tell(action, connection="con_a")
        finally:
            self.told.set()

    def say(self, saying: Callable[[], object]) -> None:
        self.start.wait()
        with suppress(TaskboundError):  # as below
            saying()

    def meanwhile(self, act: Callable[[], object]) -> None:
        self.start.wait()
        if self.late:
            self.told.wait()
        with suppress(TaskboundError):  # what came too late
            act()


@dataclass(frozen=True, kw_only=True)
class Daemons:
    """Two that use, one that makes something happen, and one that takes the answer; over two handles."""

    first: Planner
    second: Planner
    third: Planner
    fourth: Planner

    @classmethod
    def over(cls, stores: tuple[Store, Store], what: str) -> Daemons:
        first = Planner(stores[0], BY_TOOL if what == "deny the last step" else ASKED)
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
    daemons = Daemons.over(stores, what)
    ending = Ending(daemons.third, what)
    ended: Counter[str] = Counter()
    for _ in range(rounds):
        ended[_round(daemons, ending, what, said)] += 1
    return ended


def _round(daemons: Daemons, ending: Ending, what: str, said: Said) -> str:
    first = daemons.first
    ending.begin()
    daemons.begin()
    race = Race()
    action, saying = (_planned if said in _PLANS else _asked)(daemons, ending, race, said)
    threads = [
        threading.Thread(target=race.use, args=(first, "con_a")),
        threading.Thread(target=race.use, args=(daemons.second, "con_b")),
        threading.Thread(target=race.meanwhile, args=(ending.of(action),)),
        threading.Thread(target=race.say, args=(saying,)),
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
    assert (used in ([], [action]), race.early) == (True, []), (what, said, used)
    found = first.state(action)
    assert found in _possible(what, said, used=bool(used)), (what, said, found)
    if said is Said.NARROWED:
        _require_narrowed(first, action)
    if said in _PLANS:
        _require_rest(first, action, what, was_used=bool(used))
    elif what == "narrow":
        _take_least(first, action, was_used=bool(used))
    _leave_nothing(daemons, ending, what)
    return found[1]


def _asked(daemons: Daemons, ending: Ending, race: Race, said: Said) -> tuple[str, Callable[[], object]]:
    """Ask about one action; it, and what is said meanwhile."""
    first, who = daemons.first, ending.approver
    action = id_of(first.world.ask(first.task, connection="con_a"))
    match said:
        case Said.MEANWHILE:
            raw = first.statement(action, who)
            signature = first.devices[who][1].sign(raw)
            race.more = {"resume": action}  # who waits: calls that don't would ask for themselves
            return action, partial(daemons.fourth.world.approvals.answer, "default", raw, signature)
        case Said.NARROWED:
            narrowed = first.narrow(action, who, LESS)
            race.more = {"arguments": LESS, "resume": narrowed.instead.action}
            return narrowed.instead.action, str
        case _:
            first.say(action, who)
            return action, str


def _planned(daemons: Daemons, ending: Ending, race: Race, said: Said) -> tuple[str, Callable[[], object]]:
    """Have a plan signed; the action of its next step, and what is said meanwhile."""
    first = daemons.first
    last = step(LOOKED, "bank__look") if ending.what == "deny the last step" else step(LAST)
    plan = first.propose(FIRST, SECOND, last)
    first.sign(plan, ending.approver)
    steps = [one.question.action for one in first.whole(plan).steps]
    race.more = {"arguments": FIRST}
    if said is Said.PLANNED:
        return steps[0], str
    race.take(first, "con_a", 1)
    assert race.permitted == steps[:1]
    race.permitted, race.runs, race.late = [], steps[0], ending.turns % 2 == 1
    race.more = {"arguments": SECOND, "resume": steps[1]}  # who waits: of others the second would differ
    return steps[1], partial(race.tell, daemons.fourth)


def _possible(what: str, said: Said, *, used: bool) -> tuple[tuple[str, str], ...]:
    """Where action and approval may stand when all is over, by the table."""
    row = row_of(what, said)
    if used:
        return (USED,)
    if row.stays:
        return ()
    ended = (row.action, row.approval)
    return (ended, _ASKED) if row.silences and said is Said.MEANWHILE else (ended,)


def row_of(what: str, said: Said) -> Row:
    """What becomes of the approval in this race."""
    return _OF_PLANS.get(what, TABLE[what]) if said in _PLANS else TABLE[what]


def _require_rest(there: Planner, action: str, what: str, *, was_used: bool) -> None:
    """The plan says how many steps were used; of a plan that is over no step is left open."""
    plan = there.plan_of(action)
    assert plan is not None
    state, used, steps = there.stands(plan)
    assert used == there.approval(action).question.step - 1 + was_used
    assert steps[:used] == ["consumed"] * used
    rest = set(steps[used:])
    if was_used and ApprovalState(state) not in OPEN:
        assert not {ApprovalState(one) for one in rest} & OPEN
    elif what == "deny the last step" and state == "denied":
        assert steps[used:] == ["superseded"] * (len(steps) - used - 1) + ["denied"]
    else:
        assert rest == {state}


def _leave_nothing(daemons: Daemons, ending: Ending, what: str) -> None:
    """Each round leaves nothing open, so that none is slower than the one before."""
    ending.undo()
    world = daemons.first.world
    if what not in _OVER:
        world.tasks.end("default", daemons.first.task.id, TaskEvent.COMPLETE, ANN, reason="")
    world.clock.advance(HOUR)  # what an agent may ask within an hour is no matter of this race


def _require_narrowed(there: Planner, action: str) -> None:
    """What was narrowed to this is answered for good."""
    narrows = there.approval(action).question.narrows
    with there.world.store.read() as snapshot:
        asked = snapshot.approvals.approvals("default", limit=9, task=there.task.id)
    (held,) = (one for one in asked if one.question.digest == narrows)
    assert there.state(held.question.action) == ("refused", "narrowed")


def _take_least(there: Planner, action: str, *, was_used: bool) -> None:
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


def lone_round(what: str, store: Store, *, first: str, said: Said = Said.BEFORE) -> tuple[str, str]:
    """One round without a race: where action and approval stand, by what comes first.

    Args:
        what: Happens.
        store: Of the daemons.
        first: `use`, or what happens (`end`).
        said: When a person says yes: before it, to the action or to the plan of which it is the first step.
    """
    daemons = Daemons.over((store, store), what)
    ending = Ending(daemons.third, what)
    there = daemons.first
    ending.begin()
    daemons.begin()
    race = Race()
    action, _ = (_planned if said in _PLANS else _asked)(daemons, ending, race, said)
    steps: list[Callable[[], object]] = [ending.of(action), partial(race.take, there, "con_a", 1)]
    for one in reversed(steps) if first == "use" else steps:
        with suppress(TaskboundError):  # what came too late
            one()
    there.world.approvals.sweep()
    assert race.permitted == ([action] if first == "use" or row_of(what, said).idle else [])
    return there.state(action)
