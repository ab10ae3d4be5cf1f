from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.operation import OperationForbiddenError
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.policy.operations import AuthorizationBasis, HeldStore, OperationCall, authorized, hold
from taskbound.wire.task import EndTask
from tests.stories.test_bundles import activate, propose, put_in_force
from tests.world import World

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

NO_END = '@id("house:no") forbid (principal, action == Taskbound::Action::"task:end", resource);'
OTHER = '@id("house:other") forbid (principal, action == Taskbound::Action::"task:start", resource);'


def basis(world: World, said: list[Any]) -> AuthorizationBasis:
    ann = Principal(
        kind=PrincipalKind.PERSON,
        namespace="default",
        name="ann",
        proof=PeerProof(uid=1000, pid=1, started=1),
    )
    asked = OperationCall(principal=ann, operation=OPERATIONS["task:end"], message=EndTask(task="tsk_1"))
    return authorized(world.adapters, asked, lambda verdict, _: said.append(verdict))


def test_i27_nothing_is_written_by_an_operation_that_the_rules_of_that_moment_refuse(world: World) -> None:
    world.settle_in()
    said: list[Any] = []
    held = basis(world, said)
    put_in_force(world.beside(), NO_END)
    store, wrote = HeldStore(world.store), []
    with hold(held), pytest.raises(OperationForbiddenError):
        store.write(lambda tx: wrote.append(tx.tokens.lock_keys()))
    assert (wrote, len(said)) == ([], 1)
    store.write(lambda tx: wrote.append(tx.tokens.lock_keys()))  # outside of it nothing is held
    assert len(wrote) == 1


def test_other_rules_that_allow_it_too_let_it_be_written_once_and_what_has_begun_goes_on(
    world: World,
) -> None:
    world.settle_in()
    said: list[Any] = []
    held = basis(world, said)
    put_in_force(world.beside(), OTHER)
    store, wrote = HeldStore(world.store), []
    with hold(held):
        store.write(lambda tx: wrote.append(tx.tokens.lock_keys()))
        put_in_force(world.beside(), NO_END)
        store.write(lambda tx: wrote.append(tx.tokens.lock_keys()))
    assert (len(wrote), said) == (2, [])


def test_a_bundle_comes_into_force_before_an_operation_is_written_or_after_it(
    stores: tuple[Store, Store],
) -> None:
    world = World(store=stores[0])
    world.settle_in()
    beside = World(store=stores[1], policy=world.policy, clock=world.clock, chance=world.chance)
    digest = propose(beside, NO_END)
    held = basis(world, [])
    order: list[str] = []

    def come() -> None:
        activate(beside, digest)
        order.append("in force")

    thread = threading.Thread(target=come)

    def write(tx: Transaction) -> None:
        thread.start()
        thread.join(0.5)  # it waits for this transaction, however long that takes
        tx.tokens.lock_keys()
        order.append("written")

    with hold(held):
        HeldStore(stores[0]).write(write)
    thread.join()
    assert order == ["written", "in force"]
