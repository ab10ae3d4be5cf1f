"""The broker renews what was permitted, by what stands in the store, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import ActionState
from taskbound.core.audit.events.work import CredentialProlonged
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import CredentialState, RenewalState, end_in_target
from taskbound.core.errors import DeniedError
from taskbound.core.target import TargetState
from taskbound.flows.revocation import stop
from tests.sqlite import sqlite_store
from tests.stories.minting import ASKED, NONE, SPACE, Minting
from tests.stories.targeting import FILE, declared
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Store, Transaction
    from taskbound.ports.target import StoredTarget

RENEWABLE: dict[str, Any] = {
    **FILE["credentials"],
    "reader": {**FILE["credentials"]["reader"], "renewable": True},
}


def there(store: Store) -> Minting:
    found = Minting(store)
    found.ready(declared(credentials=RENEWABLE))
    return found


@pytest.fixture
def mine() -> Minting:
    return there(sqlite_store())


def refused(mine: Minting, row: Credential, **how: Any) -> str:
    with pytest.raises(DeniedError) as error:
        mine.renewable(row, **how)
    return error.value.code


def test_i09_what_was_permitted_is_renewed_until_what_the_record_says(store: Store) -> None:
    mine = there(store)
    row = mine.renewing()
    found = mine.renewable(row)
    assert row.renewal is not None
    assert (found.name[-35:], found.ends) == (row.id[-35:], end_in_target(row.renewal.ends))
    assert found.record == row.renewal.record > row.record
    assert mine.renewable(row, late=-1000).ends == found.ends  # a late clock makes nothing younger


ALTERED: dict[str, dict[str, Any]] = {
    "no record": {"record": NONE},
    "a record of another": {"record": {"credential": "crd_" + "b" * 35}},
    "a record of another target": {"record": {"target": "other-db"}},
    "a record of another kind": {"record": {"of": "clerk"}},
    "a record of another identity": {"record": {"identity": "9" * 64}},
    "a record of another task": {"record": {"task": "tsk_other"}},
    "a record of another agent": {"record": {"agent": "other"}},
    "a record of another action": {"record": {"action": "act_other"}},
    "a record of an earlier end": {"record": {"ends": 1}},
    "no action": {"action": NONE},
    "another digest": {"action": {"digest": "0" * 64}},
    "another task's action": {"action": {"task": "tsk_other"}},
    "another agent's action": {"action": {"agent": "other"}},
    "another tool's action": {"action": {"tool": "orders-db__credential/clerk"}},
    "no renewal": {"asked": ASKED},
    "another row's renewal": {"asked": {**ASKED, "renews": "crd_" + "b" * 35}},
}


@pytest.mark.parametrize("forged", ALTERED.values(), ids=ALTERED)
def test_what_is_not_what_was_permitted_is_not_renewed(mine: Minting, forged: dict[str, Any]) -> None:
    assert refused(mine, mine.renewing(**forged)) == "credential-altered"


ASKED_FOR: tuple[dict[str, Any], ...] = (
    {"tenant": "blue"},
    {"more": "x"},
    {"seconds": 901},
    {"seconds": 299},
    {"seconds": True},
    {"seconds": None},
)


@pytest.mark.parametrize("more", ASKED_FOR, ids=str)
def test_what_its_action_did_not_ask_for_is_not_renewed(mine: Minting, more: dict[str, Any]) -> None:
    row = mine.renewing()
    done = mine.action("reader", {**ASKED, "renews": row.id, **more})
    mine.adapters.store.write(lambda tx: tx.actions.insert_actions([done]))
    assert row.renewal is not None
    assert refused(mine, altered(mine, row, action=done.id)) == "credential-altered"


def altered(mine: Minting, row: Credential, **changes: Any) -> Credential:
    """The row with another renewal, of which there is a record."""
    assert row.renewal is not None
    event = CredentialProlonged(
        credential=row.id,
        target=row.target,
        of=row.kind,
        identity=row.identity,
        task=row.task,
        agent=row.agent,
        action=changes["action"],
        before=row.ends,
        ends=row.renewal.ends,
    )

    def work(tx: Transaction) -> int:
        tx.audit.append(SPACE, mine.adapters.writer, [event], Instant(row.renewal.ends - seconds(300)))  # type: ignore[union-attr]  # seen above
        return tx.audit.last_number()

    number = mine.adapters.store.write(work)
    return mine.forge(row, renewal=replace(row.renewal, record=number, **changes))


def test_an_action_is_believed_with_its_record_alone(mine: Minting) -> None:
    had = mine.renewing(leased=False)
    assert had.renewal is not None
    for changes in (
        {"ends": Instant(had.renewal.ends + 1)},
        {"record": had.record},
        {"record": 10**6},
        {"action": had.action},
    ):
        row = mine.renewing(renewal=changes)
        assert refused(mine, row) == "credential-altered", changes


@pytest.mark.parametrize(
    "row",
    [
        {"identity": "9" * 64},
        {"kind": "clerk"},
        {"target": "other-db"},
        {"task": "tsk_other"},
        {"agent": "other"},
        {"action": "act_other"},
    ],
    ids=str,
)
def test_a_row_that_is_another_one_than_was_journaled_is_not_renewed(
    mine: Minting, row: dict[str, Any]
) -> None:
    assert refused(mine, mine.renewing(row=row)) == "credential-altered"


def test_i12_only_what_is_active_wanted_and_in_hand_is_renewed(mine: Minting) -> None:
    row = mine.renewing()
    assert refused(mine, row, fence=1) == "lease-lost"
    assert refused(mine, row, late=8.5) == "lease-lost"
    assert refused(mine, row, late=10.5) == "lease-lost"
    assert row.renewal is not None
    for changes in (
        {"state": CredentialState.REVOKING},
        {"state": CredentialState.MINTING},
        {"renewal": None},
        {"renewal": replace(row.renewal, state=RenewalState.DONE)},
        {"renewal": replace(row.renewal, state=RenewalState.FAILED)},
        {"ends": mine.adapters.clock.now()},
        {"acknowledged": False},
    ):
        forged = mine.forge(row, **changes)
        assert refused(mine, forged) == "not-mintable", changes
        row = mine.forge(forged, **{name: getattr(row, name) for name in changes})
    assert mine.renewable(row).row.id == row.id


def test_i12_what_it_rests_on_is_read_anew(mine: Minting) -> None:
    row = mine.renewing()
    target = mine.row()
    for version, (changes, code) in enumerate(REST, start=target.version):
        put_target(mine, replace(target, version=version + 1, **changes), version)
        if code:
            assert refused(mine, row) == code
    assert mine.renewable(row).row == row
    mine.world.tasks.pause(SPACE, mine.task.id, ANN, reason="")
    assert refused(mine, row) == "not-mintable"


REST: tuple[tuple[dict[str, Any], str], ...] = (
    ({"state": TargetState.UNTESTED}, "not-mintable"),
    ({"identity": "9" * 64}, "credential-altered"),
    ({}, ""),
)


def put_target(mine: Minting, target: StoredTarget, expect: int) -> None:
    mine.adapters.store.write(lambda tx: tx.targets.put_target(target, expect=expect))


def test_i12_everything_that_is_stopped_renews_nothing(mine: Minting) -> None:
    row = mine.renewing()
    stop(mine.adapters, SPACE, stopped=True, reason="halt", actor=ANN)
    assert refused(mine, row) in {"stopped", "not-mintable"}


def test_i12_an_agent_that_is_suspended_and_a_task_that_is_over_renew_nothing(mine: Minting) -> None:
    row = mine.renewing()
    mine.world.agents.suspend(SPACE, "coder", ANN, reason="")
    assert refused(mine, row) == "not-mintable"


def test_a_permit_that_is_over_or_unknown_renews_nothing(mine: Minting) -> None:
    for state in (ActionState.UNKNOWN, ActionState.HELD, ActionState.SUCCEEDED):
        row = mine.renewing(action={"state": state})
        assert refused(mine, row) == "not-mintable"


def test_i09_nothing_is_renewed_beyond_the_deadline_that_its_task_has_now(mine: Minting) -> None:
    row = mine.renewing()
    with mine.adapters.store.read() as seen:
        task = seen.tasks.task(SPACE, mine.task.id)
    assert task is not None
    assert row.renewal is not None
    sooner = replace(task, deadline=Instant(row.renewal.ends - 1), version=task.version + 1)
    mine.adapters.store.write(lambda tx: tx.tasks.put_task(sooner, expect=task.version))
    assert refused(mine, row) == "credential-altered"
    over = replace(task, deadline=Instant(row.renewal.ends), version=task.version + 2)
    mine.adapters.store.write(lambda tx: tx.tasks.put_task(over, expect=task.version + 1))
    assert mine.renewable(row).ends <= over.deadline + seconds(60)


def test_a_kind_that_is_not_renewable_now_is_not_renewed() -> None:
    mine = Minting(sqlite_store())
    mine.ready()
    row = mine.renewing()
    assert refused(mine, row) == "not-mintable"
