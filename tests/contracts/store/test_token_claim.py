from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token import ClaimKind, Use, claim_of
from tests.contracts.store.rows import NOW, OTHER, SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.token import Claim
    from taskbound.ports.store import Store, Transaction

FIRST, AGAIN = Use.FIRST, Use.AGAIN
ONE = claim_of(SPACE, ClaimKind.DPOP, "key", "jti-1", until=Instant(NOW))
TWO = claim_of(SPACE, ClaimKind.DPOP, "key", "jti-2", until=Instant(NOW + 1))


def use(store: Store, *claims: Claim) -> Sequence[Use]:
    return store.write(lambda tx: tx.claims.use(claims))


def test_what_is_used_is_used_once_whatever_its_window_is_said_to_be_afterwards(store: Store) -> None:
    assert use(store) == ()
    assert use(store, ONE) == (FIRST,)
    assert use(store, ONE) == (AGAIN,)
    assert use(store, replace(ONE, until=Instant(NOW + 900))) == (AGAIN,)


def test_of_one_turn_each_is_told_by_itself_and_the_second_of_two_alike_is_a_replay(store: Store) -> None:
    use(store, TWO)
    assert use(store, TWO, ONE, ONE, TWO) == (AGAIN, FIRST, AGAIN, AGAIN)
    assert use(store, ONE, TWO) == (AGAIN, AGAIN)


def test_a_use_is_of_its_kind_and_its_namespace(store: Store) -> None:
    assert use(store, ONE) == (FIRST,)
    assert use(store, replace(ONE, kind=ClaimKind.CODE), replace(ONE, namespace=OTHER)) == (FIRST, FIRST)


def test_a_use_of_a_transaction_that_failed_was_none(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.claims.use([ONE])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(work)
    assert use(store, ONE) == (FIRST,)


def test_a_sweep_forgets_those_that_ended_before_it_the_oldest_first_and_no_other(store: Store) -> None:
    later = claim_of(OTHER, ClaimKind.CODE, "c", until=Instant(NOW + 2))
    use(store, later, TWO, ONE)
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW), limit=9)) == 0
    assert use(store, ONE) == (AGAIN,)
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=1)) == 1
    assert use(store, TWO, later) == (AGAIN, AGAIN)
    assert use(store, ONE) == (FIRST,)
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=9)) == 2
    assert use(store, later) == (AGAIN,)
