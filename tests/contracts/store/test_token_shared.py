from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.shared import LONGEST_ANSWER, ServedState, SharedClaim, Tally
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, digest, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

ONE = SharedClaim(
    namespace=SPACE,
    service="payments",
    txn="act_1",
    request=digest("request"),
    claimant="c" * 32,
    until=NOW,
    still=Instant(NOW - 7),
)
NOTHING = Tally(namespace=SPACE, service="payments", turn=0, claims=0, room=0, forgotten=Instant(-1))


def insert(store: Store, *claims: SharedClaim) -> None:
    def work(tx: Transaction) -> None:
        for one in claims:
            tx.shared_claims.insert(one)

    store.write(work)


def found(store: Store, claim: SharedClaim = ONE) -> SharedClaim | None:
    return read(store, lambda seen: seen.shared_claims.claim(claim.namespace, claim.service, claim.txn))


def tally(store: Store, service: str = "payments", space: str = SPACE) -> Tally:
    return store.write(lambda tx: tx.shared_claims.lock_tally(space, service))


def drop(store: Store, before: int, *, service: str = "payments", limit: int = 9) -> list[tuple[int, int]]:
    return list(store.write(lambda tx: tx.shared_claims.drop(SPACE, service, Instant(before), limit=limit)))


def test_a_claim_is_read_as_it_was_written_whatever_bytes_the_answer_has(store: Store) -> None:
    assert found(store) is None
    insert(store, ONE)
    assert found(store) == ONE
    for state, answer in ((ServedState.ANSWERED, bytes(range(256))), (ServedState.LOST, b"")):
        after = replace(ONE, state=state, answer=answer)
        store.write(lambda tx, after=after: tx.shared_claims.put(after))  # type: ignore[misc] # bound at once
        assert found(store) == after
        assert store.write(lambda tx: tx.shared_claims.lock_claim(SPACE, "payments", "act_1")) == after


def test_a_claim_is_its_services_its_namespaces_and_its_transactions(store: Store) -> None:
    others = [replace(ONE, namespace=OTHER), replace(ONE, service="ledger"), replace(ONE, txn="act_2")]
    insert(store, ONE, *others)
    after = replace(ONE, state=ServedState.ANSWERED, answer=b"x")
    store.write(lambda tx: tx.shared_claims.put(after))
    assert [found(store, one) for one in others] == others


def test_there_is_one_claim_for_a_transaction_and_none_is_answered_that_is_not_there(store: Store) -> None:
    insert(store, ONE)
    with pytest.raises(ConflictError):
        insert(store, replace(ONE, claimant="d" * 32))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.shared_claims.put(replace(ONE, txn="act_2")))
    assert found(store) == ONE


def test_what_a_transaction_that_failed_began_was_not_begun(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.shared_claims.lock_tally(SPACE, "payments")
        tx.shared_claims.insert(ONE)
        tx.shared_claims.put_tally(replace(NOTHING, turn=1, claims=1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(work)
    assert (found(store), tally(store)) == (None, NOTHING)


def test_a_tally_is_nothing_before_it_is_written_and_only_goes_on(store: Store) -> None:
    assert tally(store) == NOTHING
    known = Tally(namespace=SPACE, service="payments", turn=3, claims=2, room=2**40, forgotten=NOW)

    def put(one: Tally) -> None:
        def work(tx: Transaction) -> None:
            tx.shared_claims.lock_tally(one.namespace, one.service)
            tx.shared_claims.put_tally(one)

        store.write(work)

    put(known)
    assert tally(store) == known
    assert (tally(store, "ledger").turn, tally(store, space=OTHER).turn) == (0, 0)
    for turn in (2, 3):
        with pytest.raises(ConflictError):
            put(replace(known, turn=turn))
    assert tally(store) == known


def test_what_is_over_is_forgotten_the_oldest_first_with_the_room_that_it_took(store: Store) -> None:
    answered = replace(ONE, txn="act_2", until=Instant(NOW - 1), state=ServedState.ANSWERED, answer=b"abc")
    lost = replace(ONE, txn="act_3", until=Instant(NOW + 1), state=ServedState.LOST)
    other = replace(ONE, service="ledger", until=Instant(NOW - 5))
    insert(store, lost, ONE, answered, other, replace(ONE, namespace=OTHER))

    def due(before: int) -> tuple[tuple[str, str], ...]:
        return read(store, lambda seen: seen.shared_claims.due(Instant(before)))

    assert due(NOW - 5) == ()
    assert due(NOW) == ((SPACE, "ledger"), (SPACE, "payments"))
    assert due(NOW + 1) == ((OTHER, "payments"), (SPACE, "ledger"), (SPACE, "payments"))
    assert drop(store, NOW - 1) == []
    assert drop(store, NOW + 9, limit=1) == [(NOW - 1, 3)]
    assert sorted(drop(store, NOW + 9)) == [(NOW, LONGEST_ANSWER), (NOW + 1, 0)]
    assert (found(store), found(store, other), due(NOW + 9)) == (
        None,
        other,
        ((OTHER, "payments"), (SPACE, "ledger")),
    )


def test_of_transactions_that_lock_a_tally_at_once_each_sees_what_the_one_before_wrote(store: Store) -> None:
    def add(tx: Transaction) -> None:
        before = tx.shared_claims.lock_tally(SPACE, "payments")
        tx.shared_claims.put_tally(replace(before, turn=before.turn + 1, claims=before.claims + 2))

    def many() -> None:
        for _ in range(5):
            store.write(add)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (tally(store).turn, tally(store).claims) == (20, 40)
