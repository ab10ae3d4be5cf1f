from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskbound.adapters.claims import Seal, SqliteClaims
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.token import ClaimKind, ReplayedError, claim_of
from taskbound.core.token.shared import (
    Begun,
    ClaimsUnavailableError,
    OtherRequestError,
    Repeated,
    ServedAnswer,
    ServedForgottenError,
    Serving,
    StillServing,
    Unfinished,
    request_digest,
)
from taskbound.sdk.verify.keys import Claims
from tests.peers.sharing import Machine, Sharing
from tests.sqlite import sqlite_store

NOW = Instant(seconds(1_800_000_000))
END = Instant(NOW + seconds(60))
ANSWER = ServedAnswer(
    status=201,
    headers=(("Content-Type", "text/plain"), ("ETag", '"7"'), ("ETag", '"8"')),
    digest="d" * 64,
    length=4,
    body=b"p\x00d\xff",
)


class Opener:
    """What opens the claims of a service, again and again, as another process or machine of it would."""

    def __init__(self, make: Callable[[str], SqliteClaims | Machine]) -> None:
        self._make = make
        self._made: list[SqliteClaims | Machine] = []

    def __call__(self, service: str = "payments") -> Claims:
        self._made.append(self._make(service))
        return self._made[-1]

    def close(self) -> None:
        for one in self._made:
            one.close()


@pytest.fixture(params=["sqlite", "shared", "shared and sealed"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    if request.param == "sqlite":
        opened = Opener(lambda _: SqliteClaims(tmp_path / "claims" / "claims.db"))
        yield opened
        opened.close()
        return
    store = sqlite_store()
    sharing = Sharing(store, tmp_path)
    seal = Seal(b"k" * 32) if request.param == "shared and sealed" else None
    opened = Opener(lambda service: Machine(sharing, service, seal=seal))
    yield opened
    opened.close()
    sharing.close()
    store.close()


def serving(txn: str = "act_1", request: str = "r", verifier: str = "payments", until: int = END) -> Serving:
    return Serving(verifier=verifier, txn=txn, request=request_digest(request), until=Instant(until))


def test_who_asks_first_begins_and_whoever_asks_again_is_told_that_it_is_being_done(opener: Opener) -> None:
    one, other = opener(), opener()
    assert one.begin(serving(), NOW) == Begun()
    assert one.begin(serving(), NOW) == StillServing()
    assert other.begin(serving(), NOW) == StillServing()


def test_an_answer_comes_back_as_it_was_given(opener: Opener) -> None:
    one, other = opener(), opener()
    one.begin(serving(), NOW)
    one.answer(serving(), ANSWER)
    assert other.begin(serving(), NOW) == Repeated(answer=ANSWER)
    assert opener().begin(serving(), Instant(END - 1)) == Repeated(answer=ANSWER)


def test_of_a_long_answer_its_digest_comes_back(opener: Opener) -> None:
    one = opener()
    long = ServedAnswer(status=200, headers=(), digest="e" * 64, length=10**7, body=None)
    one.begin(serving(), NOW)
    one.answer(serving(), long)
    assert one.begin(serving(), NOW) == Repeated(answer=long)


def test_what_was_lost_is_unknown_to_everybody(opener: Opener) -> None:
    one, other = opener(), opener()
    one.begin(serving(), NOW)
    one.lose(serving())
    assert one.begin(serving(), NOW) == Unfinished()
    assert other.begin(serving(), NOW) == Unfinished()


def test_another_request_of_the_same_transaction_is_refused_in_every_state(opener: Opener) -> None:
    one = opener()
    one.begin(serving(), NOW)
    for answered in (False, True):
        if answered:
            one.answer(serving(), ANSWER)
        with pytest.raises(OtherRequestError):
            one.begin(serving(request="other"), NOW)


def test_services_and_transactions_are_apart(opener: Opener) -> None:
    one, other = opener(), opener("ledger")
    assert one.begin(serving(), NOW) == Begun()
    assert other.begin(serving(verifier="ledger"), NOW) == Begun()
    assert one.begin(serving(txn="act_2"), NOW) == Begun()
    one.answer(serving(), ANSWER)
    assert other.begin(serving(verifier="ledger"), NOW) == StillServing()


def test_an_answer_is_said_once_and_only_of_what_was_begun(opener: Opener) -> None:
    one = opener()
    says: list[Callable[[], None]] = [
        lambda: one.answer(serving(), ANSWER),
        lambda: one.lose(serving()),
    ]
    for say in says:
        with pytest.raises(ClaimsUnavailableError):
            say()
    one.begin(serving(), NOW)
    one.answer(serving(), ANSWER)
    for say in says:
        with pytest.raises(ClaimsUnavailableError):
            say()
    assert one.begin(serving(), NOW) == Repeated(answer=ANSWER)


def test_what_is_past_its_end_is_forgotten_and_a_clock_that_is_set_back_opens_nothing(opener: Opener) -> None:
    one = opener()
    one.begin(serving(), NOW)
    one.answer(serving(), ANSWER)
    later = Instant(END + minutes(2) + 1)
    assert one.begin(serving("act_2", until=later + seconds(60)), later) == Begun()
    for back in (NOW, Instant(0)):
        with pytest.raises(ServedForgottenError):
            one.begin(serving(), back)
        with pytest.raises(ServedForgottenError):
            opener().begin(serving("act_3"), back)
    assert one.begin(serving("act_4", until=END + 1), NOW) == Begun()


def test_what_is_less_than_two_minutes_past_its_end_is_remembered(opener: Opener) -> None:
    one = opener()
    one.begin(serving(), NOW)
    one.answer(serving(), ANSWER)
    later = Instant(END + minutes(2))
    one.begin(serving("act_2", until=later + seconds(60)), later)
    assert one.begin(serving(), NOW) == Repeated(answer=ANSWER)


def test_a_proof_is_used_once_by_whatever_process_and_clock(opener: Opener) -> None:
    one, other = opener(), opener()
    first = claim_of("", ClaimKind.DPOP, "key", "1", until=END)
    one.use(first, NOW)
    for each in (one, other):
        with pytest.raises(ReplayedError):
            each.use(first, NOW)
    later = Instant(END + minutes(2) + 1)
    other.use(claim_of("", ClaimKind.DPOP, "key", "2", until=Instant(later + seconds(60))), later)
    with pytest.raises(ReplayedError):
        one.use(first, NOW)
    assert one.begin(serving(), NOW) == Begun()  # what proofs were forgotten says nothing of transactions


def test_of_many_threads_that_ask_at_once_one_begins(opener: Opener) -> None:
    places = [opener(), opener(), opener()]
    ready = threading.Barrier(12)
    told: list[object] = []

    def ask(number: int) -> None:
        ready.wait()
        told.append(places[number % 3].begin(serving(), NOW))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert told.count(Begun()) == 1
    assert told.count(StillServing()) == 11
