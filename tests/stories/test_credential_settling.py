"""What came of actions for credentials whose holder was lost: said by the row, and by nobody's guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.store.sql.credential import SqlCredentials
from taskbound.core.action import ActionState
from taskbound.core.credential import CredentialState, LeaseLostError, Step
from taskbound.flows.credential.handing import acknowledge_credential, over_of, report_of
from taskbound.flows.credential.revoking import end_due, settle_unknown
from tests.sqlite import sqlite_store
from tests.stories.brokering import Broker, moves, permitted, put_target
from tests.world import World

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.core.task import Task


@pytest.fixture
def world() -> World:
    return World(store=sqlite_store())


@pytest.fixture
def task(world: World) -> Task:
    running = world.settle_in()
    put_target(world)
    return running


def state(world: World, row: Credential) -> ActionState:
    with world.store.read() as seen:
        action = seen.actions.action("default", row.action)
    assert action is not None
    return action.state


def lose(world: World, row: Credential) -> None:
    world.outcomes.lose("default", connection="con_a", reason="its gateway was lost")
    assert state(world, row) is ActionState.UNKNOWN


def test_law_7_what_is_over_without_an_acknowledgement_has_failed_and_only_then(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    lose(world, row)
    assert settle_unknown(world.adapters, "default") == ()
    world.clock.advance(10)
    assert [one.id for one in end_due(world.adapters, "default")] == [row.id]
    assert settle_unknown(world.adapters, "default") == (row.action,)
    assert state(world, row) is ActionState.RECONCILED_FAILED
    (event,) = world.events("action-reconciled")
    assert (event["by"], event["after"]) == ("daemon", "reconciled-failed")
    assert row.id in event["note"]
    assert settle_unknown(world.adapters, "default") == ()


def test_law_7_what_was_minted_and_not_acknowledged_stays_unknown_while_it_lives(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    broker = Broker(world=world, waited={row.id})
    broker.mint(row)
    lose(world, row)
    assert settle_unknown(world.adapters, "default") == ()
    assert state(world, row) is ActionState.UNKNOWN


def test_no_row_is_looked_at_where_no_outcome_is_unknown(
    world: World, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, looks = permitted(world, task, "a"), list[str]()
    find = SqlCredentials.credentials

    def counted(self: SqlCredentials, namespace: str, **words: Any) -> tuple[Credential, ...]:
        looks.append(namespace)
        return find(self, namespace, **words)

    monkeypatch.setattr(SqlCredentials, "credentials", counted)
    assert settle_unknown(world.adapters, "default") == ()
    assert looks == []
    lose(world, row)
    assert settle_unknown(world.adapters, "default") == ()
    assert looks == ["default"]


def test_law_7_what_was_acknowledged_has_succeeded(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    Broker(world=world, waited={row.id}).mint(row)
    acknowledge_credential(world.adapters, "default", row.id, "con_a")
    lose(world, row)
    assert settle_unknown(world.adapters, "default") == (row.action,)
    assert state(world, row) is ActionState.RECONCILED_SUCCEEDED


def test_law_7_a_mint_that_nothing_was_sent_of_is_over_and_gives_its_use_back(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    told = Broker(world=world, waited={row.id}).take(row, Step.MINT)
    over = told.failed("target-unreached", "nobody answers", unsent=True)
    assert (over.state, over_of(over).code) == (CredentialState.REVOKED, "mint-failed")
    assert moves(world)[-1] == ("minting", "unsent", "revoked")
    report = report_of(over, "con_a", world.clock.now())
    assert report is not None
    assert report.outcome == "not-sent"
    with pytest.raises(LeaseLostError):
        told.minted(sealed=True)


def test_i06_that_nothing_was_sent_ends_no_revocation(world: World, task: Task) -> None:
    row = permitted(world, task, "a", state=CredentialState.REVOKING)
    after = Broker(world=world).take(row, Step.REVOKE).failed("target-unreached", "x", unsent=True)
    assert (after.state, after.attempts) == (CredentialState.REVOKING, 1)
