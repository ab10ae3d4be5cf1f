from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.revocation import KillSwitch
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store

THROWN = KillSwitch(stopped=True, epoch=1, reason="an incident")


def test_an_untouched_namespace_is_not_stopped_and_has_epoch_0(store: Store) -> None:
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == KillSwitch()
    assert store.write(lambda tx: tx.revocation.lock_kill_switch(SPACE)) == KillSwitch()


def test_a_thrown_switch_stops_its_own_namespace(store: Store) -> None:
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=0))
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == THROWN
    assert read(store, lambda seen: seen.revocation.kill_switch(OTHER)) == KillSwitch()
    lifted = KillSwitch(stopped=False, epoch=2)
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, lifted, expect=1))
    assert store.write(lambda tx: tx.revocation.lock_kill_switch(SPACE)) == lifted


@pytest.mark.parametrize("expect", [0, 2])
def test_another_epoch_than_expected_conflicts(store: Store, expect: int) -> None:
    store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=0))
    after = KillSwitch(stopped=False, epoch=expect + 1)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, after, expect=expect))
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == THROWN


def test_an_epoch_that_was_never_reached_conflicts(store: Store) -> None:
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.revocation.put_kill_switch(SPACE, THROWN, expect=3))
