from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.clock import Instant
from taskbound.ports.task import StoredBearer
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store

FIRST = StoredBearer(namespace=SPACE, task="tsk_1", digest="d1", made=Instant(NOW))


def test_a_task_has_one_bearer_and_the_last_that_was_put(store: Store) -> None:
    assert read(store, lambda seen: seen.bearers.bearer(SPACE, "tsk_1")) is None
    store.write(lambda tx: tx.bearers.put_bearer(FIRST))
    assert read(store, lambda seen: seen.bearers.bearer(SPACE, "tsk_1")) == FIRST
    second = replace(FIRST, digest="d2", made=Instant(NOW + 1))
    store.write(lambda tx: tx.bearers.put_bearer(second))
    assert read(store, lambda seen: seen.bearers.bearer(SPACE, "tsk_1")) == second
    assert store.write(lambda tx: tx.bearers.bearer(SPACE, "tsk_1")) == second


def test_a_bearer_is_of_its_task_and_its_namespace(store: Store) -> None:
    store.write(lambda tx: tx.bearers.put_bearer(FIRST))
    assert read(store, lambda seen: seen.bearers.bearer(OTHER, "tsk_1")) is None
    assert read(store, lambda seen: seen.bearers.bearer(SPACE, "tsk_2")) is None
    other = replace(FIRST, namespace=OTHER, digest="d3")
    store.write(lambda tx: tx.bearers.put_bearer(other))
    assert read(store, lambda seen: seen.bearers.bearer(SPACE, "tsk_1")) == FIRST
    assert read(store, lambda seen: seen.bearers.bearer(OTHER, "tsk_1")) == other
