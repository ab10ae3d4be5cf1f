from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.audit import KillSwitchChanged, WriterStarted, parse_record
from taskbound.core.clock import Instant
from taskbound.core.policy import ActiveBundle
from taskbound.ports.policy import BundleActivation, StoredBundle
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, WRITER, digest, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction

FIRST, SECOND = digest("first"), digest("second")


def bundle(name: str = FIRST, *, namespace: str = SPACE, at: int = NOW) -> StoredBundle:
    return StoredBundle(
        namespace=namespace,
        digest=name,
        archive=b'{"\x00\xff"}',
        author="ann",
        at=Instant(at),
        note="why\nnot\x1b[0m",
        record=7,
    )


def activation(epoch: int, name: str = FIRST, *, namespace: str = SPACE) -> BundleActivation:
    return BundleActivation(
        namespace=namespace,
        force=ActiveBundle(epoch=epoch, digest=name),
        how="activated",
        by="bob",
        at=NOW,
        record=epoch,
    )


def put(store: Store, one: BundleActivation, *, expect: int) -> None:
    store.write(lambda tx: tx.policy.put_in_force(one, expect=expect))


def test_a_bundle_is_read_as_it_was_kept_and_only_in_its_namespace(store: Store) -> None:
    store.write(lambda tx: tx.policy.insert_bundle(bundle()))
    assert read(store, lambda seen: seen.policy.bundle(SPACE, FIRST)) == bundle()
    assert read(store, lambda seen: seen.policy.bundle(OTHER, FIRST)) is None
    assert read(store, lambda seen: seen.policy.bundle(SPACE, SECOND)) is None


def test_bundles_come_newest_first_and_without_their_archives(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.policy.insert_bundle(bundle(at=NOW + 1))
        tx.policy.insert_bundle(bundle(SECOND, at=NOW + 2))
        tx.policy.insert_bundle(bundle(digest("third")))
        tx.policy.insert_bundle(bundle(namespace=OTHER))

    store.write(work)
    found = read(store, lambda seen: seen.policy.bundles(SPACE))
    assert [one.digest for one in found] == [SECOND, FIRST, digest("third")]
    assert found[1] == replace(bundle(at=NOW + 1), archive=b"")


def test_a_bundle_that_is_kept_is_never_replaced(store: Store) -> None:
    store.write(lambda tx: tx.policy.insert_bundle(bundle()))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.policy.insert_bundle(replace(bundle(), author="eve")))
    assert read(store, lambda seen: seen.policy.bundle(SPACE, FIRST)) == bundle()


def test_in_an_untouched_namespace_the_base_alone_is_in_force(store: Store) -> None:
    assert read(store, lambda seen: seen.policy.in_force(SPACE)) == ActiveBundle()
    assert store.write(lambda tx: tx.policy.lock_in_force(SPACE)) == ActiveBundle()
    assert read(store, lambda seen: (seen.policy.activations(SPACE), seen.policy.governed())) == ((), ())


def test_what_is_in_force_moves_from_epoch_to_epoch_and_how_is_kept(store: Store) -> None:
    store.write(lambda tx: tx.policy.lock_in_force(SPACE))
    put(store, activation(1), expect=0)
    put(store, activation(2, SECOND), expect=1)
    put(store, activation(1, namespace=OTHER), expect=0)
    put(store, replace(activation(3, ""), how="rolled-back"), expect=2)
    assert read(store, lambda seen: seen.policy.in_force(SPACE)) == ActiveBundle(epoch=3)
    assert store.write(lambda tx: tx.policy.lock_in_force(OTHER)) == ActiveBundle(epoch=1, digest=FIRST)
    found = read(store, lambda seen: seen.policy.activations(SPACE))
    assert found == (replace(activation(3, ""), how="rolled-back"), activation(2, SECOND), activation(1))
    assert read(store, lambda seen: seen.policy.governed()) == tuple(sorted((SPACE, OTHER)))


@pytest.mark.parametrize("expect", [0, 2, 7])
def test_what_is_in_force_moves_only_from_the_epoch_that_was_expected(store: Store, expect: int) -> None:
    put(store, activation(1), expect=0)
    with pytest.raises(ConflictError):
        put(store, activation(2, SECOND), expect=expect)
    assert read(store, lambda seen: seen.policy.in_force(SPACE)) == ActiveBundle(epoch=1, digest=FIRST)
    assert read(store, lambda seen: len(seen.policy.activations(SPACE))) == 1


def test_a_transaction_that_knew_what_is_in_force_knows_what_it_wrote(store: Store) -> None:
    def work(tx: Transaction) -> tuple[ActiveBundle, ActiveBundle]:
        before = tx.policy.lock_in_force(SPACE)
        tx.policy.put_in_force(activation(1), expect=0)
        return before, tx.policy.lock_in_force(SPACE)

    assert store.write(work) == (ActiveBundle(), ActiveBundle(epoch=1, digest=FIRST))
    assert store.write(lambda tx: tx.policy.lock_in_force(SPACE)) == ActiveBundle(epoch=1, digest=FIRST)


def test_the_record_that_was_appended_last_is_found_by_its_number(store: Store) -> None:
    opened = WriterStarted(heads=(), checkpoint_size=0, checkpoint_root="", software="test")
    events = [KillSwitchChanged(stopped=True, epoch=n, reason="", by="ann", proof="") for n in (1, 2, 3)]

    def work(tx: Transaction) -> tuple[int, int]:
        tx.audit.append(SPACE, WRITER, [opened, events[0]], NOW)
        first = tx.audit.last_number()
        tx.audit.append(SPACE, WRITER, [events[1]], NOW)
        return first, tx.audit.last_number()

    first, second = store.write(work)
    third = store.write(
        lambda tx: (tx.audit.append(SPACE, WRITER, [events[2]], NOW), tx.audit.last_number())[1]
    )
    with store.read() as seen:
        for number, event in zip((first, second, third), events, strict=True):
            found = seen.audit.numbered(number)
            assert found is not None
            assert (parse_record(found.body).event, found.place) == (event, None)
        assert seen.audit.numbered(third + 1) is None
        pending = [one.number for one in seen.audit.pending(10)]
    store.write(lambda tx: tx.audit.extend(0, pending))
    with store.read() as seen:
        places = [seen.audit.numbered(number) for number in (first, second, third)]
    assert [one and one.place for one in places] == [1, 2, 3]
