"""Credentials that are ended by a person's or a task's word, or by what a sweep found in their target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    CredentialState,
)
from taskbound.flows.credential.errors import (
    BadSelectionError,
    NotAskerError,
    UnknownCredentialError,
)
from taskbound.flows.credential.handing import acknowledge_credential
from taskbound.flows.credential.revoking import MOST, end_due, end_own, revoke_credentials
from tests.sqlite import sqlite_store
from tests.stories.brokering import (
    TARGET,
    Broker,
    moves,
    name,
    permitted,
    put,
    put_many,
    put_target,
    row_of,
    shown_as,
)
from tests.world import ANN, SCOPE, World

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.core.task import Task

S = CredentialState


@pytest.fixture
def world() -> World:
    """On SQLite only: what each engine owes is in its contract, and in `test_credential_life`."""
    return World(store=sqlite_store())


@pytest.fixture
def task(world: World) -> Task:
    """A running task of a world that has a target."""
    running = world.settle_in()
    put_target(world)
    return running


def broker_for(world: World, *rows: Credential) -> Broker:
    return Broker(world=world, waited={one.id for one in rows})


def acked(world: World, row: Credential, connection: str = "con_a") -> Credential:
    return acknowledge_credential(world.adapters, "default", row.id, connection)


# --- revoking ---


def test_a_person_revokes_one_a_task_or_a_target_and_exactly_one_of_them(world: World, task: Task) -> None:
    other = world.start(scope=SCOPE)
    rows = {letter: permitted(world, task, letter) for letter in "ab"}
    rows |= {"c": permitted(world, other, "c"), "d": permitted(world, other, "d", target="other-db")}

    def revoked(*, credential: str = "", task: str = "", target: str = "") -> list[str]:
        done = revoke_credentials(
            world.adapters, "default", credential=credential, task=task, target=target, why="odd", actor=ANN
        )
        return [one.id for one in done.credentials]

    for wrong in ({}, {"credential": name("a"), "task": task.id}, {"task": task.id, "target": TARGET}):
        with pytest.raises(BadSelectionError):
            revoked(**wrong)
    with pytest.raises(UnknownCredentialError):
        revoked(credential="crd_none")
    assert revoked(credential=name("a")) == [name("a")]
    assert revoked(credential=name("a")) == []
    assert revoked(task=task.id) == [name("b")]
    assert revoked(target=TARGET) == [name("c")]
    assert row_of(world, rows["d"]).state is S.JOURNALED
    first = world.events("credential-moved")[0]
    assert (first["why"], first["notes"]) == ("ann revoked it: odd", [f"by ann, {ANN.proof}"])


def test_a_few_are_revoked_by_one_question_and_more_is_said(world: World, task: Task) -> None:
    put_many(world, MOST + 1, task=task.id, state=S.ACTIVE, acknowledged=True)
    done = revoke_credentials(world.adapters, "default", target=TARGET, actor=ANN)
    assert (len(done.credentials), done.more) == (MOST, True)
    done = revoke_credentials(world.adapters, "default", target=TARGET, actor=ANN)
    assert (len(done.credentials), done.more) == (1, False)


def test_a_task_ends_its_own_and_no_other_and_once_more_changes_nothing(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    for who in (world.start().id, ""):
        with pytest.raises(NotAskerError):
            end_own(world.adapters, "default", row.id, who)
    over = end_own(world.adapters, "default", row.id, task.id)
    assert (over.state, over.why) == (S.REVOKING, "its task needs it no more")
    assert end_own(world.adapters, "default", row.id, task.id) == over


# --- sweeps ---


@pytest.mark.usefixtures("task")
def test_i14_a_sweep_touches_no_name_that_is_not_exactly_ours(world: World) -> None:
    mark = put_target(world, "other-db")
    ours = put(world, "a", state=S.REVOKED)
    (there,) = shown_as(mark, ours)
    foreign = [
        *(f"role_{number}" for number in range(997)),
        f"tb_zzzzzzzz_{'a' * 35}",
        f"{there}x",
        there.upper(),
    ]
    before = [one["event"] for one in world.records()]
    assert Broker(world=world).sweep(foreign) == ()
    assert [one["event"] for one in world.records()] == before
    assert Broker(world=world).sweep([*foreign, there]) == (ours.id,)
    assert row_of(world, ours).state is S.REVOKING


def test_f14_what_is_back_without_a_live_row_is_revoked_and_all_else_is_left(
    world: World, task: Task
) -> None:
    mark = put_target(world, "other-db")
    states = (S.JOURNALED, S.MINTING, S.ACTIVE, S.REVOKING, S.UNSUPPORTED)
    rows = [
        permitted(world, task, letter, state=state) for letter, state in zip("abcde", states, strict=True)
    ]
    gone, elsewhere = put(world, "f", state=S.REVOKED), put(world, "g", state=S.REVOKED, target="other-db")
    unknown = put(world, "h", namespace="nowhere")
    names = shown_as(mark, *rows, gone, elsewhere, unknown)
    assert Broker(world=world).sweep(names) == (gone.id, unknown.id)
    assert [row_of(world, one) for one in (*rows, elsewhere)] == [*rows, elsewhere]
    back, found = row_of(world, gone), row_of(world, unknown)
    assert (back.state, back.why) == (S.REVOKING, "its target shows it again")
    assert (found.state, found.why) == (S.REVOKING, "it was found in the target without a row")
    assert (found.kind, found.action, found.task, found.recipient) == ("", "", "", "")
    assert Broker(world=world).sweep(names) == ()
    assert {Broker(world=world).revoke(one).state for one in (back, found)} == {S.REVOKED}


@pytest.mark.usefixtures("task")
def test_what_is_of_another_namespace_of_this_installation_is_its_own(world: World) -> None:
    mark = put_target(world, namespace="other")
    row = put(world, "a", namespace="other", state=S.ACTIVE)
    assert Broker(world=world).sweep(shown_as(mark, row)) == ()


@pytest.mark.usefixtures("task")
def test_what_was_over_only_after_a_sweep_began_is_not_meant_by_it(world: World) -> None:
    mark = put_target(world, "other-db")
    row = put(world, "a", state=S.REVOKED, ended=Instant(world.clock.now() + seconds(5)))
    assert Broker(world=world).sweep(shown_as(mark, row)) == ()
    world.clock.advance(6)
    assert Broker(world=world).sweep(shown_as(mark, row)) == (row.id,)


def test_i02_i05_whatever_is_asked_again_a_credential_is_gone_once(world: World, task: Task) -> None:
    mark = put_target(world, "other-db")
    row = permitted(world, task, "a")
    Broker(world=world, waited={row.id}).mint(row)
    acknowledge_credential(world.adapters, "default", row.id, "con_a")
    broker = Broker(world=world)
    for _ in range(3):
        revoke_credentials(world.adapters, "default", task=task.id, actor=ANN)
        end_own(world.adapters, "default", row.id, task.id)
        end_due(world.adapters, "default")
        assert broker.sweep(shown_as(mark, row)) == ()
    assert broker.revoke(row).state is S.REVOKED
    assert broker.lease(row) == ()
    assert [one for one in moves(world) if one[1] == "gone"] == [("revoking", "gone", "revoked")]
