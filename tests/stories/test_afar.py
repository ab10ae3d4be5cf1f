from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.decision.hold import due_of
from taskbound.core.token import NotOpenError
from taskbound.flows.action import Release, Report, Withhold
from taskbound.flows.decision import overdue
from taskbound.flows.token import TransactionTokenOrder, revoke_token
from tests.stories.test_races_of_bundles import Two, locked_in, waits_within
from tests.token_world import CODER, KEY, TokenWorld
from tests.world import ANN, CEILING, World, codes_of, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store
    from tests.postgres import Server

DECIDES = (0, 10, 11, 12)
"""Where a decision may stop: before its transaction, and around its look at keys and token."""
OUTCOMES = (0, 4, 5, 6)
"""Where an outcome may."""
OVER = 99
"""Nowhere: it goes to its end."""
ISSUES = (0, 3, 4, OVER)
"""Where the issue of a transaction token may: before its transaction, and around its look at the permit."""
UNSENT = (0, 2, 3, 4, OVER)
"""Where that nothing was sent may: around its looks at the permit and at tokens."""
REVOKES = 5
"""Where a revocation may: before its transaction, and before each of its steps within."""


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


def ask(world: World, task: Task, token: str, *, key: str = "", holder: str = "") -> Answer:
    name = holder or world.chance.name("net")
    (answer,) = world.decide([replace(world.call(task, connection=name, key=key), token=token)])
    return answer


def tell(world: World, task: Task, token: str, action: str) -> Release | Withhold:
    report = Report(
        namespace="default", connection="", action=action, outcome="succeeded", task=task.id, token=token
    )
    (answer,) = world.outcomes.record([report])
    return answer


def revoke(world: World, token: str) -> None:
    revoke_token(world.adapters, "default", token, ANN, owns=True, why="stolen")


class Order:
    """Whether the revocation was over when the other took its last step before it committed."""

    def __init__(self, two: Two) -> None:
        self._over = self.behind = False
        self._step = two.gates[0].step
        two.gates[0].step = self.stepped  # type: ignore[method-assign]  # the last one counts

    def stepped(self) -> None:
        self._step()
        self.behind = self._over

    def begin(self) -> None:
        self._over = self.behind = False

    def revoking(self, world: World, token: str) -> None:
        revoke(world, token)
        self._over = True


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the decision goes on first", "the revocation goes on first"])
def test_i24_nothing_is_permitted_behind_the_revocation_of_its_token(
    two: Two, first: int, tmp_path: Path
) -> None:
    tokens = TokenWorld(two.first.store, tmp_path, world=two.first)
    tokens.settle_in()
    task, order = two.first.start(scope=CEILING), Order(two)
    came: set[str] = set()
    for stops in product(DECIDES, range(REVOKES)):
        token = tokens.issue(task).token.id
        answers: list[Answer] = []

        def asking(token: str = token, answers: list[Answer] = answers) -> None:
            answers.append(ask(two.first, task, token))

        order.begin()
        two.interleave(stops, first, [asking, partial(order.revoking, two.second, token)])
        (code,) = codes_of(answers)
        assert not (code == "permit" and order.behind), stops
        came.add(code)
    tokens.close()
    assert came == {"permit", "token-revoked"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the outcome goes on first", "the revocation goes on first"])
def test_no_outcome_is_told_behind_the_revocation_of_its_token(two: Two, first: int, tmp_path: Path) -> None:
    tokens = TokenWorld(two.first.store, tmp_path, world=two.first)
    tokens.settle_in()
    task, order = two.first.start(scope=CEILING), Order(two)
    came: set[bool] = set()
    for stops in product(OUTCOMES, range(REVOKES)):
        token = tokens.issue(task).token.id
        action = id_of(ask(two.first, task, token))
        told: list[Release | Withhold] = []

        def telling(token: str = token, action: str = action, told: list[Release | Withhold] = told) -> None:
            told.append(tell(two.first, task, token, action))

        order.begin()
        two.interleave(stops, first, [telling, partial(order.revoking, two.second, token)])
        released = isinstance(told[0], Release)
        assert not (released and order.behind), stops
        came.add(released)
    tokens.close()
    assert came == {True, False}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1], ids=["the token goes on first", "the outcome goes on first"])
def test_g7_of_a_transaction_token_and_that_nothing_was_sent_one_commits(
    two: Two, first: int, tmp_path: Path
) -> None:
    tokens = TokenWorld(two.first.store, tmp_path, world=two.first)
    tokens.settle_in()
    task = two.first.start(scope=CEILING)
    came: set[str] = set()
    for stops in product(ISSUES, UNSENT):
        action = id_of(two.first.ask(task))
        order = TransactionTokenOrder(namespace="default", task=task.id, agent=task.agent, action=action)
        said: list[str] = []

        def issuing(order: TransactionTokenOrder = order, said: list[str] = said) -> None:
            try:
                said.append(tokens.tokens.issue_transaction_token(order, CODER).token.id)
            except NotOpenError as error:
                said.append(error.code)

        told: list[Release | Withhold] = []

        def telling(action: str = action, told: list[Release | Withhold] = told) -> None:
            told.append(two.second.tell(action, "not-sent", None))

        two.interleave(stops, first, [issuing, telling])
        (answer,) = told
        assert isinstance(answer, Withhold)
        with two.first.store.read() as seen:
            state = seen.actions.action("default", action)
        assert state is not None
        pair = (answer.code, state.state.value, said[0] == NotOpenError.code)
        assert pair in {
            ("token-was-issued", "permitted", False),
            ("not-sent", "not-sent", True),
        }, stops
        came.add(answer.code)
        two.first.tell(action)
    tokens.close()
    assert came == {"token-was-issued", "not-sent"}


def test_a_token_is_worth_nothing_for_another_task_or_agent_than_its_own(here: TokenWorld) -> None:
    world, task = here.world, here.settle_in()
    other = world.start()
    world.add_agent("helper")
    theirs = world.start(agent="helper")
    token = here.issue(task).token.id
    assert codes_of([ask(world, other, token)]) == ["unknown-token"]
    assert codes_of([ask(world, task, "tok_none")]) == ["unknown-token"]
    (answer,) = world.decide([replace(world.call(theirs, connection="net_1", agent="helper"), token=token)])
    assert codes_of([answer]) == ["unknown-token"]
    assert codes_of([ask(world, task, token)]) == ["permit"]
    here.world.clock.advance(301)
    assert codes_of([ask(world, task, token)]) == ["token-ended"]


def test_one_call_with_a_token_that_has_ended_changes_nothing_for_those_beside_it(here: TokenWorld) -> None:
    world, task = here.world, here.settle_in()
    good, bad = here.issue(task).token.id, here.issue(task).token.id
    revoke(world, bad)
    calls = [
        replace(world.call(task, connection=f"net_{number}"), token=token)
        for number, token in enumerate(("", good, bad, good))
    ]
    assert codes_of(world.decide(calls)) == ["permit", "permit", "token-revoked", "permit"]


def test_whoever_is_afar_is_in_doubt_when_the_permit_ends_and_given_up_when_the_outcome_is_overdue(
    here: TokenWorld,
) -> None:
    world, task = here.world, here.settle_in()
    token = here.issue(task, binding=KEY).token.id
    holder = ("default", "net_1")
    ask(world, task, token, holder=holder[1])
    with world.store.read() as snapshot:
        (permit,) = snapshot.actions.open_permits("default")
        assert overdue(snapshot, permit.until) == (frozenset({holder}), frozenset(), frozenset())
        world.ask(task)  # a gateway's permit is no matter of time
        just = permit.until.__class__(permit.until - 1)
        assert overdue(snapshot, just) == (frozenset(), frozenset(), frozenset())
    with world.store.read() as snapshot:
        found = overdue(snapshot, due_of(permit.until))
    assert found == (frozenset({holder}), frozenset({holder}), frozenset())
    assert world.outcomes.lose("default", connection=holder[1], reason="nothing was heard") == 1
    assert isinstance(tell(world, task, token, permit.id), Withhold)
    with world.store.read() as snapshot:
        assert overdue(snapshot, due_of(permit.until)) == (frozenset(), frozenset(), frozenset())
