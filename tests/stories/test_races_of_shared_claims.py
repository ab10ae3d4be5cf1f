"""Two daemons begin, answer and forget claims of one service at once, stopped at every step of their own."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.task import TaskState
from taskbound.core.token.shared import SharedRequest, request_digest
from taskbound.flows.token import revoke_token
from taskbound.flows.token.services import SharedClaims
from tests.peers.sharing import SPACE, Sharing
from tests.stories.test_races_of_bundles import Two, locked_in, waits_within
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.core.token import Token
    from taskbound.ports.store import Store
    from tests.postgres import Server

OVER = 99
"""Nowhere: it goes to its end."""
BEGINS = (0, 2, 4, 6, 8, OVER)
"""Where a beginning may stop: before its transaction, and between its steps within."""
ENDS = (0, 2, OVER)


class Both:
    """Two daemons on one database, each with its own memory of claims."""

    def __init__(self, two: Two, folder: Path) -> None:
        self.two = two
        self.here = Sharing(two.first.store, folder, permits=0, world=two.first)
        self.kept = [SharedClaims(one.adapters) for one in (two.first, two.second)]
        self.asker = self.here.askers["payments"]

    def begin(self, daemon: int, permit: Token, told: list[str]) -> None:
        wish = SharedRequest(
            txn=permit.action,
            token=permit.id,
            request=request_digest("r"),
            claimant=str(daemon) * 32,
            takes=30,
        )
        try:
            told.append(type(self.kept[daemon].begin(self.asker, wish)).__name__)
        except TaskboundError as error:
            told.append(error.code)


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if request.param == "sqlite":
        handles: list[Store] = [SqlStore(tmp_path / "t.db", reserve=0) for _ in range(2)]
        found = Both(Two(handles, waits_within), tmp_path)
        yield found
        found.here.close()
        for one in handles:
            one.close()
        return
    server: Server = request.getfixturevalue("server")
    name = server.database()
    shared: list[Store] = [PostgresStore(server.url(name)) for _ in range(2)]
    seen = server.connect(name)
    found = Both(Two(shared, partial(locked_in, seen)), tmp_path)
    yield found
    found.here.close()
    seen.close()
    for one in shared:
        one.close()
    server.drop(name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the first goes on first", "the second goes on first"])
def test_of_two_daemons_that_are_asked_at_once_one_has_begun_wherever_they_stop(
    both: Both, first: int
) -> None:
    for stops in product(BEGINS[::2], BEGINS[1::2]):
        permit = both.here.permitted()
        told: list[str] = []
        works: list[Callable[[], object]] = [partial(both.begin, one, permit, told) for one in (0, 1)]
        both.two.interleave(stops, first, works)
        assert sorted(told) == ["Begun", "StillServing"], stops
    with both.here.adapters.store.read() as snapshot:
        kept = snapshot.shared_claims.due(both.here.world.clock.now())
    assert kept == ()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the beginning goes on first", "the end goes on first"])
@pytest.mark.parametrize("how", ["the token is revoked", "the task is paused", "the action has its outcome"])
def test_nothing_begins_behind_the_end_of_what_it_rests_on(both: Both, first: int, how: str) -> None:
    came: set[str] = set()
    second = both.two.second
    for stops in product(BEGINS, ENDS):
        permit = both.here.permitted()
        told: list[str] = []
        over: list[bool] = []
        late: list[bool] = []

        def begin(permit: Token = permit, told: list[str] = told) -> None:
            both.begin(0, permit, told)

        def end(permit: Token = permit, over: list[bool] = over) -> None:
            try:
                if how == "the token is revoked":
                    revoke_token(second.adapters, SPACE, permit.id, ANN, owns=True, why="stolen")
                elif how == "the task is paused":
                    second.tasks.pause(SPACE, permit.task, ANN, reason="lunch")
                else:
                    second.tell(permit.action)
            except DeniedError:
                return
            over.append(True)

        gate = both.two.gates[0]
        step = gate.step

        def stepped(
            step: Callable[[], None] = step, over: list[bool] = over, late: list[bool] = late
        ) -> None:
            step()
            late[:] = over[:1]

        gate.step = stepped  # type: ignore[method-assign]  # the last one counts
        both.two.interleave(stops, first, [begin, end])
        gate.step = step  # type: ignore[method-assign]  # as it was before
        assert not (told == ["Begun"] and late), stops
        came.update(told)
        if second.task(both.here.task).state is TaskState.PAUSED:
            second.tasks.resume(SPACE, permit.task, ANN)
            both.two.first.views.forget()
    assert "Begun" in came
    assert len(came) > 1
