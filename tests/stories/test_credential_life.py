"""The whole life of a credential in each store, and what a broker that is killed leaves of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.credential import CredentialState, LeaseLostError, Step
from taskbound.core.target import TargetState
from taskbound.core.task import TaskEvent
from taskbound.flows.credential import open_mark
from taskbound.flows.credential.handing import acknowledge_credential
from taskbound.flows.credential.revoking import Overdue, end_due
from tests.sqlite import sqlite_store
from tests.stories.brokering import Broker, moves, permitted, put_target, row_of, shown_as
from tests.stories.targeting import aimed
from tests.world import ANN

if TYPE_CHECKING:
    from tests.world import World

S = CredentialState


def test_a_target_has_tools_once_a_broker_has_told_that_each_canary_was_minted_and_is_gone() -> None:
    at = aimed(sqlite_store())
    open_mark(at.adapters)
    first, second = at.canaries(at.add())
    broker = Broker(world=at.world)
    for one in (first, second):
        assert at.row().state is TargetState.UNTESTED
        assert broker.mint(one).state is S.REVOKING
        broker.revoke(one)
    assert at.row().state is TargetState.READY


def test_a_target_is_refused_with_what_a_broker_met_or_when_none_came() -> None:
    for failed in (True, False):
        at = aimed(sqlite_store())
        first, _ = at.canaries(at.add())
        if failed:
            Broker(world=at.world).take(first, Step.MINT).failed("target-refused", "no right to make roles")
        else:
            at.world.clock.advance(10)
            assert {one.why for one in end_due(at.adapters, "default")} == {"no broker minted it in time"}
        row = at.row()
        assert row.state is TargetState.REFUSED
        assert ("no right to make roles" if failed else "no broker took it in hand") in row.trouble


def test_from_its_permit_to_its_end_each_store_holds_a_credential_as_it_stands(world: World) -> None:
    task, mark = world.settle_in(), put_target(world)
    row, left = permitted(world, task, "a"), permitted(world, task, "b")
    broker = Broker(world=world, waited={row.id})
    assert broker.mint(row).state is S.ACTIVE
    assert acknowledge_credential(world.adapters, "default", row.id, "con_a").acknowledged
    world.clock.advance(10)
    assert [one.id for one in end_due(world.adapters, "default")] == [left.id]
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="done")
    killed = broker.take(row, Step.REVOKE)
    world.clock.advance(61)
    assert {one.id for one in Overdue(world.adapters).tell("default")} == {row.id, left.id}
    retried = broker.take(row, Step.REVOKE).failed("target-unavailable", "nobody answers")
    assert (retried.state, retried.attempts) == (S.REVOKING, 1)
    with pytest.raises(LeaseLostError):
        killed.gone(0, ())
    world.clock.advance(1)
    for one in (row, left):
        assert broker.revoke(one).state is S.REVOKED
    assert broker.sweep(shown_as(mark, row, left)[:1]) == (row.id,)
    assert broker.revoke(row).state is S.REVOKED
    assert row_of(world, row).why == "its target shows it again"
    assert [event for _, event, after in moves(world) if after == "revoked"] == ["gone"] * 3
