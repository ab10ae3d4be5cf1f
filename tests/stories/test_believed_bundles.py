"""What of bundles is believed when rows were edited: only what records say, each namespace for itself."""

from __future__ import annotations

from taskbound.adapters.store.memory import MemoryStore
from taskbound.core.policy import InForce
from tests.stories.test_bundles import LARGE, edit_force, propose, put_in_force, with_base
from tests.world import World, code_of

LOOKS = '@id("base:look") forbid (principal, action == Taskbound::Action::"bank__look", resource);'


def test_a_bundle_that_was_never_put_in_force_is_not_rebased_into_force_by_an_edited_row() -> None:
    world = World(store=MemoryStore())
    task = world.settle_in()
    put_in_force(world, LARGE)
    never = propose(world)
    edit_force(world, InForce(epoch=1, digest=never))
    newer = with_base(world.store, world, world.policy + LOOKS)
    ((namespace, why),) = newer.bundles.rebase("taskbound 9")
    assert namespace == "default"
    assert "the row was changed" in why
    assert newer.events("policy-rebased") == []
    assert code_of(newer.ask(task)) == "damaged-bundle"


def test_a_base_alone_that_is_in_force_by_an_edited_row_is_told_when_a_daemon_starts() -> None:
    world = World(store=MemoryStore())
    world.settle_in()
    put_in_force(world)
    edit_force(world, InForce(epoch=1))
    ((_, why),) = world.beside().bundles.rebase("taskbound 9")
    assert "the row was changed" in why
