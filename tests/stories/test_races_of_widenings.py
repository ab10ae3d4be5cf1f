"""An answer that would widen a task, and what happens at the same time, stopped at every step of both."""

from __future__ import annotations

import threading
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import Breadth
from taskbound.core.task import ENDED, TaskEvent, held
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import set_person_grantable
from taskbound.flows.revocation import stop
from tests.peers.people import OWNER
from tests.peers.widening import Wide, grants, pay
from tests.sqlite import sqlite_store
from tests.stories.test_races_of_bundles import Gate, Two, locked_in, waits_within
from tests.world import ANN, CEILING, LOOK, code_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.ports.store import Store
    from taskbound.ports.task import StoredAmendment
    from tests.postgres import Server

ANSWERS, OTHERS = (0, 4, 9, 15), (0, 2, 6)
"""Where the answer may stop, and where what happens at once may."""
BEFORE, WIDER, LESS = 5, 8, 3
NO_PAY: Final[dict[str, Any]] = grants({"tool": f"bank__{LOOK['name']}", "others": "any"})
KINDS: Final = {
    "yes": "applied",
    "deny": "denied",
    "expire": "expired",
    "withdraw": "withdrawn",
    "end": "withdrawn",
    "narrow": "superseded",
    "ceiling": "superseded",
    "grantable": "superseded",
    "leave": "pending",
    "pause": "pending",
    "stop": "pending",
    "call": "applied",
    "delegate": "applied",
}
"""What happens at once, and where the amendment stands when that came first."""


class Pair(Two):
    """Two handles of one database, each behind a gate; what works with them is made by the story."""

    def __init__(self, stores: list[Store], waits: Callable[[Two], bool]) -> None:
        self._waits = waits
        self.gates = [Gate(one) for one in stores]
        self._pause = threading.Event()


@pytest.fixture
def opened(tmp_path: Path) -> Pair:
    return Pair([sqlite_store(tmp_path / "race.db") for _ in range(2)], waits_within)


@pytest.fixture
def shared(server: Server) -> Iterator[Pair]:
    name = server.database()
    handles: list[Store] = [PostgresStore(server.url(name)) for _ in range(2)]
    seen = server.connect(name)
    yield Pair(handles, partial(locked_in, seen))
    seen.close()
    for one in handles:
        one.close()
    server.drop(name)


@pytest.fixture(params=["opened", "shared"], ids=["sqlite", "postgres"])
def two(request: pytest.FixtureRequest) -> Pair:
    found: Pair = request.getfixturevalue(request.param)
    return found


class Round:
    """One task that is to be widened, and another daemon at which something else happens."""

    def __init__(self, there: Wide, other: Wide) -> None:
        self.there, self.other = there, other
        self.permits = 0
        self.codes: set[str] = set()
        """Of what came too late."""
        there.task = other.task = there.world.start(scope=grants(pay(BEFORE)))
        self.asked: StoredAmendment = there.wish(pay(WIDER))
        self.said = there.word(self.asked, "bob")

    def approve(self) -> None:
        self._late(partial(self.there.world.widenings.answer, "default", *self.said))

    def meanwhile(self, what: str) -> Callable[[], object]:
        """What happens at the other daemon."""
        world, task = self.other.world, self.other.task.id
        kind = AnswerKind.DENY if what == "deny" else AnswerKind.APPROVE
        acts: dict[str, Callable[[], object]] = {
            "expire": partial(world.clock.advance, 3601),
            "withdraw": partial(world.widenings.withdraw, "default", self.asked.question.id, ANN, reason=""),
            "end": partial(world.tasks.end, "default", task, TaskEvent.CANCEL, ANN, reason=""),
            "narrow": partial(world.changes.amend, "default", task, scope_of(grants(pay(LESS))), ANN),
            "ceiling": partial(world.agents.set_ceiling, "default", "coder", scope_of(NO_PAY), ANN),
            "grantable": partial(self._grantable, scope_of(NO_PAY)),
            "leave": partial(self.other.approvers, "coder", "carl", "dora"),
            "pause": partial(world.tasks.pause, "default", task, ANN, reason=""),
            "stop": partial(stop, world.adapters, "default", stopped=True, reason="", actor=ANN),
            "call": self._call,
            "delegate": partial(world.delegate, self.other.task, scope=scope_of(grants(pay(2)))),
        }
        if what in {"yes", "deny"}:
            acts[what] = partial(
                world.widenings.answer, "default", *self.other.word(self.asked, "carl", kind)
            )
        return partial(self._late, acts[what])

    def undo(self, what: str) -> None:
        """So that the next round finds what this one found."""
        world = self.there.world
        if what == "ceiling":
            world.agents.set_ceiling("default", "coder", scope_of(CEILING), ANN)
        if what == "grantable":
            self._grantable(Breadth.CEILING)
        if what == "leave":
            self.there.approvers("coder", "bob", "carl")
        if what == "stop":
            stop(world.adapters, "default", stopped=False, reason="", actor=ANN)
        if self.there.now().state not in ENDED:
            world.tasks.end("default", self.there.task.id, TaskEvent.COMPLETE, ANN, reason="")
        world.clock.advance(3600)  # what may be asked within an hour is no matter of this race

    def _grantable(self, what: Any) -> None:
        set_person_grantable(self.other.world.adapters, "default", "ann", what, actor=OWNER, owns=True)

    def _late(self, act: Callable[[], object]) -> None:
        try:
            act()
        except TaskboundError as error:
            self.codes.add(error.code)

    def _call(self) -> None:
        self.permits += code_of(self.other.world.ask(self.other.task)) == "permit"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", KINDS)
def test_an_amendment_is_applied_whole_or_not_at_all_whatever_happens_at_once(two: Pair, what: str) -> None:
    there = Wide(cast("Store", two.gates[0]))
    other = there.beside_on(cast("Store", two.gates[1]))
    came: set[str] = set()
    for first, *stops in product((0, 1), ANSWERS, OTHERS):
        one = Round(there, other)
        two.interleave(stops, first, [one.approve, one.meanwhile(what)])
        there.world.widenings.sweep()
        state = there.amendment(one.asked).state.value
        assert state in {"applied", KINDS[what]}, (first, stops)
        came.add(state)
        require_whole(there, one, state)
        assert "conflict" not in one.codes, "who comes too late is told what happened"
        one.undo(what)
    both = {"applied", KINDS[what]} if what != "expire" else {"expired"}  # time takes no step: it comes first
    assert came == both


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["narrow", "widen"])
def test_the_record_of_a_childs_amendment_stands_behind_what_its_parent_spent_before(
    two: Pair, how: str
) -> None:
    there = Wide(cast("Store", two.gates[0]))
    other = there.beside_on(cast("Store", two.gates[1]))
    for first, *stops in product((0, 1), (2, 5, 9, 14), (2, 4, 6, 8)):
        parent = there.world.start(scope=grants(pay(9)))
        child = there.world.delegate(parent, scope=scope_of(grants(pay(4))))
        act: Callable[[], object] = partial(
            there.world.changes.amend, "default", child.id, scope_of(grants(pay(2))), ANN
        )
        if how == "widen":
            said = there.word(there.wish(pay(6), task=child), "bob")
            act = partial(there.world.widenings.answer, "default", *said)
        two.interleave(stops, first, [act, partial(other.world.ask, parent)])
        with there.world.store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == (), (first, stops)
        assert there.world.left(parent) == {"g0/uses": 9 - 1 - (2 if how == "narrow" else 6)}
        there.world.tasks.end("default", parent.id, TaskEvent.COMPLETE, ANN, reason="")
        there.world.clock.advance(3600)  # what may be asked within an hour is no matter of this race


def require_whole(there: Wide, one: Round, state: str) -> None:
    """The task has the wider scope once, with its record, or it never had it."""
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
        tasks = [each for each in snapshot.tasks.tree("default", there.task.id) if each.state not in ENDED]
        left = {each.id: snapshot.tasks.remainders("default", each.id) for each in tasks}
    given = [
        event.get("amendment", "")
        for event in there.world.events("task-amended")
        if event["task"] == there.task.id
    ]
    assert given.count(one.asked.question.id) == (state == "applied")
    most = WIDER if state == "applied" else BEFORE
    most = LESS if "" in given else most  # it was narrowed, before or after
    if tasks:
        assert tasks[0].scope == scope_of(grants(pay(most)))
        assert held(tasks[0], tasks, left)["g0/uses"] + one.permits == most
