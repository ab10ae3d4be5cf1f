from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.claims import Seal, SharedClaims
from taskbound.adapters.claims.shared import read_answer, write_answer
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.token import ClaimKind, ReplayedError, claim_of
from taskbound.core.token.shared import (
    LONGEST_ANSWER,
    BeginRefusedError,
    Begun,
    ClaimsUnavailableError,
    OtherRequestError,
    Repeated,
    ServedAnswer,
    ServedForgottenError,
    Serving,
    request_digest,
)
from taskbound.sdk.verify import WHOEVER_HAS_IT
from taskbound.wire.connection import Done, Fault
from taskbound.wire.workload import AnswerRequest, BeginRequest, RequestRow
from taskbound.wiring.guarding import guard

NOW = Instant(0)
ONE = Serving(verifier="payments", txn="act_1", request=request_digest("r"), until=Instant(9), token="tok_1")
ANSWER = ServedAnswer(
    status=201, headers=(("A", "b"), ("A", "\xe9")), digest="d" * 64, length=4, body=b"p\x00d\xff"
)
BOUND = b"of which request"
SEAL = Seal(b"k" * 32)


class Said:
    """A daemon that says these things, one after the other."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.asked: list[Any] = []

    def __call__(self, ask: Any) -> Any:
        self.asked.append(ask)
        return self.said.pop(0)


def claims(*said: Any, **more: Any) -> tuple[SharedClaims, Said]:
    daemon = Said(*said)
    return SharedClaims("payments", daemon, **more), daemon


def fault(code: str, family: str) -> Fault:
    return Fault(code=code, message="what only its people are told", family=family)


@given(
    st.integers(100, 599),
    st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4),
    st.none() | st.binary(max_size=99),
    st.booleans(),
)
def test_an_answer_is_read_as_it_was_written(
    status: int,
    headers: list[tuple[str, str]],
    body: bytes | None,
    sealed: bool,  # noqa: FBT001 - hypothesis gives it by its place
) -> None:
    length = 10**7 if body is None else len(body)
    one = ServedAnswer(status=status, headers=tuple(headers), digest="d" * 64, length=length, body=body)
    seal = SEAL if sealed else None
    kept = write_answer(one, most=LONGEST_ANSWER, seal=seal, bound=BOUND)
    assert read_answer(kept, seal=seal, bound=BOUND) == one


def test_an_answer_that_is_too_long_is_kept_without_its_body_and_a_head_that_is_by_nobody() -> None:
    long = replace(ANSWER, body=b"x" * 300, length=300)
    for seal in (None, SEAL):
        most = len(write_answer(long, most=10**6, seal=seal, bound=BOUND))
        for bound, body in ((most, long.body), (most - 1, None)):
            kept = write_answer(long, most=bound, seal=seal, bound=BOUND)
            assert len(kept) <= bound
            assert read_answer(kept, seal=seal, bound=BOUND) == replace(long, body=body)
        with pytest.raises(ClaimsUnavailableError):
            write_answer(long, most=100, seal=seal, bound=BOUND)


def test_what_is_sealed_is_opened_by_the_same_key_for_the_same_request_and_whole() -> None:
    kept = write_answer(ANSWER, most=LONGEST_ANSWER, seal=SEAL, bound=BOUND)
    assert kept != write_answer(ANSWER, most=LONGEST_ANSWER, seal=SEAL, bound=BOUND)
    assert ANSWER.body is not None
    assert ANSWER.body not in kept
    assert b"201" not in kept
    bad: list[tuple[bytes, Seal | None, bytes]] = [
        (kept, Seal(b"l" * 32), BOUND),
        (kept, SEAL, b"another request"),
        (kept, None, BOUND),
        (kept[:-1], SEAL, BOUND),
        (kept[:5], SEAL, BOUND),
        (b"", SEAL, BOUND),
        *((kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :], SEAL, BOUND) for at in range(len(kept))),
    ]
    for raw, seal, bound in bad:
        with pytest.raises(ClaimsUnavailableError):
            read_answer(raw, seal=seal, bound=bound)


@pytest.mark.parametrize("length", [0, 1, 15, 24, 31, 33])
def test_a_key_that_seals_has_a_length_of_aes(length: int) -> None:
    with pytest.raises(ClaimsUnavailableError):
        Seal(b"k" * length)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{}",
        b"\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x03{}}",
        write_answer(ANSWER, most=LONGEST_ANSWER, seal=None, bound=BOUND)[:-1],
        write_answer(ANSWER, most=LONGEST_ANSWER, seal=None, bound=BOUND) + b"x",
    ],
)
def test_what_nobody_wrote_is_no_answer(raw: bytes) -> None:
    with pytest.raises(ClaimsUnavailableError):
        read_answer(raw, seal=None, bound=BOUND)
    one, _ = claims(RequestRow(state="answered", answer="&&"))
    with pytest.raises(ClaimsUnavailableError):
        one.begin(ONE, NOW)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (fault("other-request", "denied"), OtherRequestError),
        (fault("served-forgotten", "denied"), ServedForgottenError),
        (fault("task-ended", "denied"), BeginRefusedError),
        (fault("not-enforced", "denied"), BeginRefusedError),
        (fault("claims-full", "unavailable"), ClaimsUnavailableError),
        (fault("too-many-requests", "unavailable"), ClaimsUnavailableError),
        (fault("invalid_client", "unproven"), ClaimsUnavailableError),
        (fault("bad-claim", "malformed"), ClaimsUnavailableError),
        (fault("replayed", "unproven"), ClaimsUnavailableError),
        (RequestRow(state="done"), ClaimsUnavailableError),
        (Done(), ClaimsUnavailableError),
    ],
)
def test_what_the_daemon_says_no_to_is_said_by_its_code_and_nothing_is_begun(
    said: Any, error: type[TaskboundError]
) -> None:
    one, daemon = claims(said)
    with pytest.raises(error) as found:
        one.begin(ONE, NOW)
    assert "its people" not in f"{found.value.message} {found.value.advice}"
    assert len(daemon.asked) == 1
    with pytest.raises(ClaimsUnavailableError):
        one.answer(ONE, ANSWER)
    assert len(daemon.asked) == 1


def test_what_leaves_open_what_was_done_is_asked_again_by_the_same_name_and_not_for_ever() -> None:
    away = fault("store-unavailable", "unavailable")
    one, daemon = claims(away, RequestRow(state="begun"), away, away, Done())
    assert one.begin(ONE, NOW) == Begun()
    one.answer(ONE, ANSWER)
    begins = [ask for ask in daemon.asked if isinstance(ask, BeginRequest)]
    answers = [ask for ask in daemon.asked if isinstance(ask, AnswerRequest)]
    assert (len(begins), len(answers)) == (2, 3)
    assert {ask.claimant for ask in daemon.asked} == {begins[0].claimant}
    other, daemon = claims(away, away, away)
    with pytest.raises(ClaimsUnavailableError, match="store-unavailable"):
        other.begin(ONE, NOW)
    assert len(daemon.asked) == 3


def test_each_beginning_has_a_name_of_its_own_that_nobody_could_guess() -> None:
    one, daemon = claims(*[RequestRow(state="still")] * 9)
    for _ in range(9):
        one.begin(ONE, NOW)
    names = {ask.claimant for ask in daemon.asked}
    assert len(names) == 9
    assert {len(name) for name in names} == {32}


def test_an_answer_is_for_the_very_request_that_was_begun() -> None:
    one, daemon = claims(RequestRow(state="begun"))
    one.begin(ONE, NOW)
    with pytest.raises(ClaimsUnavailableError):
        one.answer(replace(ONE, request=request_digest("other")), ANSWER)
    assert len(daemon.asked) == 1


def test_an_answer_comes_back_by_another_machine_with_the_key() -> None:
    one, daemon = claims(RequestRow(state="begun"), Done(), seal=SEAL)
    one.begin(ONE, NOW)
    one.answer(ONE, ANSWER)
    kept = daemon.asked[-1].answer
    other, _ = claims(RequestRow(state="answered", answer=kept), seal=Seal(b"k" * 32))
    assert other.begin(ONE, NOW) == Repeated(answer=ANSWER)
    third, _ = claims(RequestRow(state="answered", answer=kept), seal=SEAL)
    with pytest.raises(ClaimsUnavailableError):
        third.begin(replace(ONE, txn="act_2"), NOW)


def test_a_proof_that_was_used_is_a_replay_and_what_is_not_known_is_refused() -> None:
    shown = claim_of("", ClaimKind.DPOP, "key", "1", until=Instant(9))
    for said, error in (
        (fault("replayed", "denied"), ReplayedError),
        (fault("store-unavailable", "unavailable"), ClaimsUnavailableError),
    ):
        one, daemon = claims(said)
        with pytest.raises(error):
            one.use(shown, NOW)
        assert len(daemon.asked) == 1


@pytest.mark.parametrize("takes", [0, -1, 601])
def test_nothing_takes_no_time_or_for_ever(takes: int) -> None:
    with pytest.raises(ClaimsUnavailableError):
        claims(takes=takes)


def test_a_service_takes_no_claims_of_another_one(tmp_path: Path) -> None:
    one, daemon = claims()
    with pytest.raises(ClaimsUnavailableError):
        one.begin(replace(ONE, verifier="ledger"), NOW)
    with pytest.raises(ClaimsUnavailableError):
        guard(
            name="ledger",
            issuer="https://as.example",
            domain="corp.example",
            claims=one,
            holding=WHOEVER_HAS_IT,
        )
    assert (daemon.asked, list(tmp_path.iterdir())) == ([], [])
