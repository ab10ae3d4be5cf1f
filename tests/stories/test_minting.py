"""What the broker mints, and what a daemon that was taken over can't have it mint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import ActionState, canonical
from taskbound.core.audit import parse_record
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import CredentialState, begin_mint, end_in_target, name_of
from taskbound.core.errors import TaskboundError
from taskbound.core.target import TargetState, parse_target_file
from taskbound.core.task import TaskEvent
from taskbound.flows.revocation import stop
from tests.sqlite import sqlite_store
from tests.stories.minting import ASKED, NONE, SPACE, Minting
from tests.stories.targeting import declared
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.credential import Credential
    from taskbound.ports.store import Store, Transaction

S = CredentialState
ALTERED, NOT_NOW = "credential-altered", "not-mintable"
OTHER = "crd_" + "b" * 35


@pytest.fixture
def there(store: Store) -> Minting:
    return ready(store)


@pytest.fixture
def here() -> Minting:
    return ready(sqlite_store())


def ready(store: Store) -> Minting:
    there = Minting(store)
    there.ready()
    return there


def refused(there: Minting, row: Credential, **more: Any) -> str:
    with pytest.raises(TaskboundError) as found:
        there.mintable(row, **more)
    return found.value.code


def test_what_was_permitted_is_minted_as_it_was_asked_for(there: Minting) -> None:
    row = there.leased()
    found = there.mintable(row)
    with there.adapters.store.read() as seen:
        mark = seen.targets.mark()
    assert (found.order.name, found.order.ends) == (name_of(mark, row.id), end_in_target(row.ends))
    assert found.order.context == {"tenant": "red"}
    assert (found.row, found.kind, found.target) == (row, there.kind(), there.row())


def test_a_life_that_nobody_named_is_the_kind_s(here: Minting) -> None:
    assert here.mintable(here.leased("clerk", {})).row.kind == "clerk"


FORGED: list[tuple[str, dict[str, Any], str]] = [
    ("no record", {"record": NONE}, ALTERED),
    ("a record of another kind", {"row": {"record": 1}}, ALTERED),
    ("another credential's record", {"record": {"credential": "crd_" + "b" * 35}}, ALTERED),
    ("a record of another target", {"record": {"target": "other"}}, ALTERED),
    ("a record of another kind of credential", {"record": {"of": "clerk"}}, ALTERED),
    ("a record of another identity", {"record": {"identity": "2" * 64}}, ALTERED),
    ("a record of another task", {"record": {"task": "tsk_b"}}, ALTERED),
    ("a record of another agent", {"record": {"agent": "other"}}, ALTERED),
    ("a record of another action", {"record": {"action": "act_b"}}, ALTERED),
    ("a record of an earlier end", {"record": {"ends": 1}}, ALTERED),
    ("a record for somebody else", {"record": {"recipient": "B" * 43}}, ALTERED),
    ("a row for somebody else", {"row": {"recipient": "B" * 43}}, ALTERED),
    ("no action", {"action": NONE}, ALTERED),
    ("an action that is held", {"action": {"state": ActionState.HELD, "decision": "hold"}}, NOT_NOW),
    ("an action that was refused", {"action": {"state": ActionState.REFUSED, "decision": "refuse"}}, NOT_NOW),
    ("an action that is over", {"action": {"state": ActionState.SUCCEEDED}}, NOT_NOW),
    ("an action that was no permit", {"action": {"decision": "hold"}}, NOT_NOW),
    ("another task's action", {"action": {"task": "tsk_b"}}, ALTERED),
    ("another agent's action", {"action": {"agent": "other"}}, ALTERED),
    ("another tool's action", {"action": {"tool": "orders-db__credential/clerk"}}, ALTERED),
    ("another server's action", {"action": {"server": "2" * 64}}, ALTERED),
    ("an action by another definition", {"action": {"definition": "2" * 64}}, ALTERED),
    ("an action with another digest", {"action": {"digest": "2" * 64}}, ALTERED),
    ("an action that asked for something else", {"action": {"arguments": b'{"tenant":"blue"}'}}, ALTERED),
    ("a row that asks for something else", {"row": {"arguments": b'{"tenant":"blue"}'}}, ALTERED),
    ("a row that asks for nothing", {"row": {"arguments": b"{}"}}, ALTERED),
    ("a row that asks for more", {"row": {"arguments": b'{"tenant":"red","x":"y"}'}}, ALTERED),
    ("a row that asks for no text", {"row": {"arguments": b'{"tenant":1}'}}, ALTERED),
    ("a row that is another action's", {"row": {"id": OTHER}, "record": {"credential": OTHER}}, ALTERED),
    ("a row that can't be read", {"row": {"arguments": b"{"}}, ALTERED),
]


@pytest.mark.parametrize(("forged", "code"), [one[1:] for one in FORGED], ids=[one[0] for one in FORGED])
def test_a_row_its_record_and_its_action_are_one(here: Minting, forged: dict[str, Any], code: str) -> None:
    assert refused(here, here.leased(**forged)) == code


@pytest.mark.parametrize(
    "asked", [{}, {"tenant": 1}, {"tenant": ""}, {"tenant": "x" * 257}, {"tenant": "red", "x": "y"}], ids=str
)
def test_what_its_kind_does_not_have_is_not_minted_though_it_was_permitted(
    here: Minting, asked: dict[str, Any]
) -> None:
    assert refused(here, here.leased(asked=asked)) == ALTERED


def test_a_record_of_another_namespace_says_nothing(here: Minting) -> None:
    row = here.leased()
    assert refused(here, here.forge(row, record=write(here, _event_of(here, row), "other"))) == ALTERED


def write(there: Minting, event: Any, namespace: str = SPACE) -> int:
    """The number of a record that somebody writes who has the store."""

    def work(tx: Transaction) -> int:
        tx.audit.append(namespace, there.adapters.writer, [event], there.adapters.clock.now())
        return tx.audit.last_number()

    return there.adapters.store.write(work)


def _event_of(there: Minting, row: Credential) -> Any:
    with there.adapters.store.read() as seen:
        kept = seen.audit.numbered(row.record)
    assert kept is not None
    return parse_record(kept.body).event


@pytest.mark.parametrize("state", [one for one in S if one is not S.MINTING])
def test_only_what_is_being_minted_is(here: Minting, state: S) -> None:
    assert refused(here, here.forge(here.leased(), state=state)) == NOT_NOW


def test_i55_it_is_minted_under_the_fence_of_its_lease_and_not_in_its_last_seconds(here: Minting) -> None:
    row = here.leased()
    assert [refused(here, row, fence=one) for one in (0, 2)] == ["lease-lost"] * 2
    assert here.mintable(row, late=7.9).row == row
    assert [refused(here, row, late=late) for late in (8, 9.9, 10, 600)] == ["lease-lost"] * 4


def test_a_clock_that_is_late_makes_nothing_younger(here: Minting) -> None:
    assert here.mintable(here.leased(), late=-3_600).row.kind == "reader"


def longer(row: Credential, much: float) -> dict[str, Any]:
    return {"ends": Instant(row.ends + round(much * seconds(1)))}


def test_it_ends_with_what_was_asked_for_its_kind_and_its_task(here: Minting) -> None:
    far = Instant(here.adapters.clock.now() + seconds(86_400))
    forged: dict[str, Any] = {"row": {"ends": far}, "record": {"ends": far}}
    assert refused(here, here.leased(**forged)) == ALTERED
    assert refused(here, here.leased("clerk", {}, **forged)) == ALTERED
    assert refused(here, here.leased("clerk", {"seconds": 31}, **forged)) == ALTERED
    for kind, asked, much in (("clerk", {"seconds": 31}, 31), ("reader", ASKED, 600)):
        ends = Instant(here.adapters.clock.now() + seconds(much))
        assert refused(here, here.leased(kind, asked, row={"ends": ends}, record={"ends": ends})) == ALTERED
    here.task = here.world.start(seconds=60)
    assert refused(here, here.leased()) == ALTERED
    soon = Instant(here.task.deadline)
    assert here.mintable(here.leased(row={"ends": soon})).row.ends == soon


def test_what_is_over_is_not_minted(here: Minting) -> None:
    row = here.leased()
    assert refused(here, here.forge(row, ends=row.made)) == NOT_NOW


WAYS: dict[str, tuple[Callable[[Minting], object], str]] = {
    "everything is stopped": (
        lambda there: stop(there.adapters, SPACE, stopped=True, reason="odd", actor=ANN),
        "stopped",
    ),
    "the task ended": (
        lambda there: there.world.tasks.end(SPACE, there.task.id, TaskEvent.COMPLETE, ANN, reason="done"),
        "task-ended",
    ),
    "the task is paused": (
        lambda there: there.world.tasks.pause(SPACE, there.task.id, ANN, reason="wait"),
        "task-paused",
    ),
    "the agent is suspended": (
        lambda there: there.world.agents.suspend(SPACE, "coder", ANN, reason="odd"),
        "inactive-agent",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_i12_what_it_rests_on_is_judged_when_it_is_minted(there: Minting, way: str) -> None:
    do, code = WAYS[way]
    row = there.leased()
    do(there)
    with there.adapters.store.read() as seen:
        now = seen.credentials.credential(SPACE, row.id)
    assert now is not None
    assert refused(there, there.forge(now, state=S.MINTING, lease=row.lease)) == code


def test_a_task_beneath_one_that_ended_mints_nothing(here: Minting) -> None:
    parent = here.task
    here.task = here.world.child(parent)
    row = here.leased()
    assert here.mintable(row).row == row
    other = replace(here.world.task(parent), deadline=here.adapters.clock.now(), version=parent.version + 1)
    here.adapters.store.write(lambda tx: tx.tasks.put_task(other, expect=parent.version))
    assert refused(here, row) == "task-expired"


def test_a_task_of_another_agent_mints_nothing_for_this_one(here: Minting) -> None:
    row = here.leased()
    other = replace(here.task, agent="other", version=here.task.version + 1)
    here.adapters.store.write(lambda tx: tx.tasks.put_task(other, expect=here.task.version))
    assert refused(here, row) == "no-task"


def test_nothing_is_minted_in_a_target_that_is_another_or_not_ready(here: Minting) -> None:
    row, kept = here.leased(), here.row()
    elsewhere = declared(where={"host": "127.0.0.1", "database": "others"})
    fewer = declared(credentials={"clerk": declared()["credentials"]["clerk"]})
    for file in (elsewhere, fewer):
        put(here, file=canonical(file), identity=kept.identity)
        assert refused(here, row) == ALTERED  # the identity is not its file's
    for state in (TargetState.UNTESTED, TargetState.REFUSED):
        put(here, file=kept.file, identity=kept.identity, state=state)
        assert refused(here, row) == NOT_NOW
    put(here, file=canonical(declared(target="others")), identity=kept.identity, state=kept.state)
    assert refused(here, row) == ALTERED
    put(here, file=b"{", identity=kept.identity, state=kept.state)
    assert refused(here, row) == ALTERED
    here.adapters.store.write(lambda tx: tx.targets.drop_target(SPACE, "orders-db"))
    assert refused(here, row) == NOT_NOW


def put(there: Minting, **changes: Any) -> None:
    now = there.row()
    other = replace(now, version=now.version + 1, **changes)
    there.adapters.store.write(lambda tx: tx.targets.put_target(other, expect=now.version))


def test_nothing_is_minted_in_a_target_that_was_declared_anew(here: Minting) -> None:
    row = here.leased()
    file = canonical(declared(where={"host": "127.0.0.1", "database": "others"}))
    put(here, file=file, identity=parse_target_file(file).identity(SPACE))
    assert refused(here, row) == NOT_NOW


def canary(there: Minting) -> Credential:
    test = there.targets.test(SPACE, "orders-db", ANN)
    reader = next(one for one in there.canaries(test) if one.kind == "reader")
    return there.move(reader.id, begin_mint)


def test_a_canary_of_a_test_that_is_under_way_is_minted_for_nobody(there: Minting) -> None:
    found = there.mintable(canary(there))
    assert (found.row.recipient, found.order.context) == ("", {"tenant": "taskbound-canary"})


@pytest.mark.parametrize(
    "change",
    [
        {"task": "tsk_b"},
        {"agent": "coder"},
        {"recipient": "B" * 43},
        {"made": Instant(1_800_000_000_000_001)},
    ],
    ids=str,
)
def test_what_somebody_asked_for_is_no_canary(here: Minting, change: dict[str, Any]) -> None:
    row = canary(here)
    said = {name: one for name, one in change.items() if name != "made"}
    event = replace(_event_of(here, row), **said)
    assert refused(here, here.forge(row, record=write(here, event), **change)) == ALTERED


def test_a_canary_lives_for_a_minute_and_only_with_its_test(here: Minting) -> None:
    row = canary(here)
    event = replace(_event_of(here, row), ends=row.ends + seconds(60))
    assert refused(here, here.forge(row, record=write(here, event), **longer(row, 60))) == ALTERED
    other = canary(here)
    put(here, tested=here.adapters.clock.now())
    assert refused(here, other) == ALTERED


def test_the_kill_switch_stops_canaries_too(here: Minting) -> None:
    row = canary(here)
    stop(here.adapters, SPACE, stopped=True, reason="odd", actor=ANN)
    assert refused(here, row) == "stopped"


def test_what_was_asked_is_what_is_shown_to_the_target(here: Minting) -> None:
    row = here.leased(asked=ASKED | {"tenant": "x" * 256})
    assert here.mintable(row).order.context == {"tenant": "x" * 256}
