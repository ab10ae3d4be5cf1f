"""What is locked stays as it was until the transaction has ended, and locks are taken in one order."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory
from taskbound.core.policy import ActiveBundle
from tests.contracts.store.rows import (
    SPACE,
    action,
    agent,
    group,
    issuer,
    outcome,
    person,
    person_key,
    task,
    tool,
)
from tests.contracts.store.test_approval import approval, step
from tests.contracts.store.test_credential import row as credential
from tests.contracts.store.test_identity_service import key as service_key
from tests.contracts.store.test_identity_service import service
from tests.contracts.store.test_policy import SECOND, activation, bundle
from tests.contracts.store.test_target import DB, target
from tests.contracts.store.test_task_amendment import amendment
from tests.contracts.store.test_task_amendment import step as moved
from tests.contracts.store.test_token_authorization import admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.store import Transaction
    from tests.adapters.store.conftest import Two

ROOT = task("tsk_0")
CHILD = task("tsk_1", parent=ROOT)
OTHER_CHILD = task("tsk_2", parent=ROOT)
ACT = ("root", "key")


class Kept(NamedTuple):
    """A way to lock something, and what another transaction would change of it meanwhile."""

    lock: Callable[[Transaction], object]
    change: Callable[[Transaction], object]


KEPT: dict[str, Kept] = {
    "a person": Kept(
        lambda tx: tx.identities.lock_grantors(SPACE),
        lambda tx: tx.identities.put_person(person(version=2), expect=1),
    ),
    "a group": Kept(
        lambda tx: tx.identities.lock_grantors(SPACE),
        lambda tx: tx.identities.put_group(group(version=2), expect=1),
    ),
    "an issuer": Kept(
        lambda tx: tx.identities.lock_issuers(SPACE),
        lambda tx: tx.identities.put_issuer(issuer(version=2), expect=1),
    ),
    "an issuer that goes": Kept(
        lambda tx: tx.identities.lock_issuers(SPACE),
        lambda tx: tx.identities.drop_issuer(SPACE, "tickets"),
    ),
    "the bundle in force": Kept(
        lambda tx: tx.policy.lock_in_force(SPACE),
        lambda tx: tx.policy.put_in_force(activation(2, SECOND), expect=1),
    ),
    "a task as the first of its tree": Kept(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id),
        lambda tx: tx.tasks.put_task(replace(ROOT, version=2), expect=1),
    ),
    "a task beneath": Kept(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id),
        lambda tx: tx.tasks.put_task(replace(CHILD, version=2), expect=1),
    ),
    "what begins beneath the first of a tree": Kept(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id), lambda tx: tx.tasks.lock_heads(SPACE, [ROOT.id])
    ),
    "what begins beneath one beneath": Kept(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id), lambda tx: tx.tasks.lock_heads(SPACE, [CHILD.id])
    ),
    "what is left of a limit": Kept(
        lambda tx: tx.tasks.lock_remainders(SPACE, [ROOT.id]),
        lambda tx: tx.tasks.set_remainders(SPACE, {(ROOT.id, "b"): (9, 8)}),
    ),
    "what is known of an act": Kept(
        lambda tx: tx.actions.lock_acts(SPACE, [ACT]),
        lambda tx: tx.actions.put_acts(SPACE, {ACT: ActHistory(attempts=7)}),
    ),
    "a permit": Kept(
        lambda tx: tx.actions.lock_permits(SPACE, ["act_1"]),
        lambda tx: tx.actions.set_outcomes(SPACE, [outcome(action(1))]),
    ),
    "what let a client in": Kept(
        lambda tx: tx.authorizations.lock_admissions(SPACE, ["adm_1"]),
        lambda tx: tx.authorizations.put_admission(admission(version=2), expect=1),
    ),
    "a person of a name": Kept(
        lambda tx: tx.identities.lock_persons(SPACE, ["ann"]),
        lambda tx: tx.identities.put_person(person(version=2), expect=1),
    ),
    "a service": Kept(
        lambda tx: tx.services.lock_services(SPACE, ["s1"], []),
        lambda tx: tx.services.put_service(replace(service("s1"), version=2), expect=1),
    ),
    "a service that goes": Kept(
        lambda tx: tx.services.lock_services(SPACE, ["s1"], []),
        lambda tx: tx.services.drop_service(SPACE, "s1"),
    ),
    "a service's key": Kept(
        lambda tx: tx.services.lock_services(SPACE, [], ["k1"]),
        lambda tx: tx.services.end_service_key(SPACE, "k1", Instant(9)),
    ),
    "an approval": Kept(
        lambda tx: tx.approvals.lock_approval(SPACE, "apr_1"),
        lambda tx: tx.approvals.move_approvals(SPACE, [step()]),
    ),
    "an open approval of a task": Kept(
        lambda tx: tx.approvals.lock_open(SPACE, ["tsk_1"]),
        lambda tx: tx.approvals.move_approvals(SPACE, [step()]),
    ),
    "an approval of an act": Kept(
        lambda tx: tx.approvals.lock_holds(SPACE, [("tsk_1", "d1")]),
        lambda tx: tx.approvals.move_approvals(SPACE, [step()]),
    ),
    "a target": Kept(
        lambda tx: tx.targets.lock_target(SPACE, DB),
        lambda tx: tx.targets.put_target(target(version=6), expect=5),
    ),
    "a target that goes": Kept(
        lambda tx: tx.targets.lock_target(SPACE, DB),
        lambda tx: tx.targets.drop_target(SPACE, DB),
    ),
    "a credential": Kept(
        lambda tx: tx.credentials.lock_credential(SPACE, credential("a").id),
        lambda tx: tx.credentials.put_credential(credential("a", version=6), expect=5),
    ),
    "a credential of a task": Kept(
        lambda tx: tx.credentials.lock_living(SPACE, ["tsk_1"]),
        lambda tx: tx.credentials.put_credential(credential("b", version=6), expect=5),
    ),
    "an amendment": Kept(
        lambda tx: tx.amendments.lock_amendment(SPACE, "amd_1"),
        lambda tx: tx.amendments.move_amendments(SPACE, [moved()]),
    ),
    "an open amendment of a task": Kept(
        lambda tx: tx.amendments.lock_open(SPACE, ["tsk_1"]),
        lambda tx: tx.amendments.move_amendments(SPACE, [moved()]),
    ),
}


def fill(tx: Transaction) -> None:
    """Two of each word, the second in the order of keys written first."""
    for number in (2, 1):
        tx.identities.put_agent(agent(f"{number}"), expect=0)
        tx.identities.put_group(group(f"{number}"), expect=0)
        tx.identities.put_issuer(issuer(f"{number}"), expect=0)
        tx.identities.put_person_key(person_key(f"{number}"), expect=0)
        tx.tools.put_tool(tool(f"{number}"), expect=0)
        tx.tasks.put_task(task(f"tsk_{number}", parent=ROOT), expect=0)
        tx.actions.put_acts(SPACE, {("root", f"{number}"): ActHistory(attempts=1)})
        tx.actions.insert_actions([action(number)])
        tx.approvals.insert_approvals([approval(number)])
        tx.amendments.insert_amendment(amendment(number))
        tx.authorizations.put_admission(admission(f"adm_{number}"), expect=0)
        tx.services.put_service(service(f"s{number}"), expect=0)
        tx.services.put_service_key(service_key(f"k{number}"))
    for name in ("bob", "ann"):
        tx.identities.put_person(person(name), expect=0)
    tx.tasks.put_task(ROOT, expect=0)
    tx.tasks.open_limits(SPACE, "tsk_2", {"a": 9})
    tx.tasks.open_limits(SPACE, "tsk_1", {"a": 9})
    for name in ("b", "a"):
        tx.tasks.open_limits(SPACE, ROOT.id, {name: 9})
    tx.identities.put_group(group(), expect=0)
    tx.identities.put_issuer(issuer(), expect=0)
    tx.actions.put_acts(SPACE, {ACT: ActHistory(attempts=1)})
    tx.targets.put_target(target(), expect=0)
    tx.credentials.insert_credentials([credential("b"), credential("a")])
    tx.policy.insert_bundle(bundle(SECOND))
    tx.policy.put_in_force(activation(1), expect=0)


@pytest.mark.parametrize("what", sorted(KEPT))
def test_what_a_transaction_has_locked_changes_only_after_it_has_ended(two: Two, what: str) -> None:
    two.first.write(fill)
    order: list[str] = []

    def lock(tx: Transaction) -> None:
        KEPT[what].lock(tx)
        order.append("locked")

    def change() -> None:
        two.second.write(KEPT[what].change)
        order.append("changed")

    two.while_held(lock, change)
    assert order == ["locked", "changed"]


@pytest.mark.parametrize("moves", [False, True])
def test_a_namespace_without_a_bundle_has_a_row_to_lock_as_soon_as_somebody_needs_it(
    two: Two, *, moves: bool
) -> None:
    def change() -> None:
        two.second.write(lambda tx: tx.policy.put_in_force(activation(1), expect=0))

    seen, done = two.while_held(lambda tx: tx.policy.lock_in_force(SPACE, moves=moves), change)
    assert (seen, done) == (ActiveBundle(), None)


def test_who_moves_the_bundle_in_force_waits_for_all_who_decide_under_it(two: Two) -> None:
    two.first.write(fill)

    def move() -> ActiveBundle:
        return two.second.write(lambda tx: tx.policy.lock_in_force(SPACE, moves=True))

    assert two.while_held(lambda tx: tx.policy.lock_in_force(SPACE), move) == [activation(1).force] * 2


class Order(NamedTuple):
    """A way to lock two rows, and the two in the order in which they are to be locked."""

    lock: Callable[[Transaction], object]
    table: str
    first: str
    second: str


ORDERS: dict[str, Order] = {
    "agents": Order(
        lambda tx: tx.identities.lock_agents(SPACE, ["2", "1"]), "agents", "name = '1'", "name = '2'"
    ),
    "persons": Order(
        lambda tx: tx.identities.lock_grantors(SPACE), "persons", "name = 'ann'", "name = 'bob'"
    ),
    "persons of names": Order(
        lambda tx: tx.identities.lock_persons(SPACE, ["bob", "ann"]),
        "persons",
        "name = 'ann'",
        "name = 'bob'",
    ),
    "services": Order(
        lambda tx: tx.services.lock_services(SPACE, ["s2", "s1"], []),
        "services",
        "name = 's1'",
        "name = 's2'",
    ),
    "services' keys": Order(
        lambda tx: tx.services.lock_services(SPACE, [], ["k2", "k1"]),
        "service_keys",
        "kid = 'k1'",
        "kid = 'k2'",
    ),
    "groups": Order(
        lambda tx: tx.identities.lock_grantors(SPACE), "person_groups", "name = '1'", "name = '2'"
    ),
    "issuers": Order(lambda tx: tx.identities.lock_issuers(SPACE), "issuers", "name = '1'", "name = '2'"),
    "person keys": Order(
        lambda tx: tx.identities.lock_person_keys(SPACE), "person_keys", "id = '1'", "id = '2'"
    ),
    "credentials": Order(
        lambda tx: tx.credentials.lock_living(SPACE, ["tsk_1"]),
        "credentials",
        f"id = '{credential('a').id}'",
        f"id = '{credential('b').id}'",
    ),
    "tools": Order(lambda tx: tx.tools.lock_tools(SPACE, ["2", "1"]), "tools", "name = '1'", "name = '2'"),
    "tasks": Order(
        lambda tx: tx.tasks.lock_heads(SPACE, ["tsk_2", "tsk_1"]), "tasks", "id = 'tsk_1'", "id = 'tsk_2'"
    ),
    "a task and its ancestor": Order(
        lambda tx: tx.tasks.lock_heads(SPACE, ["tsk_1"]), "tasks", "id = 'tsk_0'", "id = 'tsk_1'"
    ),
    "a tree": Order(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id), "tasks", "id = 'tsk_0'", "id IN ('tsk_1', 'tsk_2')"
    ),
    "tasks of one generation": Order(
        lambda tx: tx.tasks.lock_tree(SPACE, ROOT.id), "tasks", "id = 'tsk_1'", "id = 'tsk_2'"
    ),
    "what is left of two tasks": Order(
        lambda tx: tx.tasks.lock_remainders(SPACE, ["tsk_2", "tsk_1"]),
        "remainders",
        "task = 'tsk_1'",
        "task = 'tsk_2'",
    ),
    "what is left of one task": Order(
        lambda tx: tx.tasks.lock_remainders(SPACE, [ROOT.id]), "remainders", "name = 'a'", "name = 'b'"
    ),
    "acts": Order(
        lambda tx: tx.actions.lock_acts(SPACE, [("root", "2"), ("root", "1")]),
        "acts",
        "act_key = '1'",
        "act_key = '2'",
    ),
    "permits": Order(
        lambda tx: tx.actions.lock_permits(SPACE, ["act_2", "act_1"]),
        "actions",
        "id = 'act_1'",
        "id = 'act_2'",
    ),
    "open approvals": Order(
        lambda tx: tx.approvals.lock_open(SPACE, ["tsk_1"]), "approvals", "id = 'apr_1'", "id = 'apr_2'"
    ),
    "open amendments": Order(
        lambda tx: tx.amendments.lock_open(SPACE, ["tsk_2", "tsk_1"]),
        "amendments",
        "id = 'amd_1'",
        "id = 'amd_2'",
    ),
    "approvals of an act": Order(
        lambda tx: tx.approvals.lock_holds(SPACE, [("tsk_1", "d1")]),
        "approvals",
        "id = 'apr_1'",
        "id = 'apr_2'",
    ),
}


@pytest.mark.parametrize("what", sorted(ORDERS))
def test_who_waits_for_the_first_in_the_order_of_keys_has_not_locked_the_second(two: Two, what: str) -> None:
    two.first.write(fill)
    one = ORDERS[what]
    select = f"SELECT 1 FROM taskbound.{one.table} WHERE {{}} FOR UPDATE"  # noqa: S608  # our own names
    with two.server.connect(two.name) as holder, two.server.connect(two.name) as other:
        with holder.transaction():
            holder.execute(select.format(one.first).encode())
            thread = threading.Thread(target=lambda: two.first.write(one.lock))
            thread.start()
            try:
                two.until_one_waits()
                found = other.execute(f"{select} NOWAIT".format(one.second).encode()).fetchall()
            except psycopg.errors.LockNotAvailable:
                found = []
        thread.join()
    assert found
