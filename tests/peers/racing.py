"""One approval, the workers of two daemons, and what happens at the same time: one execution, or none."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.core.tool import parse_definition
from taskbound.flows.policy import examine, examine_kept
from taskbound.ports.policy import StoredBundle
from tests.peers.holding import Holding
from tests.peers.people import actor_of
from tests.world import ANN, LOOK, PAY, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.ports.store import Store

__all__ = ["KINDS", "TRIES", "race_rounds"]

LESS: Final[dict[str, JsonValue]] = {"to": "bob", "amount": 4}
LEAST: Final[dict[str, JsonValue]] = {"to": "bob", "amount": 1}
_GROUPS: Final = (1, 1, 2, 4, 8, 20, 36)
"""How many consumptions each of two workers tries in one transaction, one transaction after the other."""
TRIES: Final = sum(_GROUPS)
"""Consumptions that are tried in each round by each of two workers."""
KINDS: Final[Mapping[str, str]] = {
    "nothing": "",
    "deny": "denied",
    "expire": "expired",
    "withdraw": "withdrawn",
    "leave": "withdrawn",
    "end": "withdrawn",
    "leave the group": "superseded",
    "policy": "superseded",
    "tool": "superseded",
    "narrow": "narrowed",
}
"""What happens at the same time, and where the approval stands then if it was not used before."""
_HELD: Final = {"deny": "refused", "expire": "expired", "narrow": "refused"}
"""Where the held action stands then, where it is not withdrawn."""
_OVER: Final = frozenset({"end", "expire"})
"""Where the round's task has ended, or is past its deadline."""
_HOUR: Final = 3600


@dataclass
class Race:
    """Who starts together, and what each was permitted."""

    start: threading.Barrier = field(default_factory=lambda: threading.Barrier(3))
    permitted: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """What the calls are that are made, where they are not plain ones."""

    def use(self, there: Holding, connection: str) -> None:
        self.start.wait()
        for size in _GROUPS:
            calls = [there.world.call(there.task, connection=connection, **self.more) for _ in range(size)]
            answers = there.world.decisions.decide(calls)
            self.permitted += [id_of(one) for one in answers if code_of(one) == "permit"]

    def meanwhile(self, act: Callable[[], object]) -> None:
        self.start.wait()
        with suppress(TaskboundError):  # what came too late
            act()


class Ending:
    """What one round has happen; and what it leaves behind, so that the next can have it again."""

    def __init__(self, there: Holding, what: str) -> None:
        self._there = there
        self._what = what
        self._bundles = self._propose() if what == "policy" else ()
        self._turns = 0

    def of(self, action: str) -> Callable[[], object]:
        """What has to be done meanwhile, in this round."""
        there, world = self._there, self._there.world
        self._turns += 1
        acts: dict[str, Callable[[], Callable[[], object]]] = {
            "nothing": lambda: lambda: None,
            "deny": lambda: self._deny(action),
            "expire": lambda: partial(world.clock.advance, _HOUR),
            "withdraw": lambda: self._withdraw(action),
            "leave": lambda: partial(world.approvals.leave, "default", "con_a", reason=""),
            "end": lambda: partial(
                world.tasks.end, "default", there.task.id, TaskEvent.CANCEL, ANN, reason=""
            ),
            "leave the group": lambda: partial(there.leave, "bob"),
            "policy": self._activate,
            "narrow": lambda: partial(
                world.narrowings.narrow, "default", *there.narrowing(action, "carl", LEAST)
            ),
            "tool": lambda: partial(self._accept, {**PAY, "title": f"Pay {self._turns}"}),
        }
        return acts[self._what]()

    def undo(self) -> None:
        """Bob is of finance again, where he left it."""
        if self._what == "leave the group":
            self._there.groups.set_member("default", "finance", "bob", member=True, actor=ANN, owns=True)

    def _deny(self, action: str) -> Callable[[], object]:
        raw = self._there.statement(action, "carl", AnswerKind.DENY)
        signature = self._there.devices["carl"][1].sign(raw)
        return partial(self._there.world.approvals.answer, "default", raw, signature)

    def _withdraw(self, action: str) -> Callable[[], object]:
        name = self._there.approval(action).question.id
        return partial(self._there.world.approvals.withdraw, "default", name, ANN, reason="")

    def _activate(self) -> Callable[[], object]:
        world = self._there.world
        seen = examine_kept(world.means, "default", self._bundles[self._turns % 2])
        return partial(world.bundles.activate, "default", seen, actor_of("bob"))

    def _propose(self) -> Sequence[str]:
        return tuple(self._digests())

    def _digests(self) -> Iterator[str]:
        world = self._there.world
        for name in ("first", "second"):
            text = f'@id("{name}") permit (principal, action, resource);'
            kept = world.bundles.propose(
                "default", examine(world.means, "default", {"own.cedar": text}, {}), "", ANN
            )
            assert isinstance(kept, StoredBundle)
            yield kept.digest

    def _accept(self, definition: dict[str, object]) -> None:
        """A server lists another definition, and a person accepts it."""
        world = self._there.world
        with world.store.read() as snapshot:
            server = snapshot.tools.server("default", "bank")
        assert server is not None
        raws = [json.dumps(one).encode() for one in (definition, LOOK)]
        world.sights.see("default", "bank", server.identity, raws, agent="coder")
        world.sights.accept("default", "bank__pay", parse_definition(raws[0]).digest, ANN)


def race_rounds(what: str, stores: tuple[Store, Store], rounds: int, *, less: bool = False) -> int:
    """So many rounds of a race of this kind; in how many of them the approval was used.

    Args:
        what: Happens meanwhile.
        stores: Of the two daemons.
        rounds: How many.
        less: Whether the approval is of what a held call was narrowed to.
    """
    first = Holding(stores[0])
    times = 0
    second, third = first.beside_on(stores[1]), first.beside_on(stores[1])
    ending = Ending(third, what)
    for _ in range(rounds):
        first.task = second.task = third.task = first.world.start()
        action = held = id_of(first.world.ask(first.task, connection="con_a"))
        race = Race()
        if less:
            action = first.narrow(action, "bob", LESS).instead.action
            race.more = {"arguments": LESS, "resume": action}
        else:
            first.say(action, "bob")
        threads = [
            threading.Thread(target=race.use, args=(first, "con_a")),
            threading.Thread(target=race.use, args=(second, "con_b")),
            threading.Thread(target=race.meanwhile, args=(ending.of(action),)),
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        first.world.approvals.sweep()  # what nobody met is ended now
        used = race.permitted
        assert used in ([], [action])
        wanted = ("permitted", "consumed") if used else (_HELD.get(what, "withdrawn"), KINDS[what])
        assert first.state(action) == wanted
        if less:
            assert first.state(held) == ("refused", "narrowed")
        if what == "narrow":
            _take_least(first, action, was_used=bool(used))
        ending.undo()
        if what not in _OVER:  # each round leaves nothing open, so that none is slower than the one before
            first.world.tasks.end("default", first.task.id, TaskEvent.COMPLETE, ANN, reason="")
        first.world.clock.advance(_HOUR)  # what an agent may ask within an hour is no matter of this race
        times += len(used)
    return times


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
