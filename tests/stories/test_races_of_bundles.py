"""Two daemons decide and put bundles in force at once, stopped at every step of their transactions."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.errors import TaskboundError
from taskbound.core.policy import ActiveBundle
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.policy import examine, examine_kept
from taskbound.ports.policy import StoredBundle
from tests.stories.test_bundles import LARGE, NEVER, add_finance
from tests.world import ANN, CEILING, World, codes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from taskbound.flows.decision import Answer
    from taskbound.flows.policy import Examined
    from taskbound.ports.store import Store
    from tests.postgres import Server

STOPS = 8
"""Where each of two may stop: before its transaction, and before each of its first steps within."""


class Gate:
    """Lets a transaction take so many steps, and no more before it is let go."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._moved = threading.Condition()
        self._most: int | None = None
        self._taken = 0
        self.outside = True
        """Whether it is not within a transaction that holds something."""
        self.stands = True
        """Whether it has ended, or stopped at its most."""
        self._ended = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, work: Callable[[Any], Any], **more: bool) -> Any:
        def stepped(tx: Any) -> Any:
            self.outside = False
            answer = work(Stepped(tx, self))
            self.step()
            return answer

        self.step()
        try:
            return self.store.write(stepped, **more)
        finally:
            self.outside = True

    def step(self) -> None:
        with self._moved:
            if self._most is not None and self._taken == self._most:
                self.stands = True
                self._moved.wait_for(lambda: self._most is None or self._taken < self._most)
                self.stands = False
            self._taken += 1

    def start(self, most: int, work: Callable[[], object]) -> threading.Thread:
        self._most, self._taken, self.stands, self._ended = most, 0, False, False

        def run() -> None:
            try:
                work()
            finally:
                with self._moved:
                    self.stands = self._ended = True

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def go_on(self) -> None:
        with self._moved:
            self._most, self.stands = None, self._ended
            self._moved.notify_all()


class Stepped:
    """A transaction, or a word of one, that asks the gate before each step."""

    def __init__(self, within: Any, gate: Gate, *, word: bool = False) -> None:
        self._within = within
        self._gate = gate
        self._word = word

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._within, name)
        if not self._word:
            return Stepped(found, self._gate, word=True)

        def call(*args: Any, **more: Any) -> Any:
            self._gate.step()
            return found(*args, **more)

        return call


class Two:
    """Two daemons on one database, and whether one of them waits for the other."""

    def __init__(self, stores: list[Store], waits: Callable[[Two], bool]) -> None:
        self._waits = waits
        self.gates = [Gate(one) for one in stores]
        self.first = World(store=cast("Store", self.gates[0]))
        self.second = World(
            store=cast("Store", self.gates[1]), clock=self.first.clock, chance=self.first.chance
        )
        self._pause = threading.Event()

    def interleave(self, stops: Sequence[int], first: int, works: Sequence[Callable[[], object]]) -> None:
        """Each runs until its stop; then one goes on to its end or until it waits, and then the other."""
        threads = []
        for gate, stop, work in zip(self.gates, stops, works, strict=True):
            threads.append(gate.start(stop, work))
            self._until_still(gate)
        for gate in (self.gates[first], self.gates[1 - first]):
            gate.go_on()
            self._until_still(gate)
        for one in threads:
            one.join()

    def _until_still(self, gate: Gate) -> None:
        for _ in range(20_000):
            if gate.stands or self._waits(self):
                return
            self._pause.wait(0.001)
        pytest.fail("it neither ends nor waits")


def waits_within(both: Two) -> bool:
    """Whether one may wait for the other, where there is one lock."""
    return any(not one.outside for one in both.gates)


def locked_in(connection: Any, _both: Two) -> bool:
    """Whether somebody waits for a lock in the database of this connection."""
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    ).fetchone()
    return found is not None and bool(found[0])


@pytest.fixture(params=["sqlite", "postgres"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    if request.param == "sqlite":
        handles: list[Store] = [SqlStore(tmp_path / "t.db", reserve=0) for _ in range(2)]
        yield Two(handles, waits_within)
        for one in handles:
            one.close()
        return
    server: Server = request.getfixturevalue("server")
    name = server.database()
    shared: list[Store] = [PostgresStore(server.url(name)) for _ in range(2)]
    seen = server.connect(name)

    yield Two(shared, partial(locked_in, seen))
    seen.close()
    for one in shared:
        one.close()
    server.drop(name)


def examined(world: World, text: str) -> Examined:
    kept = world.bundles.propose(
        "default", examine(world.adapters, "default", {"own.cedar": text}, {}), "", ANN
    )
    assert isinstance(kept, StoredBundle)
    return examine_kept(world.adapters, "default", kept.digest)


def keep(answers: list[Answer], work: Callable[[], Answer]) -> None:
    answers.append(work())


def in_force(world: World) -> ActiveBundle:
    with world.store.read() as snapshot:
        return snapshot.policy.in_force("default")


def since(world: World, start: int) -> list[dict[str, Any]]:
    return [one["event"] for one in world.records()[start:]]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the decision goes on first", "the activation goes on first"])
def test_i24_nothing_is_permitted_under_the_old_bundle_behind_the_record_of_an_activation(
    two: Two, first: int
) -> None:
    two.first.settle_in()
    task = two.first.start(scope=CEILING)  # as often as it likes
    seen = examined(two.second, NEVER)
    base = two.first.adapters.policy.base.bundle
    came: set[tuple[str, ...]] = set()
    for stops in product(range(STOPS), repeat=2):
        over = in_force(two.first)
        two.first.ask(task, "bank__look", {"path": "/srv/a"})  # evaluates under what is in force
        start = len(two.first.records())
        answers: list[Answer] = []
        now = replace(seen, over=over)
        two.interleave(
            stops,
            first,
            [
                partial(keep, answers, partial(two.first.ask, task)),
                partial(two.second.bundles.activate, "default", now, ANN),
            ],
        )
        story = [
            (one["kind"], one.get("decision", ""), one["bundle"])
            for one in since(two.first, start)
            if one["kind"] in {"action-decided", "policy-activated"}
        ]
        put = ("policy-activated", "", seen.digest)
        permitted, refused = ("action-decided", "permit", base), ("action-decided", "refuse", seen.digest)
        assert story in ([permitted, put], [put, refused]), (stops, story)
        assert codes_of(answers) == (["permit"] if story[0] == permitted else ["forbidden"]), stops
        came.add(tuple(codes_of(answers)))
        two.second.bundles.roll_back("default", "", "", ANN)
    assert came == {("permit",), ("forbidden",)}
    with two.first.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_activations_at_once_one_holds_and_the_other_is_told(two: Two, first: int) -> None:
    two.first.settle_in()
    add_finance(two.first)
    worlds, seen = (two.first, two.second), [examined(two.first, text) for text in (NEVER, LARGE)]
    winners: set[str] = set()

    def activate(number: int, over: ActiveBundle, told: list[str]) -> None:
        try:
            worlds[number].bundles.activate("default", replace(seen[number], over=over), ANN)
        except TaskboundError as error:
            told.append(error.code)

    for stops in product(range(STOPS), repeat=2):
        over, start = in_force(two.first), len(two.first.records())
        told: list[str] = []
        two.interleave(stops, first, [partial(activate, number, over, told) for number in range(2)])
        (put,) = [one for one in since(two.first, start) if one["kind"] == "policy-activated"]
        assert told == ["moved-in-force"], stops
        assert in_force(two.second) == ActiveBundle(epoch=over.epoch + 1, digest=put["bundle"])
        winners.add(put["bundle"])
        two.first.bundles.roll_back("default", "", "", ANN)
    assert winners == {one.digest for one in seen}
