"""Entries among records; see `core.revocation.reading`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.audit import RecordMalformedError
from taskbound.core.audit.events import EVENTS, Event, OperationRefused, TaskChanged
from taskbound.core.audit.record import NO_HASH, Record, record_bytes
from taskbound.core.clock import Instant
from taskbound.core.revocation import ENTRY_KINDS, Entry, FeedBrokenError, entries_in, entry_of
from taskbound.core.task import TaskState
from tests.core.audit.samples import full

ENDED = TaskChanged(
    task="tsk_a",
    before=TaskState.RUNNING.value,
    after="cancelled",
    event="e",
    reason="",
    by="ann",
    proof="p",
)


def record(event: Event) -> Record:
    return Record(namespace="default", writer="w", seq=1, prev=NO_HASH, at=Instant(1), event=event)


SAMPLES = [record(full(kind)) for kind in EVENTS]
SAMPLES += [record(replace(ENDED, task=f"tsk_{number}")) for number in range(20)]


def one_by_one(start: int, records: list[Record]) -> tuple[Entry, ...] | None:
    try:
        found = [entry_of(place, one) for place, one in enumerate(records, start)]
    except FeedBrokenError:
        return None
    return tuple(one for one in found if one is not None)


@given(st.integers(0, 2**40), st.lists(st.sampled_from(SAMPLES), max_size=20))
def test_what_is_found_among_records_is_what_each_of_them_says(start: int, records: list[Record]) -> None:
    expected = one_by_one(start, records)
    bodies = [record_bytes(one) for one in records]
    if expected is None:  # a sample with a state that nothing has
        with pytest.raises(FeedBrokenError):
            entries_in(start, bodies)
    else:
        assert entries_in(start, bodies) == expected


@pytest.mark.parametrize("kind", sorted(ENTRY_KINDS))
def test_no_kind_that_may_be_an_entry_is_passed_over(kind: str) -> None:
    body = record_bytes(record(full(kind)))
    broken = body[:-1]
    with pytest.raises(RecordMalformedError):
        entries_in(0, [broken])


@pytest.mark.parametrize("quoted", ['"kind":"task-changed"', '\\"kind\\":\\"task-changed\\"', '","kind":"x'])
def test_a_text_that_quotes_a_kind_is_no_entry_and_hides_none(quoted: str) -> None:
    refused = full("operation-refused")
    assert isinstance(refused, OperationRefused)
    refused = replace(refused, about=quoted)
    silent = record_bytes(record(refused))
    ended = record_bytes(record(replace(ENDED, reason=quoted)))
    found = entries_in(5, [silent, ended])
    assert [(one.place, one.thing.id) for one in found] == [(6, "tsk_a")]
