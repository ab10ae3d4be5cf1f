from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.audit import (
    NO_HASH,
    Chain,
    ChainBrokenError,
    ChainUnopenedError,
    ChainVerifier,
    Head,
    HeadMissingError,
    Record,
    RecordMalformedError,
    RecordRepeatedError,
    SequenceGapError,
    TimeBackwardsError,
    WriterForkError,
    WriterStarted,
    extend_chain,
    parse_head,
)
from taskbound.core.audit.record import seal
from taskbound.core.clock import Instant
from tests.core.audit.logs import Log, open_chain, sample_log, verify_chain
from tests.core.audit.samples import decided

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = Instant(1_760_000_000_000_000)


def opened(writer: str = "wrt_a") -> tuple[bytes, Chain]:
    grown = open_chain(namespace="default", writer=writer, at=NOW, heads=(), software="x")
    return grown.records[0].raw, grown.chain


def test_a_chain_opens_with_the_heads_that_were_known_in_order() -> None:
    heads = [Head(writer=name, seq=3, hash="ab" * 32) for name in ("wrt_b", "wrt_a")]
    grown = open_chain(
        namespace="default",
        writer="wrt_c",
        at=NOW,
        heads=heads,
        software="taskbound 1",
        checkpoint_size=9,
        checkpoint_root="cd" * 32,
    )
    (first,) = grown.records
    assert first.record == Record(
        namespace="default",
        writer="wrt_c",
        seq=1,
        prev=NO_HASH,
        at=NOW,
        event=WriterStarted(
            heads=(f"wrt_a:3:{'ab' * 32}", f"wrt_b:3:{'ab' * 32}"),
            checkpoint_size=9,
            checkpoint_root="cd" * 32,
            software="taskbound 1",
        ),
    )
    assert grown.chain == Chain(writer="wrt_c", seq=1, prev=first.hash, at=NOW)


def test_records_are_numbered_without_gaps_and_each_names_the_one_before() -> None:
    _, chain = opened()
    grown = extend_chain(chain, [decided(1), decided(2)], namespace="default", at=Instant(NOW + 5))
    one, two = grown.records
    assert (one.record.seq, one.record.prev) == (2, chain.prev)
    assert (two.record.seq, two.record.prev) == (3, one.hash)
    assert grown.chain == Chain(writer="wrt_a", seq=3, prev=two.hash, at=Instant(NOW + 5))


def test_extending_is_pure_so_a_transaction_that_failed_can_be_written_again() -> None:
    _, chain = opened()
    first = extend_chain(chain, [decided(1)], namespace="default", at=NOW)
    assert extend_chain(chain, [decided(1)], namespace="default", at=NOW) == first
    assert extend_chain(chain, [], namespace="default", at=NOW).chain == chain


def test_a_clock_that_was_set_back_does_not_run_backwards_in_a_chain() -> None:
    _, chain = opened()
    grown = extend_chain(chain, [decided(1)], namespace="default", at=Instant(NOW - 1))
    assert grown.records[0].record.at == NOW
    assert grown.chain.at == NOW


def test_whole_chains_say_what_was_seen_and_nothing_more() -> None:
    log = sample_log()
    seen = verify_chain(log.records)
    assert seen.count == 14
    assert [head.text for head in seen.heads] == [
        f"wrt_a:5:{log.sealed[8].hash}",
        f"wrt_b:4:{log.sealed[7].hash}",
        f"wrt_c:5:{log.sealed[13].hash}",
    ]
    with pytest.raises(TypeError, match="no truth value"):
        bool(seen)
    assert verify_chain([]).count == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prev": "00" * 32}, ChainBrokenError),
        ({"seq": 4}, SequenceGapError),
        ({"seq": 2}, WriterForkError),
        ({"seq": 1}, WriterForkError),
        ({"writer": "wrt_b"}, ChainUnopenedError),
        ({"at": NOW - 1}, TimeBackwardsError),
    ],
)
def test_each_way_to_break_a_chain_has_its_name(change: dict[str, object], error: type[Exception]) -> None:
    first, chain = opened()
    grown = extend_chain(chain, [decided(1), decided(2)], namespace="default", at=NOW)
    whole = [first, *(one.raw for one in grown.records)]
    assert verify_chain(whole).count == 3
    copy: Callable[..., Record] = replace
    with pytest.raises(error) as found:
        verify_chain([*whole[:2], seal(copy(grown.records[1].record, **change)).raw])
    assert getattr(found.value, "where", "") == "record 2"


def test_a_record_that_stands_twice_is_told_from_a_fork() -> None:
    first, chain = opened()
    one = extend_chain(chain, [decided(1)], namespace="default", at=NOW).records[0].raw
    other = extend_chain(chain, [decided(2)], namespace="default", at=NOW).records[0].raw
    with pytest.raises(RecordRepeatedError, match="repeats record 1"):
        verify_chain([first, one, one])
    with pytest.raises(WriterForkError, match="contradicts record 1"):
        verify_chain([first, one, other])


def test_a_writer_whose_first_record_opens_nothing_is_refused() -> None:
    start = Chain(writer="wrt_a", seq=0, prev=NO_HASH, at=NOW)
    alone = extend_chain(start, [decided(1)], namespace="default", at=NOW).records[0].raw
    with pytest.raises(ChainUnopenedError, match="does not open its chain"):
        verify_chain([alone])


def test_a_chain_that_opens_again_is_refused() -> None:
    first, chain = opened()
    event = WriterStarted(heads=(), checkpoint_size=0, checkpoint_root="e3" * 32, software="x")
    again = extend_chain(chain, [event], namespace="default", at=NOW).records[0].raw
    with pytest.raises(ChainUnopenedError, match="open already"):
        verify_chain([first, again])


def test_a_head_that_is_not_before_its_naming_is_missing() -> None:
    first, chain = opened()
    second = extend_chain(chain, [decided(1)], namespace="default", at=NOW).records[0]
    head = Head(writer="wrt_a", seq=2, hash=second.hash)
    other = open_chain(namespace="default", writer="wrt_b", at=NOW, heads=[head], software="x").records[0]
    assert verify_chain([first, second.raw, other.raw]).count == 3
    for log in ([first, other.raw], [other.raw], [first, other.raw, second.raw]):
        with pytest.raises(HeadMissingError):
            verify_chain(log)
    forged = extend_chain(chain, [decided(2)], namespace="default", at=NOW).records[0].raw
    with pytest.raises(HeadMissingError):
        verify_chain([first, forged, other.raw])


def test_a_writer_that_goes_on_after_it_was_named_is_a_head_again() -> None:
    log = Log()
    log.start("wrt_a")
    log.start("wrt_b")
    log.decide("wrt_a")
    log.start("wrt_c")
    event = log.sealed[-1].record.event
    assert isinstance(event, WriterStarted)
    assert [parse_head(text).writer for text in event.heads] == ["wrt_a", "wrt_b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wrt_a",
        "wrt_a:1",
        f"wrt_a:0:{'ab' * 32}",
        f"wrt_a:01:{'ab' * 32}",
        f"wrt_a:-1:{'ab' * 32}",
        f"wrt_a:+1:{'ab' * 32}",
        f"wrt_a:1:{'ab' * 31}",
        f"wrt_a:1:{'ab' * 32}:",
        f"wrt_a:\u0661:{'ab' * 32}",
        f"wrt_a:{'9' * 5000}:{'ab' * 32}",
        f":1:{'ab' * 32}",
    ],
)
def test_a_text_that_names_no_head_is_refused(text: str) -> None:
    with pytest.raises(RecordMalformedError):
        parse_head(text)


def test_a_writer_that_names_no_head_but_nonsense_is_refused() -> None:
    first, _ = opened()
    event = WriterStarted(heads=("nonsense",), checkpoint_size=0, checkpoint_root="e3" * 32, software="x")
    start = Chain(writer="wrt_b", seq=0, prev=NO_HASH, at=NOW)
    other = extend_chain(start, [event], namespace="default", at=NOW).records[0].raw
    with pytest.raises(RecordMalformedError, match="names no head"):
        verify_chain([first, other])


def test_a_verifier_that_refused_a_record_still_says_what_it_took() -> None:
    first, _ = opened()
    verifier = ChainVerifier()
    verifier.take(first)
    with pytest.raises(RecordMalformedError):
        verifier.take(b"{")
    with pytest.raises(RecordRepeatedError):
        verifier.take(first)
    assert verifier.seen() == verify_chain([first])
