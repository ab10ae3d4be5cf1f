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

FIRST, AGAIN, LATE = Use.FIRST, Use.AGAIN, Use.LATE
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
    assert use(store, ONE) == (LATE,)  # and is there again, to be forgotten
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=9)) == 2
    assert use(store, later) == (AGAIN,)


def test_whatever_is_of_a_window_that_was_forgotten_is_late_and_nothing_else_is(store: Store) -> None:
    def fresh(jti: str, until: int, space: str = SPACE, kind: ClaimKind = ClaimKind.DPOP) -> Claim:
        return claim_of(space, kind, "key", jti, until=Instant(until))

    use(store, ONE, TWO, fresh("of another", NOW + 9, OTHER))
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 2), limit=9)) == 2
    assert use(store, ONE, TWO) == (LATE, LATE)
    assert use(store, ONE) == (AGAIN,)
    on_time, other_kind = fresh("on time", NOW + 2), fresh("of its kind", NOW, kind=ClaimKind.ASSERTION)
    shown = (fresh("before", NOW), on_time, fresh("at it", NOW + 1), other_kind, fresh("there", NOW, OTHER))
    assert use(store, *shown) == (LATE, FIRST, LATE, FIRST, FIRST)
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 1), limit=9)) == 4
    assert use(store, fresh("no earlier", NOW + 1)) == (LATE,)  # though these had ended before that


def test_a_sweep_that_failed_has_forgotten_nothing(store: Store) -> None:
    use(store, ONE)

    def work(tx: Transaction) -> None:
        assert tx.claims.sweep(Instant(NOW + 1), limit=9) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(work)
    assert use(store, ONE, claim_of(SPACE, ClaimKind.DPOP, "key", "new", until=ONE.until)) == (AGAIN, FIRST)


def test_a_sweep_finds_the_last_window_of_each_kind_whatever_the_order(store: Store) -> None:
    many = [claim_of(SPACE, ClaimKind.DPOP, f"{one}", until=Instant(NOW + one)) for one in range(16)]
    use(store, *many)
    assert store.write(lambda tx: tx.claims.sweep(Instant(NOW + 20), limit=16)) == 16
    assert use(store, replace(many[-1], digest="0" * 64)) == (LATE,)
