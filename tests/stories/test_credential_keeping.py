"""What is kept to end a credential is written with its mint, and only where it is sealed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.sealing import SealingKey
from taskbound.core.credential import CredentialState, Step, kept_binding
from taskbound.core.task import TaskEvent
from taskbound.core.tool import BadSecretError
from tests.stories.brokering import Broker, permitted, put_target, row_of
from tests.world import ANN

if TYPE_CHECKING:
    from tests.world import World

S = CredentialState


def test_it_is_sealed_for_this_credential_alone_and_nothing_else_is_written(world: World) -> None:
    task = world.settle_in()
    put_target(world)
    row, other = permitted(world, task, "a"), permitted(world, task, "b")
    told, key = Broker(world=world, waited={row.id}).take(row, Step.MINT), SealingKey.generate()
    sealed = key.seal("token-of-a-system", kept_binding(row))
    refused = ["token-of-a-system", key.seal("token-of-a-system", kept_binding(other)), sealed + "A"]
    for one in refused:
        with pytest.raises(BadSecretError):
            told.minted(sealed=True, kept=one)
        assert row_of(world, row).state is S.MINTING
    assert told.minted(sealed=True, kept=sealed).kept == row_of(world, row).kept == sealed
    world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="no")
    assert row_of(world, row).kept == sealed
    assert Broker(world=world).revoke(row).kept == row_of(world, row).kept == ""
