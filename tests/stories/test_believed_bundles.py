"""What of bundles is believed when rows were edited: only what records say, each namespace for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.policy import ActiveBundle, DamagedBundleError, NotInForceBeforeError
from taskbound.flows.policy import examine
from taskbound.ports.policy import StoredBundle
from tests.sqlite import edit, sqlite_store
from tests.stories.test_bundles import LARGE, damage, edit_force, engine_of, propose, put_in_force, with_base
from tests.world import ANN, World, code_of

if TYPE_CHECKING:
    from taskbound.ports.store import Store

LOOKS = '@id("base:look") forbid (principal, action == Taskbound::Action::"bank__look", resource);'
EVERYWHERE = '@id("no") forbid (principal, action, resource);'


def edit_activation(world: World, number: int, *, digest: str | None = None, record: int = 0) -> None:
    edit(
        world.store,
        "UPDATE activations SET digest = coalesce(?, digest), record = coalesce(?, record) WHERE epoch = ?",
        digest,
        record or None,
        number,
    )


def test_a_bundle_that_was_never_put_in_force_is_not_rebased_into_force_by_an_edited_row() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    put_in_force(world, LARGE)
    never = propose(world)
    edit_force(world, ActiveBundle(epoch=1, digest=never))
    newer = with_base(world.store, world, world.policy + LOOKS)
    ((namespace, why),) = newer.bundles.rebase("taskbound 9")
    assert namespace == "default"
    assert "the row was changed" in why
    assert newer.events("policy-rebased") == []
    assert code_of(newer.ask(task)) == "damaged-bundle"


def test_a_base_alone_that_is_in_force_by_an_edited_row_is_told_when_a_daemon_starts() -> None:
    world = World(store=sqlite_store())
    world.settle_in()
    put_in_force(world)
    edit_force(world, ActiveBundle(epoch=1))
    ((_, why),) = world.beside().bundles.rebase("taskbound 9")
    assert "the row was changed" in why


@pytest.mark.parametrize("number", [1, 2], ids=["of before", "of now"])
def test_nothing_is_gone_back_to_that_only_an_edited_row_says_was_in_force(number: int) -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    first, second = put_in_force(world, LARGE), put_in_force(world, LARGE.replace("20.0", "25.0"))
    never = propose(world)
    edit_activation(world, number, digest=never)
    if number == 2:
        edit_force(world, ActiveBundle(epoch=2, digest=never))
    again = world.beside()
    with pytest.raises(NotInForceBeforeError):
        again.bundles.roll_back("default", never, "", ANN)
    believed = {1: "", 2: first}[number]
    done = again.bundles.roll_back("default", None, "a row was changed", ANN)
    assert done.force.digest == believed
    assert done.force.epoch > 2
    assert code_of(again.ask(task)) == "permit"
    assert second != first


def test_where_no_row_of_what_was_in_force_is_believed_the_base_is_gone_back_to() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    never = put_in_force(world)
    put_in_force(world, LARGE)
    for number in (1, 2):
        edit_activation(world, number, record=1)
    edit_force(world, ActiveBundle())
    again = world.beside()
    with pytest.raises(NotInForceBeforeError):
        again.bundles.roll_back("default", never, "", ANN)
    assert again.bundles.roll_back("default", None, "", ANN).force == ActiveBundle(epoch=4)
    assert code_of(again.ask(task)) == "permit"


@pytest.mark.parametrize("changes", [{"author": "eve"}, {"record": 1}, {"archive": b"{}"}])
def test_a_bundle_that_is_whole_in_one_namespace_is_not_believed_in_another(changes: dict[str, Any]) -> None:
    world = World(store=sqlite_store())
    world.settle_in()
    digest = put_in_force(world, EVERYWHERE)
    seen = examine(world.adapters, "other", {"own.cedar": EVERYWHERE}, {})
    kept = world.bundles.propose("other", seen, "", ANN)
    assert isinstance(kept, StoredBundle)
    assert kept.digest == digest
    again = world.beside()
    again.adapters.policy.at("default", ActiveBundle(epoch=1, digest=digest))
    damage(world, digest, namespace="other", **changes)
    with again.store.read() as snapshot, pytest.raises(DamagedBundleError):
        again.adapters.policy.engine(snapshot, "other", digest)


def test_two_namespaces_share_the_engine_of_one_bundle(store: Store) -> None:
    world = World(store=store)
    world.settle_in()
    digest = put_in_force(world, EVERYWHERE)
    seen = examine(world.adapters, "other", {"own.cedar": EVERYWHERE}, {})
    world.bundles.propose("other", seen, "", ANN)
    with world.store.read() as snapshot:
        other = world.adapters.policy.engine(snapshot, "other", digest)
    assert other is engine_of(world, digest)
