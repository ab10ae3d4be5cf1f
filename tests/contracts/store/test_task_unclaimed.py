from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.task.values import Unclaimed
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction


def note(task: str, until: int, namespace: str = SPACE) -> Unclaimed:
    return Unclaimed(namespace=namespace, task=task, until=Instant(NOW + until))


def test_notes_of_every_namespace_come_when_their_time_has_come_oldest_first(store: Store) -> None:
    rows = [note("a", 9), note("b", 5), note("a", 5, OTHER), note("c", 10)]

    def work(tx: Transaction) -> None:
        for one in rows:
            tx.unclaimed.put(one)

    store.write(work)
    first, second = sorted((rows[1], rows[2]), key=lambda one: one.namespace)
    with store.read() as seen:
        assert seen.unclaimed.due(Instant(NOW + 9)) == (first, second, rows[0])
        assert seen.unclaimed.due(Instant(NOW + 9), limit=1) == (first,)
        assert seen.unclaimed.due(Instant(NOW + 4)) == ()
        assert seen.unclaimed.note(SPACE, "a") == rows[0]
        assert seen.unclaimed.note(OTHER, "b") is None


def test_a_note_is_forgotten_by_its_namespace_and_task_alone(store: Store) -> None:
    store.write(lambda tx: tx.unclaimed.put(note("a", 1)))
    store.write(lambda tx: tx.unclaimed.drop(OTHER, "a"))
    store.write(lambda tx: tx.unclaimed.drop(SPACE, "b"))
    with store.read() as seen:
        assert seen.unclaimed.due(Instant(NOW + 1)) == (note("a", 1),)
    store.write(lambda tx: tx.unclaimed.drop(SPACE, "a"))
    store.write(lambda tx: tx.unclaimed.drop(SPACE, "a"))
    with store.read() as seen:
        assert seen.unclaimed.due(Instant(NOW + 1)) == ()


def test_a_task_is_noted_once(store: Store) -> None:
    store.write(lambda tx: tx.unclaimed.put(note("a", 1)))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.unclaimed.put(note("a", 2)))
    with store.read() as seen:
        assert seen.unclaimed.note(SPACE, "a") == note("a", 1)
