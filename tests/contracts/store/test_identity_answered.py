from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Answered
from tests.contracts.store.rows import NOW, OTHER, SPACE

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

ONE = Answered(
    namespace=SPACE, principal="Person alice", key="a" * 64, request="b" * 64, until=Instant(NOW + 10)
)


def begin(store: Store, row: Answered, now: int = NOW) -> Answered | None:
    return store.write(lambda tx: tx.answered.begin(row, now=Instant(now)))


def test_a_key_is_begun_once_and_stands_for_what_it_was_begun_with(store: Store) -> None:
    assert begin(store, ONE) is None
    assert begin(store, ONE) == ONE
    assert begin(store, replace(ONE, request="c" * 64, until=Instant(NOW + 99))) == ONE


def test_a_key_is_its_principals_and_its_namespaces(store: Store) -> None:
    assert begin(store, ONE) is None
    for other in (
        replace(ONE, principal="Person bob"),
        replace(ONE, namespace=OTHER),
        replace(ONE, key="d" * 64),
    ):
        assert begin(store, other) is None


def test_an_answer_is_kept_for_the_request_that_began_it_and_no_other(store: Store) -> None:
    begin(store, ONE)
    store.write(lambda tx: tx.answered.finish(replace(ONE, request="c" * 64, answer="other")))
    assert begin(store, ONE) == ONE
    store.write(lambda tx: tx.answered.finish(replace(ONE, answer="done")))
    assert begin(store, ONE) == replace(ONE, answer="done")
    store.write(lambda tx: tx.answered.forget(ONE))
    assert begin(store, ONE) == replace(ONE, answer="done")


def test_one_without_an_answer_can_be_forgotten_and_begun_again(store: Store) -> None:
    begin(store, ONE)
    store.write(lambda tx: tx.answered.forget(replace(ONE, request="c" * 64)))
    assert begin(store, ONE) == ONE
    store.write(lambda tx: tx.answered.forget(ONE))
    assert begin(store, ONE) is None


def test_one_whose_time_is_over_counts_as_none(store: Store) -> None:
    begin(store, ONE)
    assert begin(store, ONE, NOW + 10) == ONE
    again = replace(ONE, until=Instant(NOW + 99))
    assert begin(store, again, NOW + 11) is None
    assert begin(store, ONE, NOW + 12) == again


def test_one_of_a_transaction_that_failed_was_not_begun(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.answered.begin(ONE, now=Instant(NOW))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(work)
    assert begin(store, ONE) is None


def test_a_sweep_forgets_those_whose_time_was_over_before_it_and_no_other(store: Store) -> None:
    later = replace(ONE, key="e" * 64, until=Instant(NOW + 20))
    begin(store, ONE)
    begin(store, later)
    assert store.write(lambda tx: tx.answered.sweep(Instant(NOW + 10), limit=9)) == 0
    assert store.write(lambda tx: tx.answered.sweep(Instant(NOW + 11), limit=9)) == 1
    assert begin(store, later) == later
    assert begin(store, ONE) is None
    assert store.write(lambda tx: tx.answered.sweep(Instant(NOW + 99), limit=1)) == 1
