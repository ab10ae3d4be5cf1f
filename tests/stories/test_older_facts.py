"""Whoever was told of a change is answered by nothing older, at whichever daemon, whatever its clock says.

1. Two daemons share a PostgreSQL; the clock of one is a minute behind that of the other, or ahead. The second
   one has decided before, and remembers what it read then. The first one makes a change, and answers: the
   position is that of its record.
2. A *new enemy*: behind the change a server is pinned anew, with more in it, which what was read before would
   have opened. The second daemon has never read of that server, and has read the rest.
3. Each story is lived first without what protects it, where it goes wrong: otherwise it would show nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.revocation import About, Thing
from taskbound.core.task import TaskEvent
from taskbound.core.tool import ServerIdentity
from taskbound.flows.revocation import Feed, FeedBehindError, stop
from taskbound.sdk.feed import FeedReader, RevokedError
from taskbound.surfaces.api.operations.feed import rows_of
from tests.stories.test_races_of_bundles import examined
from tests.world import ANN, CEILING, World, code_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.ports.store import Store
    from taskbound.sdk.feed import Asked
    from taskbound.wire.token import FeedRows

SETTLE = sys.modules["taskbound.core.decision.settle"]
"""The module, which a function of its name hides."""
VAULT = b'{"name":"open","description":"%s","inputSchema":{"type":"object","properties":{}}}'
"""What is in it is another thing behind a change than it was before."""
OPEN = ["vault0__open", "vault1__open"]
WIDE: dict[str, Any] = {"grants": [*CEILING["grants"], *({"tool": one} for one in OPEN)]}
AGENTS = ["helper0", "helper1"]
"""Each for a life of a story."""

postgres = pytest.mark.parametrize("stores", ["postgres"], indirect=True)
apart = pytest.mark.parametrize("apart", [-60, 60], ids=["its clock is behind", "its clock is ahead"])


def two(stores: tuple[Store, Store], apart: int) -> tuple[World, World]:
    """Two daemons, the clock of the second one so many seconds ahead."""
    first = World(store=stores[0])
    first.settle_in()
    for number, _ in enumerate(OPEN):
        add_vault(first, number, "Opens.")
    for one in AGENTS:
        first.add_agent(one, ceiling=WIDE)
    second = World(store=stores[1], chance=first.chance)
    second.clock.at = first.clock.at
    second.clock.advance(apart)
    return first, second


def ended(world: World, task: Task) -> None:
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="wrong")


def suspended(world: World, task: Task) -> None:
    world.agents.suspend("default", task.agent, ANN, reason="risk")


def stopped(world: World, _: Task) -> None:
    stop(world.adapters, "default", stopped=True, reason="enough", actor=ANN)


def lifted(world: World) -> None:
    stop(world.adapters, "default", stopped=False, reason="enough", actor=ANN)


def forbidden(world: World, task: Task) -> None:
    text = f'@id("never") forbid (principal == Taskbound::Agent::"default/{task.agent}", action, resource);'
    world.bundles.activate("default", examined(world, text), ANN)


def allowed(world: World) -> None:
    world.bundles.roll_back("default", "", "", ANN)


CHANGES: dict[str, tuple[Callable[[World, Task], None], Callable[[World], object], str]] = {
    "its task is revoked": (ended, World.records, "task-ended"),
    "its agent is suspended": (suspended, World.records, "inactive-agent"),
    "everything is stopped": (stopped, lifted, "stopped"),
    "a policy forbids it": (forbidden, allowed, "forbidden"),
}
"""What the first daemon does, what takes it back, and what the second one says to whoever asks."""


def add_vault(world: World, number: int, words: str) -> str:
    """Pin a server with one tool, whose definition's digest comes back."""
    path = f"/usr/bin/vault{number}"
    server = ServerIdentity(namespace="default", command=path, resolved=path, sha256="1" * 64)
    world.pins.add(f"vault{number}", server, b"{}", [VAULT % words.encode()], agents=(), actor=ANN)
    with world.store.read() as snapshot:
        pinned = snapshot.tools.tool("default", OPEN[number])
    assert pinned is not None
    return pinned.digest


def live(first: World, second: World, change: Callable[[World, Task], None], number: int) -> str:
    """What the second daemon answers behind a change at the first one (rules 1 and 2)."""
    task = first.start(agent=AGENTS[number], scope=WIDE)
    assert code_of(second.ask(task, agent=task.agent)) == "permit"
    change(first, task)
    position = len(first.records())
    first.pins.remove("default", f"vault{number}", ANN)
    newest = add_vault(first, number, "Opens all of it.")
    answer = code_of(second.ask(task, OPEN[number], {}, agent=task.agent))
    behind = [one["event"] for one in first.records()[position:]]
    (decided,) = [one for one in behind if one["kind"] == "action-decided"]
    assert (decided["task"], decided["decision"] == "permit") == (task.id, answer == "permit")
    assert decided["definition"] == newest
    return answer


@postgres
@apart
@pytest.mark.parametrize("change", CHANGES)
def test_i22_whoever_was_told_of_a_change_gets_no_decision_from_what_was_before(
    stores: tuple[Store, Store], apart: int, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two(stores, apart)
    make, undo, code = CHANGES[change]
    with monkeypatch.context() as unprotected:
        unprotected.setattr(SETTLE, "_changed", lambda *_: "")
        unprotected.setattr(SETTLE, "_barred", lambda *_: None)
        assert live(first, second, make, 0) == "permit"
    undo(first)
    assert live(first, second, make, 1) == code


class Follower:
    """A reader of the feed, and what it was asked last."""

    def __init__(self) -> None:
        self.reader = FeedReader(clock=lambda: 0.0)

    def asks(self, feed: Feed) -> tuple[FeedRows, Asked]:
        """The answer to its question, which has not come yet."""
        ask, asked = self.reader.question()
        return rows_of("default", feed.page("default", ask.after, bytes.fromhex(ask.mark), 500)), asked

    def hears(self, feed: Feed) -> None:
        assert self.reader.hear(*self.asks(feed))

    def refuses(self, task: Task) -> bool:
        try:
            self.reader.require_clear([Thing(namespace="default", about=About.TASK, id=task.id)])
        except RevokedError:
            return True
        return False


@postgres
@apart
def test_i22_a_reader_that_shows_how_far_it_heard_is_told_nothing_older_by_another_daemon(
    stores: tuple[Store, Store], apart: int
) -> None:
    first, second = two(stores, apart)
    task = first.start()
    here, there = Feed(first.adapters), Feed(second.adapters)
    knows, shows_nothing = Follower(), Follower()
    assert here.look()
    assert there.look()
    knows.hears(here)
    late = knows.asks(there)
    ended(first, task)
    assert here.look()
    knows.hears(here)
    assert knows.refuses(task)
    shows_nothing.hears(there)
    assert not shows_nothing.refuses(task)  # what the second daemon knows is older, and is told as it is
    with pytest.raises(FeedBehindError):
        knows.asks(there)
    assert not knows.reader.hear(*late)
    assert knows.refuses(task)
    assert there.look()
    knows.hears(there)
    shows_nothing.hears(there)
    assert (knows.refuses(task), shows_nothing.refuses(task)) == (True, True)
