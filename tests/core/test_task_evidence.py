from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant, seconds
from taskbound.core.identity.issuer import BadIssuerError, Issuer, parse_issuer_text
from taskbound.core.task import (
    BadEvidenceError,
    Disowned,
    Evidence,
    Lapsed,
    Proven,
    Signed,
    Stated,
    Ticket,
    Words,
    evidence_names,
    evidence_stands,
    evidence_text,
    parse_evidence,
    read_evidence,
)

KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
END = Instant(seconds(1_800_003_600))
SIGNED = Signed(issuer="tickets", subject="OPS-17", token="70" * 32, claims="c1" * 32, key=KEY, expires=END)
TICKETS = Issuer(
    namespace="default",
    name="tickets",
    issuer="https://example.com/tickets",
    audience="urn:taskbound:default",
    keys=b"{}",
    thumbprints=("other", KEY),
)

tickets = st.builds(
    Ticket,
    system=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128),
)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
signed = st.builds(
    Signed,
    issuer=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    subject=st.text(min_size=1, max_size=60),
    token=digests,
    claims=digests,
    key=st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True),
    expires=st.integers(0, 253_402_300_799).map(lambda count: Instant(seconds(count))),
)


@given(tickets | st.builds(Words, digest=digests) | signed)
def test_each_piece_has_one_text_that_reads_back_to_it(piece: Evidence) -> None:
    assert read_evidence(evidence_text(piece)) == piece


@given(st.text(max_size=80) | st.from_regex(r"(ticket|words|jws):[a-z0-9:]{0,40}", fullmatch=True))
def test_a_text_that_reads_as_a_piece_is_the_text_of_that_piece(text: str) -> None:
    try:
        piece = read_evidence(text)
    except BadEvidenceError:
        return
    assert evidence_text(piece) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "OPS-17", "ticket", "ticket:", "ticket:jira", "ticket:jira:", "ticket::OPS", "ticket:Jira:OPS",
        "ticket:-a:1", "ticket:a.b:1", f"ticket:{'a' * 33}:1", f"ticket:a:{'1' * 129}", "ticket:a:b c",
        "ticket:a:b\n", "ticket:a:\u202e", "ticket:a:\u0430", "Ticket:a:b", " ticket:a:b", "tickets:a:b",
        "words:sha256:", f"words:sha256:{'A' * 64}", f"words:sha256:{'a' * 63}", f"words:sha512:{'a' * 64}",
        f"words:sha256:{'a' * 64}\n", f"words:{'a' * 64}", "jws:", "jws:a.b.c", "note:hello",
    ],
)  # fmt: skip  # a list of texts reads better as texts
def test_what_is_no_evidence_is_refused_when_it_is_declared(text: str) -> None:
    with pytest.raises(BadEvidenceError):
        parse_evidence(text)


def test_nobody_writes_a_signed_word_out_by_hand() -> None:
    text = evidence_text(SIGNED)
    assert read_evidence(text) == SIGNED
    with pytest.raises(BadEvidenceError):
        parse_evidence(text)


def test_free_text_is_no_evidence() -> None:
    with pytest.raises(BadEvidenceError):
        read_evidence("OPS-17")


def test_a_piece_answers_to_its_kind_and_to_whose_it_is() -> None:
    assert evidence_names(Ticket(system="jira", id="1")) == ("ticket", "ticket.jira")
    assert evidence_names(Words(digest="")) == ("words",)
    assert evidence_names(SIGNED) == ("jws", "jws.tickets")


# --- whether it stands --------------------------------------------------------------------------------------


def stands(piece: Evidence, *issuers: Issuer, now: int = END - 1) -> object:
    return evidence_stands(piece, {one.name: one for one in issuers}, Instant(now))


def test_a_signed_word_is_proven_until_its_last_microsecond() -> None:
    assert stands(SIGNED, TICKETS) == Proven(until=END)
    assert stands(SIGNED, TICKETS, now=END) == Lapsed(since=END)


def test_a_signed_word_falls_with_its_issuer_and_with_the_key_that_signed_it() -> None:
    assert isinstance(stands(SIGNED), Disowned)
    without = Issuer(
        namespace="default", name="tickets", issuer="x", audience="x", keys=b"", thumbprints=("other",)
    )
    assert isinstance(stands(SIGNED, without), Disowned)
    elsewhere = Issuer(
        namespace="default", name="others", issuer="x", audience="x", keys=b"", thumbprints=(KEY,)
    )
    assert isinstance(stands(SIGNED, elsewhere), Disowned)


def test_what_a_person_wrote_down_is_stated_and_never_proven() -> None:
    for piece in (Ticket(system="a", id="1"), Words(digest="a" * 64)):
        assert stands(piece, TICKETS, now=2**60) == Stated()


@pytest.mark.parametrize("verdict", [Stated(), Proven(until=END), Lapsed(since=END), Disowned(reason="")])
def test_a_verdict_is_no_condition(verdict: object) -> None:
    with pytest.raises(TypeError):
        bool(verdict)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "\u0430", "x" * 256, "\x00"])
def test_a_name_that_tokens_cant_be_compared_with_is_refused(text: str) -> None:
    with pytest.raises(BadIssuerError):
        parse_issuer_text(text, where="issuer")
