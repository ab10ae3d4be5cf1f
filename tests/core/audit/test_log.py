from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key
from taskbound.core.audit import (
    EMPTY_FRONTIER,
    ActionDecided,
    ChainBrokenError,
    ChainUnopenedError,
    Checkpoint,
    CheckpointForkedError,
    CheckpointMissingError,
    CheckpointSigned,
    ClaimMismatchError,
    Event,
    EventUnknownError,
    HeadMissingError,
    LogEmptyError,
    LogForkedError,
    LogTruncatedError,
    OriginMismatchError,
    RecordMalformedError,
    RecordRepeatedError,
    RecordVersionError,
    RootMismatchError,
    SequenceGapError,
    SignatureMissingError,
    SignatureWrongError,
    TamperedError,
    WriterForkError,
    grow,
    leaf_hash,
    make_verifier_key,
    render_note,
)
from tests.core.audit.logs import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    Log,
    key_of,
    long_log,
    recomputed,
    sample_log,
    sign,
    verify,
)
from tests.core.audit.mutations import (
    mutations,
    require_each_byte_found,
    require_each_found,
    require_found,
)
from tests.core.audit.samples import decided

if TYPE_CHECKING:
    from collections.abc import Callable


def covered_log() -> Log:
    log = sample_log()
    log.checkpoint()
    return log


def short_log() -> Log:
    """Four records, two writers."""
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a")
    log.start("wrt_b")
    log.decide("wrt_b")
    log.checkpoint()
    return log


def test_a_whole_log_is_verified_and_what_no_checkpoint_covers_is_named() -> None:
    log = sample_log()
    verified = verify(log.records, log.notes)
    assert (verified.origin, verified.namespaces) == (ORIGIN, ("default",))
    assert (verified.size, verified.covered, verified.uncovered) == (14, 12, 2)
    assert (verified.checkpoints, verified.held) == (2, None)
    assert [(head.writer, head.seq) for head in verified.heads] == [
        ("wrt_a", 5),
        ("wrt_b", 4),
        ("wrt_c", 5),
    ]


def test_a_log_that_is_covered_to_its_end_has_no_uncovered_tail() -> None:
    log = covered_log()
    assert verify(log.records, log.notes).uncovered == 0


def test_what_was_verified_has_no_truth_value() -> None:
    log = covered_log()
    with pytest.raises(TypeError, match="no truth value"):
        bool(verify(log.records, log.notes))


def test_records_of_several_namespaces_stand_in_one_log() -> None:
    log = Log()
    log.start("wrt_a")
    log.write("wrt_a", decided(1), namespace="other")
    log.decide("wrt_a")
    log.checkpoint()
    assert verify(log.records, log.notes).namespaces == ("default", "other")


# --- I-47: each record and each kind of tampering ---------------------------------------------------------


def test_i47_each_tampering_with_each_record_of_a_covered_log_is_found() -> None:
    log = covered_log()
    assert require_each_found(log.records, log.notes, range(14)) == 220


def test_i47_each_byte_of_each_record_of_a_covered_log_counts() -> None:
    log = short_log()
    assert require_each_byte_found(log.records, log.notes, range(4)) > 5000


def test_i47_each_tampering_with_a_few_records_of_a_longer_log_is_found() -> None:
    log = long_log(1500)
    assert verify(log.records, log.notes).covered == 1500
    assert require_each_found(log.records, log.notes, (0, 999, 1000, 1499)) == 60


@pytest.mark.parametrize(
    ("name", "at", "error"),
    [
        ("deleted", 2, HeadMissingError),
        ("deleted", 6, SequenceGapError),
        ("deleted", 0, ChainUnopenedError),
        ("deleted", 13, LogTruncatedError),
        ("repeated", 4, RecordRepeatedError),
        ("repeated at the end", 4, RecordRepeatedError),
        ("truncated", 13, LogTruncatedError),
        ("truncated", 5, LogTruncatedError),
        ("truncated", 0, LogEmptyError),
        ("truncated at the head", 1, ChainUnopenedError),
        ("edited", 2, HeadMissingError),
        ("edited", 6, ChainBrokenError),
        ("edited", 13, RootMismatchError),
        ("inserted", 6, WriterForkError),
        ("inserted", 0, ChainUnopenedError),
        ("replaced", 6, ChainBrokenError),
        ("cut in two", 3, RecordMalformedError),
        ("emptied", 3, RecordMalformedError),
        ("downgraded", 3, RecordVersionError),
        ("relabelled", 3, RecordMalformedError),
        ("respelled", 3, RecordMalformedError),
        ("swapped", 1, SequenceGapError),
        ("moved to the end", 1, SequenceGapError),
        ("moved to the head", 1, ChainUnopenedError),
        ("swapped", 4, RootMismatchError),
    ],
)
def test_a226_each_kind_of_tampering_has_its_own_name(name: str, at: int, error: type[TamperedError]) -> None:
    log = covered_log()
    assert require_found(dict(mutations(log.records, at))[name], log.notes) is error


def test_a226_the_error_names_the_record() -> None:
    log = covered_log()
    with pytest.raises(SequenceGapError) as found:
        verify([*log.records[:6], *log.records[7:]], log.notes)
    assert found.value.where == "record 6"


# --- A226: what an attacker without the log's key can make ------------------------------------------------


def renamed(where: int) -> Callable[[int, Event], Event | None]:
    def edit(index: int, event: Event) -> Event | None:
        if index == where:
            assert isinstance(event, ActionDecided)
            return replace(event, decision="refuse")
        return event

    return edit


def unchanged(_: int, event: Event) -> Event | None:
    return event


def without(*where: int) -> Callable[[int, Event], Event | None]:
    def edit(index: int, event: Event) -> Event | None:
        return None if index in where else event

    return edit


def test_recomputing_without_an_edit_gives_the_same_log() -> None:
    log = sample_log()
    assert recomputed(log, unchanged) == (log.records, log.notes)


@pytest.mark.parametrize("where", [1, 2, 4, 6, 7, 8, 10])
def test_a226_a_log_that_was_chained_again_does_not_match_its_checkpoint(where: int) -> None:
    log = covered_log()
    records, _ = recomputed(log, renamed(where))
    assert require_found(records, log.notes[-1:]) is RootMismatchError


def test_a226_a_log_that_was_chained_again_and_signed_with_ones_own_key_is_signed_by_nobody() -> None:
    log = covered_log()
    records, notes = recomputed(log, renamed(2), private=OTHER_KEY)
    verify(records, notes, key=key_of(OTHER_KEY))
    assert require_found(records, notes) is SignatureMissingError


def test_a226_a_note_that_claims_the_logs_key_id_with_another_signature_is_found() -> None:
    log = covered_log()
    note = bytearray(log.notes[-1])
    note[-10] ^= 1
    with pytest.raises(TamperedError) as found:
        verify(log.records, [bytes(note)])
    assert found.type is SignatureWrongError


def test_a226_two_logs_spliced_are_found() -> None:
    one, two = covered_log(), Log()
    two.at += 1
    for writer in ("wrt_a", "wrt_b"):
        two.start(writer)
        two.decide(writer, 8, tool="files__read")
    two.checkpoint()
    for cut in range(1, 14):
        require_found([*one.records[:cut], *two.records[cut:]], one.notes)
        require_found([*one.records[:cut], *two.records[cut:]], two.notes)


def test_a226_another_whole_log_of_the_same_key_is_found() -> None:
    one, two = covered_log(), Log()
    two.start("wrt_z")
    two.decide("wrt_z", 20)
    two.checkpoint()
    assert require_found(two.records, one.notes) is RootMismatchError
    assert require_found(two.records[:4], one.notes) is LogTruncatedError


def test_a226_a_truncated_log_with_an_old_checkpoint_is_found_by_whoever_holds_a_newer_one() -> None:
    log = covered_log()
    held = log.checkpoint()
    old_records, old_notes = log.records[:5], log.notes[:1]
    verify(old_records, old_notes)
    assert require_found(old_records, old_notes, held=held) is LogTruncatedError


def test_i47_a_tail_that_was_cut_below_the_checkpoint_is_found_and_above_it_only_by_what_is_named() -> None:
    log = sample_log()
    for left in range(12):
        require_found(log.records[:left], log.notes)
    assert verify(log.records[:13], log.notes).uncovered == 1


def test_deleting_another_writers_tail_is_found_by_the_writer_that_started_after_it() -> None:
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a", 3)
    log.start("wrt_b")
    log.decide("wrt_b")
    log.checkpoint()
    records, notes = log.records, [sign(_checkpoint_of([*log.records[:2], *log.records[4:]]))]
    assert require_found([*records[:2], *records[4:]], notes) is HeadMissingError
    assert require_found(records[4:], notes) is HeadMissingError


def test_deleting_a_dead_writer_whose_head_only_a_dead_writer_named_is_found() -> None:
    log = Log()
    for writer in ("wrt_a", "wrt_b", "wrt_c"):
        log.start(writer)
        log.decide(writer)
    third = log.sealed[4].record.event
    assert getattr(third, "heads", None) == (f"wrt_b:2:{log.sealed[3].hash}",)
    kept = log.records[2:]
    assert require_found(kept, [sign(_checkpoint_of(kept))]) is HeadMissingError


def _checkpoint_of(records: list[bytes]) -> Checkpoint:
    root = grow(EMPTY_FRONTIER, [leaf_hash(one) for one in records]).frontier.root
    return Checkpoint(origin=ORIGIN, size=len(records), root=root)


# --- the thief of the key, and whoever holds yesterday's checkpoint ---------------------------------------


@pytest.mark.parametrize("where", [1, 2, 4])
def test_a_copy_recomputed_by_a_thief_of_the_key_is_caught_by_whoever_holds_yesterdays_checkpoint(
    where: int,
) -> None:
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a", 4)
    yesterday = log.checkpoint(record_by="wrt_a")
    log.decide("wrt_a", 3)
    log.checkpoint()
    assert verify(log.records, log.notes, held=yesterday).held == 5
    records, notes = recomputed(log, renamed(where))
    notes.append(sign(_checkpoint_of(records)))
    assert verify(records, notes).covered == len(records)
    assert require_found(records, notes, held=yesterday) is LogForkedError


@pytest.mark.parametrize("gone", [(2,), (6, 7, 8), (3, 4, 6, 7)])
def test_a_copy_from_which_a_thief_of_the_key_took_records_is_caught_the_same_way(
    gone: tuple[int, ...],
) -> None:
    log = covered_log()
    yesterday = log.checkpoint()
    records, notes = recomputed(log, without(*gone))
    notes.append(sign(_checkpoint_of(records)))
    verify(records, notes)
    assert require_found(records, notes, held=yesterday) in {LogForkedError, LogTruncatedError}


def test_a_checkpoint_that_was_held_counts_as_cover_beyond_those_that_came_along() -> None:
    log = sample_log()
    held = log.checkpoint()
    verified = verify(log.records, log.notes[:1], held=held)
    assert (verified.covered, verified.checkpoints, verified.held) == (14, 1, 14)


def test_a_checkpoint_of_another_log_can_not_be_held_against_this_one() -> None:
    log = covered_log()
    held = replace(log.checkpoint(), origin="audit.example/two")
    assert require_found(log.records, log.notes, held=held) is OriginMismatchError


# --- checkpoints ------------------------------------------------------------------------------------------


def test_a229_no_log_is_verified_without_a_checkpoint() -> None:
    assert require_found(sample_log().records, []) is CheckpointMissingError


def test_a229_an_empty_log_is_never_verified() -> None:
    empty = Log()
    empty.checkpoint()
    assert require_found([], empty.notes) is LogEmptyError
    assert require_found([], sample_log().notes) is LogEmptyError
    assert require_found([], []) is LogEmptyError


def test_a229_a_log_of_only_its_first_record_is_not_verified_when_a_checkpoint_says_more() -> None:
    log = covered_log()
    assert require_found(log.records[:1], log.notes[-1:]) is LogTruncatedError
    alone = Log()
    alone.start("wrt_a")
    alone.checkpoint()
    assert verify(alone.records, alone.notes).size == 1
    held = log.checkpoint()
    assert require_found(alone.records, alone.notes, held=held) is LogTruncatedError


def test_a229_the_wrong_key_verifies_nothing() -> None:
    log = covered_log()
    with pytest.raises(SignatureMissingError):
        verify(log.records, log.notes, key=key_of(OTHER_KEY))
    with pytest.raises(SignatureMissingError):
        verify(log.records, log.notes, key=key_of(KEY, "audit.example/two"))


def test_a229_a_missing_segment_is_found_wherever_it_is() -> None:
    log = covered_log()
    for start, end in itertools.combinations(range(15), 2):
        require_found([*log.records[:start], *log.records[end:]], log.notes, where=(start, end))


def test_a_checkpoint_of_another_log_of_the_same_key_is_refused() -> None:
    log = covered_log()
    other = replace(_checkpoint_of(log.records), origin="audit.example/two")
    note = sign(other)
    assert require_found(log.records, [note]) is SignatureMissingError
    as_ours = note.replace(b"\xe2\x80\x94 audit.example/two", b"\xe2\x80\x94 " + ORIGIN.encode())
    require_found(log.records, [as_ours])


def test_a_checkpoint_whose_text_names_another_log_than_its_key_is_refused() -> None:
    log = covered_log()
    text = replace(_checkpoint_of(log.records), origin="audit.example/two").text
    note = render_note(text, [(key_of(), KEY.sign(text.encode()))])
    assert require_found(log.records, [note]) is OriginMismatchError


def test_two_checkpoints_that_contradict_each_other_are_found() -> None:
    log = covered_log()
    forked = replace(_checkpoint_of(log.records), root=bytes(32))
    assert require_found(log.records, [*log.notes, sign(forked)]) is CheckpointForkedError


def test_each_checkpoint_that_came_along_must_hold_not_only_the_newest() -> None:
    log = covered_log()
    forked = Checkpoint(origin=ORIGIN, size=7, root=bytes(32))
    assert require_found(log.records, [sign(forked), *log.notes]) is RootMismatchError


def test_a_witness_key_can_not_stand_for_the_logs() -> None:
    log = covered_log()
    witness = make_verifier_key(ORIGIN, KEY.public, type=4)
    with pytest.raises(OriginMismatchError, match="witness"):
        verify(log.records, log.notes, key=witness)


# --- claims: checkpoints that records name ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"root": "00" * 32}, {"size": 4}, {"size": 6}, {"size": 9_000}, {"size": -1}]
)
def test_a_record_that_names_a_checkpoint_that_is_not_of_what_stands_before_it_is_found(
    change: dict[str, object],
) -> None:
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a", 4)
    signed = log.checkpoint()
    claim: dict[str, object] = {"origin": ORIGIN, "size": 5, "root": signed.root.hex(), "key": "k"}
    make: Callable[..., CheckpointSigned] = CheckpointSigned
    log.write("wrt_a", make(**{**claim, **change}))
    log.decide("wrt_a")
    log.checkpoint()
    assert require_found(log.records, log.notes) is ClaimMismatchError


def test_a_writer_that_starts_from_a_checkpoint_that_never_was_is_found() -> None:
    log = Log()
    log.start("wrt_a")
    log.decide("wrt_a", 4)
    log.checkpoint()
    wrong = Log()
    wrong.start("wrt_a")
    wrong.decide("wrt_a", 4, tool="files__read")
    wrong.checkpoint()
    wrong.start("wrt_b")
    records = [*log.records, wrong.records[5]]
    require_found(records, [sign(_checkpoint_of(records))])


def test_an_event_of_a_later_version_is_refused_and_not_skipped() -> None:
    log = covered_log()
    strange = log.records[13].replace(b'"kind":"action-decided"', b'"kind":"action-foreseen"')
    assert strange != log.records[13]
    assert require_found([*log.records[:13], strange], log.notes) is EventUnknownError


def test_a_log_signed_by_a_generated_key_is_verified() -> None:
    private = Ed25519Key.generate()
    log = Log(private=private)
    log.start("wrt_a")
    log.checkpoint()
    assert verify(log.records, log.notes, key=key_of(private)).size == 1
