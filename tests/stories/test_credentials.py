"""A credential from its row to its end: leased, minted, handed out, revoked, by brokers that are killed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import taskbound
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    LONGEST_WAIT,
    CredentialState,
    HandOutOverError,
    Lease,
    LeaseLostError,
    Step,
)
from taskbound.core.task import TaskEvent
from taskbound.core.transition import WrongStateError
from taskbound.flows.credential.errors import (
    CredentialEndedError,
    NotAskerError,
    UnknownCredentialError,
    WrongTellingError,
)
from taskbound.flows.credential.handing import acknowledge_credential, over_of, report_of
from taskbound.flows.credential.leasing import MOST, TooManyAtOnceError, lease
from taskbound.flows.credential.revoking import Overdue, end_due, end_own, revoke_credentials
from tests.sqlite import sqlite_store
from tests.stories.brokering import (
    LIVING,
    TARGET,
    Broker,
    moves,
    permitted,
    put,
    put_many,
    put_target,
    row_of,
)
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable

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


# --- leases ---


def test_a_mint_is_given_only_while_somebody_waits_and_a_canary_always(world: World, task: Task) -> None:
    row, canary = permitted(world, task, "a"), put(world, "b", action="", task="", agent="")
    (given,) = Broker(world=world).lease(row, canary)
    assert (given.credential.id, given.step) == (canary.id, Step.MINT)
    assert row_of(world, row) == row
    (given,) = broker_for(world, row).lease(row, canary)
    assert (given.credential.id, given.credential.state) == (row.id, S.MINTING)
    assert moves(world) == [("journaled", "mint", "minting")] * 2


def test_what_is_not_due_not_there_or_in_another_s_hand_is_left_out(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    ending = put(world, "b", state=S.REVOKING, ended=row.made)
    living = put(world, "c", state=S.ACTIVE, acknowledged=True, due=row.ends)
    waited = {row.id, "crd_none"}
    first = lease(world.adapters, "default", [row.id, ending.id, living.id, "crd_none"], waited)
    assert [(one.credential.id, one.step) for one in first] == [(row.id, Step.MINT), (ending.id, Step.REVOKE)]
    assert lease(world.adapters, "default", [row.id, ending.id, living.id], waited) == ()
    assert lease(world.adapters, "other", [row.id, ending.id], waited) == ()


@pytest.mark.usefixtures("task")
def test_what_another_has_in_hand_is_left_out_also_where_it_looks_due(world: World) -> None:
    now = world.clock.now()
    held = put(world, "a", state=S.REVOKING, due=now, lease=Lease(fence=3, until=Instant(now + seconds(5))))
    free = put(world, "b", state=S.REVOKING)
    assert [one.credential.id for one in Broker(world=world).lease(held, free)] == [free.id]
    assert row_of(world, held) == held


def test_one_question_leases_64_at_most(world: World) -> None:
    world.settle_in()
    with pytest.raises(TooManyAtOnceError):
        lease(world.adapters, "default", [f"crd_{number}" for number in range(MOST + 1)], ())


@pytest.mark.usefixtures("task")
def test_i55_what_is_told_under_an_older_fence_or_after_the_lease_changes_nothing(world: World) -> None:
    row = put(world, "a", state=S.REVOKING)
    old = Broker(world=world).take(row, Step.REVOKE)
    world.clock.advance(10)
    late = row_of(world, row)
    with pytest.raises(LeaseLostError):
        old.gone(0, ())
    new = Broker(world=world).take(row, Step.REVOKE)
    held = row_of(world, row)
    tellings: list[Callable[[], Credential]] = [
        lambda: old.gone(0, ()),
        lambda: old.failed("target-unavailable", "gone"),
        lambda: old.left(Instant(held.ends)),
        lambda: old.minted(sealed=True),
    ]
    for tell in tellings:
        with pytest.raises(LeaseLostError):
            tell()
    assert late.state is S.REVOKING
    assert row_of(world, row) == held
    assert new.gone(0, ()).state is S.REVOKED


def test_i55_no_other_fence_ends_a_mint(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    broker = broker_for(world, row)
    broker.take(row, Step.MINT)
    with pytest.raises(LeaseLostError):
        broker.telling(row, 2).failed("target-unavailable", "no answer")
    assert row_of(world, row).state is S.MINTING


def test_i12_a_mint_in_flight_when_its_task_ends_loses_and_is_looked_for_until_it_can_not_arrive(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    told = broker_for(world, row).take(row, Step.MINT)
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="no")
    with pytest.raises(LeaseLostError):
        told.minted(sealed=True)
    assert row_of(world, row).state is S.REVOKING
    broker = Broker(world=world)
    assert broker.revoke(row).state is S.REVOKED
    world.clock.advance(75)
    (look,) = broker.lease(row)
    assert (look.step, look.credential.lease.fence) == (Step.LOOK, 2)
    assert broker.telling(row, 0).seen(exists=True).state is S.REVOKING
    assert broker.revoke(row).state is S.REVOKED


def test_a_look_that_shows_nothing_is_over_and_leaves_no_record(world: World, task: Task) -> None:
    row = put(world, "a", state=S.REVOKED, late=Instant(task.deadline), due=Instant(world.clock.now()))
    assert Broker(world=world).telling(row, 0).seen(exists=False).due == row.late
    assert moves(world) == []
    with pytest.raises(WrongStateError):
        Broker(world=world).telling(put(world, "b", state=S.REVOKING), 0).seen(exists=True)


# --- what a broker tells ---


@pytest.mark.usefixtures("task")
def test_a_canary_is_over_with_its_mint_and_has_no_secret(world: World) -> None:
    canary = put(world, "a", action="", task="", agent="")
    told = Broker(world=world).take(canary, Step.MINT)
    with pytest.raises(WrongTellingError):
        told.minted(sealed=True)
    after = told.minted(sealed=False)
    assert (after.state, after.why) == (S.REVOKING, "it was a canary")
    assert moves(world)[1:] == [("minting", "show", "active"), ("active", "end", "revoking")]
    assert Broker(world=world).revoke(canary).state is S.REVOKED


def test_what_was_asked_for_is_never_minted_without_a_secret(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    told = broker_for(world, row).take(row, Step.MINT)
    with pytest.raises(WrongTellingError):
        told.minted(sealed=False)
    assert row_of(world, row).state is S.MINTING


def test_a_mint_that_failed_ends_with_what_was_met_and_words_of_others_are_cut_and_made_visible(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    told = broker_for(world, row).take(row, Step.MINT)
    after = told.failed("target-unavailable", "no\nanswer " + "x" * 1000)
    assert after.state is S.REVOKING
    assert after.why.startswith("it could not be minted: no\\u{A} answer xxx") or "\n" not in after.why
    assert len(after.why) < 400
    assert over_of(after).code == "mint-failed"


@pytest.mark.usefixtures("task")
def test_what_else_was_done_is_recorded_and_bounded(world: World) -> None:
    row = put(world, "a", state=S.REVOKING)
    Broker(world=world).take(row, Step.REVOKE).gone(3, [f"table {number}" for number in range(60)])
    (record,) = world.events("credential-moved")
    assert (record["cut"], record["after"], len(record["notes"])) == (3, "revoked", 51)
    assert record["notes"][-1] == "and 10 more"


@pytest.mark.usefixtures("task")
def test_what_can_not_be_revoked_has_an_end_that_is_known(world: World) -> None:
    row = put(world, "a", state=S.REVOKING)
    until = Instant(row.ends + seconds(60))
    after = Broker(world=world).take(row, Step.REVOKE).left(until)
    assert (after.state, after.ends, after.due) == (S.UNSUPPORTED, until, 0)
    assert world.events("credential-moved")[0]["until"] == until


@pytest.mark.usefixtures("task")
def test_of_what_is_not_there_nothing_is_told(world: World) -> None:
    with pytest.raises(UnknownCredentialError):
        Broker(world=world).telling(put(world, "a", namespace="other"), 1).gone(0, ())


@pytest.mark.usefixtures("task")
def test_f12_k19_what_was_gone_already_and_what_was_told_already_are_one_end(world: World) -> None:
    row = put(world, "a", state=S.REVOKING)
    lost = Broker(world=world).take(row, Step.REVOKE)  # it revoked, and was killed before it told
    world.clock.advance(10)
    assert Broker(world=world).revoke(row).state is S.REVOKED
    with pytest.raises(LeaseLostError):
        lost.gone(0, ())
    assert [after for *_, after in moves(world)] == ["revoked"]


def test_f21_what_ends_first_wins_and_nothing_that_is_being_revoked_is_active_again(
    world: World, task: Task
) -> None:
    row = permitted(world, task, "a")
    told = broker_for(world, row).take(row, Step.MINT)
    revoke_credentials(world.adapters, "default", credential=row.id, actor=ANN)
    tellings: list[Callable[[], Credential]] = [
        lambda: told.minted(sealed=True),
        lambda: told.failed("x", "y"),
    ]
    for tell in tellings:
        with pytest.raises(LeaseLostError):
            tell()
    with pytest.raises(CredentialEndedError):
        acked(world, row)
    assert row_of(world, row).state is S.REVOKING


def test_f23_events_that_come_late_or_out_of_order_wake_nothing_up(world: World, task: Task) -> None:
    row = permitted(world, task, "a")
    mint = broker_for(world, row).take(row, Step.MINT)
    end_own(world.adapters, "default", row.id, task.id)
    revoke = Broker(world=world).take(row, Step.REVOKE)
    with pytest.raises(LeaseLostError):
        mint.minted(sealed=True)
    assert revoke.gone(0, ()).state is S.REVOKED
    for late in (mint, revoke):
        with pytest.raises(LeaseLostError):
            late.minted(sealed=True)
        with pytest.raises(LeaseLostError):
            late.gone(0, ())
    assert row_of(world, row).state is S.REVOKED


# --- no number of attempts (I-06) ---


def test_i06_a_revocation_is_tried_for_48_hours_and_longer_each_five_seconds_and_is_told_of_once(
    world: World, task: Task
) -> None:
    row = put(world, "a", state=S.REVOKING, ended=world.clock.now(), task=task.id, agent=task.agent)
    broker, overdue = Broker(world=world), Overdue(world.adapters)
    told = 0
    for hour in range(48):
        for _ in range(3):
            after = broker.take(row, Step.REVOKE).failed("target-unavailable", "nobody answers")
            assert after.state is S.REVOKING
            assert after.due <= world.clock.now() + LONGEST_WAIT
            world.clock.advance(6)
        told += len(overdue.tell("default"))
        world.clock.advance(3600 - 18)
        assert row_of(world, row).attempts == 3 * (hour + 1)
    assert told == 1
    assert [one["seconds"] >= 60 for one in world.events("credential-overdue")] == [True]
    (news,) = [one for one in world.monitor.messages if one.get("kind") == "taskbound-credential-overdue"]
    assert (news["target"], news["credentials"], news["tasks"]) == (TARGET, [row.id], [task.id])
    assert moves(world) == []
    assert broker.revoke(row).state is S.REVOKED
    assert overdue.tell("default") == ()


def test_i06_no_number_of_attempts_stands_anywhere_in_the_life_of_a_credential() -> None:
    room = Path(taskbound.__file__).parent
    files = [
        *(room / "core/credential").glob("*.py"),
        *(room / "flows/credential").glob("*.py"),
        *(room / "surfaces/api").glob("*credential*.py"),
        room / "surfaces/api/operations/broker.py",
    ]
    found = {
        (file.name, line.strip())
        for file in files
        for line in file.read_text().splitlines()
        if "attempts" in line and not line.strip().startswith(('"""', "#"))
    }
    compared = {one for one in found if any(sign in one[1] for sign in ("<", ">", "==", "range("))}
    assert compared == {
        ("values.py", "return Duration(min(LONGEST_WAIT, _FIRST_WAIT << min(attempts - 1, _DOUBLINGS)))"),
        ("values.py", "def _wait_after(attempts: int) -> Duration:"),
    }


@pytest.mark.usefixtures("task")
def test_what_is_overdue_again_after_it_was_gone_is_told_again(world: World) -> None:
    row = put(world, "a", state=S.REVOKING, ended=world.clock.now())
    overdue, broker = Overdue(world.adapters), Broker(world=world)
    assert overdue.tell("default") == ()
    world.clock.advance(60)
    assert [one.id for one in overdue.tell("default")] == [row.id]
    broker.revoke(row)
    broker.telling(row, 0).seen(exists=True)
    world.clock.advance(61)
    assert [one.id for one in overdue.tell("default")] == [row.id]
    assert overdue.tell("default") == ()


@pytest.mark.usefixtures("task")
def test_however_much_got_overdue_each_is_recorded_once_and_twenty_together_at_most(world: World) -> None:
    put_many(world, 45, state=S.REVOKING, ended=world.clock.now())
    world.clock.advance(61)
    overdue = Overdue(world.adapters)
    assert len(overdue.tell("default")) == 45
    assert overdue.tell("default") == ()
    assert len({one["credential"] for one in world.events("credential-overdue")}) == 45
    assert len(world.events("credential-overdue")) == 45
    told = [one for one in world.monitor.messages if one.get("kind") == "taskbound-credential-overdue"]
    assert [len(one["credentials"]) for one in told] == [20, 20, 5]


# --- the daemon's own ends ---


def waiting(world: World, task: Task) -> Credential:
    return permitted(world, task, "a")


def minting(world: World, task: Task) -> Credential:
    row = permitted(world, task, "a")
    broker_for(world, row).take(row, Step.MINT)
    return row


def shown(world: World, task: Task) -> Credential:
    row = permitted(world, task, "a")
    broker_for(world, row).mint(row)
    return row


def held(world: World, task: Task) -> Credential:
    row = shown(world, task)
    acked(world, row)
    return row


@pytest.mark.parametrize(
    ("stands", "after", "why"),
    [
        pytest.param(waiting, 10, "no broker minted it in time", id="K5"),
        pytest.param(minting, 10, "the broker that was minting it did not report", id="killed"),
        pytest.param(shown, 10, "its secret was not acknowledged", id="K10-K11"),
        pytest.param(held, 300, "its time is over", id="its-end"),
    ],
)
def test_what_is_over_is_ended_by_the_daemon_and_not_sooner(
    world: World, task: Task, stands: Callable[[World, Task], Credential], after: int, why: str
) -> None:
    row = stands(world, task)
    world.clock.advance(after - 1)
    assert end_due(world.adapters, "default") == ()
    world.clock.advance(1)
    (ended,) = end_due(world.adapters, "default")
    assert (ended.id, ended.state, ended.why) == (row.id, S.REVOKING, why)
    assert end_due(world.adapters, "default") == ()
    assert Broker(world=world).revoke(row).state is S.REVOKED


def test_k13_what_a_task_left_when_it_ended_is_due_at_once_for_whoever_starts(
    world: World, task: Task
) -> None:
    rows = [permitted(world, task, letter, state=state) for letter, state in zip("abc", LIVING, strict=True)]
    world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="done")
    fresh = world.beside()
    with fresh.store.read() as seen:
        due = seen.credentials.due("default", TARGET, fresh.clock.now(), limit=10)
    assert {one.id for one in due} == {one.id for one in rows}
    assert {Broker(world=fresh).revoke(one).state for one in due} == {S.REVOKED}


def test_no_end_waits_behind_what_is_due_in_a_target_that_hangs(world: World, task: Task) -> None:
    row = permitted(world, task, "z")
    put_many(world, 250, state=S.REVOKING, ended=row.made, due=Instant(row.made - seconds(9)))
    world.clock.advance(10)
    (ended,) = end_due(world.adapters, "default")
    assert ended.id == row.id


# --- handing out ---


def test_i10_only_the_connection_of_the_permit_says_to_have_a_secret_and_once_more_changes_nothing(
    world: World, task: Task
) -> None:
    row, other = permitted(world, task, "a"), permitted(world, task, "b", connection="con_b")
    broker_for(world, row, other).mint(row)
    for connection, wanted in (("con_b", row.id), ("con_a", other.id), ("", row.id), ("con_a", "crd_none")):
        with pytest.raises(NotAskerError):
            acknowledge_credential(world.adapters, "default", wanted, connection)
    after = acked(world, row)
    assert after.acknowledged
    assert acked(world, row) == after
    assert [one for one in moves(world) if one[1] == "acknowledge"] == [("active", "acknowledge", "active")]


def test_k10_what_is_acknowledged_too_late_is_nobody_s(world: World, task: Task) -> None:
    row = shown(world, task)
    world.clock.advance(10)
    with pytest.raises(HandOutOverError):
        acked(world, row)
    assert not row_of(world, row).acknowledged


@pytest.mark.usefixtures("task")
def test_a_canary_and_what_a_sweep_found_are_nobody_s_to_have(world: World) -> None:
    canary = put(world, "a", action="", state=S.ACTIVE, shown=world.clock.now())
    with pytest.raises(NotAskerError):
        acked(world, canary)


@pytest.mark.parametrize(
    ("stands", "ends", "outcome"),
    [
        (waiting, False, None),
        (waiting, True, "not-sent"),
        (minting, False, None),
        (minting, True, "failed"),
        (shown, False, None),
        (shown, True, "failed"),
        (held, False, "succeeded"),
        (held, True, "succeeded"),
    ],
)
def test_law_7_what_came_of_an_action_follows_from_its_credential(
    world: World,
    task: Task,
    stands: Callable[[World, Task], Credential],
    *,
    ends: bool,
    outcome: str | None,
) -> None:
    row = stands(world, task)
    if ends:
        end_own(world.adapters, "default", row.id, task.id)
    report = report_of(row_of(world, row), "con_a", world.clock.now())
    assert (report.outcome if report else None) == outcome
    if report is None:
        return
    left = world.left(task)
    world.outcomes.record([report])
    with world.store.read() as seen:
        kept = seen.actions.action("default", row.action)
    assert kept is not None
    assert kept.state.value == outcome
    assert (world.left(task) == left) is (outcome != "not-sent")


def test_of_a_mint_that_was_lost_long_ago_nobody_says_that_nothing_was_sent(world: World, task: Task) -> None:
    row = minting(world, task)
    world.clock.advance(10)
    end_due(world.adapters, "default")
    broker = Broker(world=world)
    broker.revoke(row)
    world.clock.advance(70)
    broker.telling(row, 0).seen(exists=False)
    report = report_of(row_of(world, row), "con_a", world.clock.now())
    assert report is not None
    assert report.outcome == "failed"
