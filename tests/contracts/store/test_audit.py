from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.audit import (
    ActionDecided,
    ChainUnopenedError,
    RecordMalformedError,
    grow,
    leaf_hash,
    parse_record,
    restore_frontier,
)
from taskbound.core.audit.merkle import EMPTY_FRONTIER
from taskbound.core.clock import Instant
from taskbound.ports.audit import StoredCheckpoint
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import (
    NOW,
    OTHER,
    SPACE,
    WRITER,
    action,
    append,
    decided,
    event,
    insert,
    open_chain,
    opening,
    outcome,
    read,
)
from tests.core.audit.logs import verify_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.ports.store import Store, Transaction


def place_all(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.audit.extend(tx.audit.size(), [one.number for one in tx.audit.pending(10_000)])

    store.write(work)


def test_an_empty_log_is_empty(store: Store) -> None:
    with store.read() as seen:
        assert (seen.audit.heads(), seen.audit.count(), seen.audit.size()) == ((), 0, 0)
        assert (seen.audit.records(0, 10), seen.audit.pending(10)) == ((), ())
        assert (seen.audit.tile(0, 0), seen.audit.checkpoint()) == (b"", None)
        assert seen.audit.place(SPACE, "act_1") is None


def test_appended_events_make_a_chain_that_verifies(store: Store) -> None:
    open_chain(store)
    raw = append(store, event(1), event(2))
    raw += append(store, event(3), at=NOW + 5)
    with store.read() as seen:
        pending = seen.audit.pending(100)
        assert seen.audit.count() == 4
    assert [one.body for one in pending][1:] == list(raw)
    seen_chain = verify_chain(one.body for one in pending)
    assert seen_chain.count == 4
    assert [parse_record(one).event for one in raw] == [event(1), event(2), event(3)]


def test_appending_nothing_changes_nothing(store: Store) -> None:
    open_chain(store)
    assert append(store) == ()
    assert append(store, writer="wrt_unknown") == ()
    assert read(store, lambda seen: seen.audit.count()) == 1


def test_a_record_names_the_namespace_that_it_is_of(store: Store) -> None:
    open_chain(store)
    (raw,) = store.write(lambda tx: tx.audit.append(OTHER, WRITER, [event(1)], NOW))
    assert parse_record(raw).namespace == OTHER


def test_a_writer_whose_chain_was_not_opened_can_append_nothing(store: Store) -> None:
    with pytest.raises(ChainUnopenedError):
        append(store, event(1))
    with pytest.raises(ChainUnopenedError):
        append(store, event(1), opening())
    assert read(store, lambda seen: seen.audit.count()) == 0


def test_a_chain_is_opened_once(store: Store) -> None:
    open_chain(store)
    with pytest.raises(ChainUnopenedError):
        open_chain(store)
    with pytest.raises(ChainUnopenedError):
        append(store, event(1), opening())
    assert read(store, lambda seen: seen.audit.count()) == 1


def test_a_namespace_or_writer_that_can_stand_in_no_record_is_refused(store: Store) -> None:
    open_chain(store)
    with pytest.raises(RecordMalformedError):
        store.write(lambda tx: tx.audit.append('a","b":"', WRITER, [event(1)], NOW))
    with pytest.raises(RecordMalformedError):
        open_chain(store, 'wrt"')
    assert read(store, lambda seen: seen.audit.count()) == 1


def test_an_instant_before_the_writers_last_record_counts_as_that_one(store: Store) -> None:
    open_chain(store)
    append(store, event(1), at=NOW + 100)
    (raw,) = append(store, event(2), at=NOW - 100)
    assert parse_record(raw).at == NOW + 100


def test_the_last_instant_is_the_latest_of_any_writer(store: Store) -> None:
    assert store.last_instant() == 0
    open_chain(store, "wrt_a")
    open_chain(store, "wrt_b")
    append(store, event(1), writer="wrt_b", at=NOW + 50)
    append(store, event(2), writer="wrt_a", at=NOW + 40)
    assert store.last_instant() == NOW + 50


def test_heads_are_the_last_records_that_no_other_record_names(store: Store) -> None:
    open_chain(store, "wrt_b")
    open_chain(store, "wrt_a")
    append(store, event(1), writer="wrt_b")
    heads = read(store, lambda seen: seen.audit.heads())
    assert [(one.writer, one.seq) for one in heads] == [("wrt_a", 1), ("wrt_b", 2)]
    open_chain(store, "wrt_c", *(one.text for one in heads))
    heads = read(store, lambda seen: seen.audit.heads())
    assert [(one.writer, one.seq) for one in heads] == [("wrt_c", 1)]
    append(store, event(2), writer="wrt_a")
    heads = read(store, lambda seen: seen.audit.heads())
    assert [(one.writer, one.seq) for one in heads] == [("wrt_a", 2), ("wrt_c", 1)]
    with store.read() as seen:
        verify_chain(one.body for one in seen.audit.pending(100))


def test_a_head_that_is_no_longer_one_when_it_is_named_stays_a_head(store: Store) -> None:
    open_chain(store, "wrt_a")
    (old,) = read(store, lambda seen: seen.audit.heads())
    append(store, event(1), writer="wrt_a")
    open_chain(store, "wrt_b", old.text)
    heads = read(store, lambda seen: seen.audit.heads())
    assert [(one.writer, one.seq) for one in heads] == [("wrt_a", 2), ("wrt_b", 1)]


def test_a_thousand_starts_of_a_process_leave_one_head(store: Store) -> None:
    def start(tx: Transaction) -> None:
        for number in range(1000):
            heads = [one.text for one in tx.audit.heads()]
            tx.audit.append(SPACE, f"wrt_{number}", [opening(*heads)], NOW)

    store.write(start)
    assert [one.writer for one in read(store, lambda seen: seen.audit.heads())] == ["wrt_999"]


def test_records_get_places_in_the_order_in_which_they_became_durable(store: Store) -> None:
    open_chain(store)
    raw = append(store, *(event(n) for n in range(6)))
    pending = read(store, lambda seen: seen.audit.pending(4))
    assert [one.body for one in pending][1:] == list(raw[:3])
    assert [one.number for one in pending] == sorted({one.number for one in pending})
    store.write(lambda tx: tx.audit.extend(0, [one.number for one in pending]))
    with store.read() as seen:
        assert (seen.audit.size(), seen.audit.count()) == (4, 7)
        assert [one.body for one in seen.audit.pending(100)] == list(raw[3:])
        assert seen.audit.records(1, 2) == raw[:2]
        assert seen.audit.records(3, 100) == raw[2:3]
        assert seen.audit.records(4, 100) == ()
    place_all(store)
    with store.read() as seen:
        assert (seen.audit.size(), seen.audit.pending(10)) == (7, ())
        assert seen.audit.records(1, 100) == raw


@pytest.mark.parametrize("start", [0, 3])
def test_a_log_of_another_size_than_said_conflicts(store: Store, start: int) -> None:
    open_chain(store)
    append(store, event(1))
    numbers = [one.number for one in read(store, lambda seen: seen.audit.pending(10))]
    store.write(lambda tx: tx.audit.extend(0, numbers[:1]))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.audit.extend(start, numbers[1:]))
    assert read(store, lambda seen: seen.audit.size()) == 1


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (1, 0), (0, 0), (0, 1, 2, 99)], ids=str)
def test_no_record_is_passed_over_repeated_or_made_up(store: Store, order: Sequence[int]) -> None:
    open_chain(store)
    append(store, event(1), event(2))
    numbers = {
        place: one.number for place, one in enumerate(read(store, lambda seen: seen.audit.pending(10)))
    }
    asked = [numbers.get(place, 10_000) for place in order]
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.audit.extend(0, asked))
    assert read(store, lambda seen: seen.audit.size()) == 0


def test_giving_no_places_changes_nothing(store: Store) -> None:
    open_chain(store)
    store.write(lambda tx: tx.audit.extend(0, []))
    assert read(store, lambda seen: seen.audit.size()) == 0


def decide(tx: Transaction) -> None:
    tx.actions.insert_actions([action(1), action(2)])
    tx.audit.append(SPACE, WRITER, [event(0), decided(action(1)), decided(action(2))], NOW)


def decide_backwards(tx: Transaction) -> None:
    tx.audit.append(SPACE, WRITER, [event(0), decided(action(1)), decided(action(2))], NOW)
    tx.actions.insert_actions([action(1), action(2)])


def decide_with_a_look_between(tx: Transaction) -> None:
    tx.actions.insert_actions([action(1), action(2)])
    tx.actions.action(SPACE, "act_1")
    tx.audit.append(SPACE, WRITER, [event(0), decided(action(1)), decided(action(2))], NOW)


@pytest.mark.parametrize("work", [decide, decide_backwards, decide_with_a_look_between])
def test_the_record_of_a_decision_is_found_by_its_action_once_it_has_a_place(
    store: Store, work: object
) -> None:
    open_chain(store)
    assert callable(work)
    store.write(work)
    assert read(store, lambda seen: seen.audit.place(SPACE, "act_1")) is None
    place_all(store)
    with store.read() as seen:
        assert seen.audit.place(SPACE, "act_1") == 2
        assert seen.audit.place(SPACE, "act_2") == 3
        assert seen.audit.place(OTHER, "act_1") is None
        (raw,) = seen.audit.records(3, 1)
    found = parse_record(raw).event
    assert isinstance(found, ActionDecided)
    assert found.action == "act_2"


def test_the_first_record_of_a_decision_stays_its_record(store: Store) -> None:
    open_chain(store)
    insert(store, action(1), action(2))
    append(store, decided(action(1)))
    append(store, decided(action(1)), decided(action(2)), decided(action(1)))
    store.write(lambda tx: tx.actions.set_outcomes(SPACE, [outcome(action(1))]))
    place_all(store)
    with store.read() as seen:
        assert (seen.audit.place(SPACE, "act_1"), seen.audit.place(SPACE, "act_2")) == (1, 3)


def test_tiles_are_kept_whole_and_grow_over_what_they_held(store: Store) -> None:
    store.write(lambda tx: tx.audit.put_tiles({(0, 0): b"\x01" * 32, (1, 0): b"\x02" * 32}))
    store.write(lambda tx: tx.audit.put_tiles({(0, 0): b"\x01" * 64, (0, 1): b""}))
    with store.read() as seen:
        assert seen.audit.tile(0, 0) == b"\x01" * 64
        assert seen.audit.tile(1, 0) == b"\x02" * 32
        assert (seen.audit.tile(0, 1), seen.audit.tile(2, 0)) == (b"", b"")


def test_a_tree_that_was_stored_is_the_tree_that_was_grown(store: Store) -> None:
    leaves = [leaf_hash(str(n).encode()) for n in range(600)]
    grown = grow(EMPTY_FRONTIER, leaves)
    store.write(lambda tx: tx.audit.put_tiles({(one.level, one.index): one.hashes for one in grown.tiles}))
    with store.read() as seen:
        assert restore_frontier(600, seen.audit.tile) == grown.frontier


def test_the_newest_checkpoint_is_the_largest(store: Store) -> None:
    def checkpoint(size: int, note: str = "note") -> StoredCheckpoint:
        return StoredCheckpoint(
            size=size, root=bytes([size]) * 32, note=f"{note} {size}\n", at=Instant(NOW + size)
        )

    def work(tx: Transaction) -> None:
        for size in (3, 7, 5):
            tx.audit.put_checkpoint(checkpoint(size))

    store.write(work)
    assert read(store, lambda seen: seen.audit.checkpoint()) == checkpoint(7)
    store.write(lambda tx: tx.audit.put_checkpoint(checkpoint(7, "co-signed")))
    assert read(store, lambda seen: seen.audit.checkpoint()) == checkpoint(7, "co-signed")


def test_what_follows_a_number_is_given_whether_it_has_a_place_or_not(store: Store) -> None:
    open_chain(store)
    append(store, event(1))
    place_all(store)
    append(store, event(2), event(3))
    with store.read() as seen:
        every = seen.audit.following(0, 100)
        size, last = seen.audit.last_placed()
        assert (size, last) == (2, every[1].number)
        assert [one.body for one in every[:2]] == list(seen.audit.records(0, 2))
        assert seen.audit.following(last, 100) == every[2:] == seen.audit.pending(100)
        assert seen.audit.following(every[0].number, 2) == every[1:3]
        assert seen.audit.following(every[-1].number, 1) == ()
        assert not seen.audit.unsettled()


def test_an_empty_log_is_followed_from_its_beginning(store: Store) -> None:
    with store.read() as seen:
        assert (seen.audit.last_placed(), seen.audit.following(0, 9)) == ((0, 0), ())
        assert not seen.audit.unsettled()
