"""An issuer that is asked and hangs: it holds one thread of a service, and not each that has a good token."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from taskbound.sdk.verify import Asking
from taskbound.sdk.verify.errors import StatusUnknownError
from tests.sdk.verify.world import Place, Places

ACTIVE = b'{"active":true,"jti":"tok_1","txn":"act_1"}'
FREE = "accepted"


class Issuer:
    """Answers what it is told to, when it is let; each question takes as long as `takes` says."""

    def __init__(self) -> None:
        self.at, self.takes, self.asked = 100.0, 0.0, 0
        self.fails: Exception | None = None
        self.let = threading.Event()
        self.let.set()
        self.waits = threading.Semaphore(0)
        """One for each question that is there."""

    def ask(self, _: str) -> bytes:
        self.asked += 1
        self.waits.release()
        assert self.let.wait(60)
        self.at += self.takes
        if self.fails is not None:
            raise self.fails
        return ACTIVE


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    made = Issuer()
    monkeypatch.setattr("taskbound.sdk.verify.status.awake", lambda: made.at)
    return made


@pytest.fixture
def place(tmp_path: Path, places: Places, issuer: Issuer) -> Place:
    found = places(tmp_path)
    found.feed.fresh = False
    found.verifier = found.verifying(status=found.feed, asking=Asking(issuer.ask))
    return found


def why(place: Place) -> str:
    """What a token of its own is refused by."""
    return place.why(place.token())[1]


def is_silent(place: Place, issuer: Issuer, took: float = 5.0) -> None:
    issuer.takes, issuer.fails = took, TimeoutError()
    assert why(place) == "status-unknown"
    issuer.takes, issuer.fails = 0.0, None


def beside(place: Place, issuer: Issuer, check: Callable[[Future[str]], None]) -> None:
    """Do that while another thread waits for the issuer."""
    issuer.let.clear()
    while issuer.waits.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(why, place)
        assert issuer.waits.acquire(timeout=60)
        try:
            check(first)
        finally:
            issuer.let.set()


def test_f27_an_issuer_that_hangs_holds_one_thread_and_all_others_are_refused_at_once(
    place: Place, issuer: Issuer
) -> None:
    is_silent(place, issuer)

    def check(first: Future[str]) -> None:
        for _ in range(100):
            assert why(place) == "status-unknown"
        assert not first.done()

    issuer.fails = TimeoutError()
    before = issuer.asked
    beside(place, issuer, check)
    assert issuer.asked == before + 1


def test_who_is_refused_meanwhile_is_told_why(place: Place, issuer: Issuer) -> None:
    is_silent(place, issuer)

    def check(_: Future[str]) -> None:
        asking = vars(place.verifier)["_asking"]
        with pytest.raises(StatusUnknownError) as caught:
            asking.require_active("a.b.c", None)
        assert caught.value.message == (
            "the issuer has not answered lately, and another token waits for it now"
        )

    issuer.fails = TimeoutError()
    beside(place, issuer, check)


def test_once_it_answers_however_late_everybody_may_wait_again(place: Place, issuer: Issuer) -> None:
    is_silent(place, issuer)
    issuer.takes = 2.0
    assert place.accepted(place.token()).said.txn == "act_1"
    issuer.takes, issuer.fails = 0.0, TimeoutError()

    def check(_: Future[str]) -> None:
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(why, place)
            assert issuer.waits.acquire(timeout=60)  # it came to the issuer too
            issuer.let.set()
            assert second.result(60) == "status-unknown"

    beside(place, issuer, check)


def test_while_it_is_silent_each_asks_again_once_nobody_waits(place: Place, issuer: Issuer) -> None:
    is_silent(place, issuer)
    before = issuer.asked
    is_silent(place, issuer)
    is_silent(place, issuer)
    assert issuer.asked == before + 2


@pytest.mark.parametrize(("took", "asked"), [(0.99, 2), (1.0, 1)])
def test_what_fails_quickly_is_of_that_token_alone(
    place: Place, issuer: Issuer, took: float, asked: int
) -> None:
    is_silent(place, issuer, took)
    before = issuer.asked

    def check(_: Future[str]) -> None:
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(why, place)
            if asked == 2:  # the second one is on its way to the issuer
                assert issuer.waits.acquire(timeout=60)
                issuer.let.set()
            assert second.result(60) == "status-unknown"

    issuer.fails = TimeoutError()
    beside(place, issuer, check)
    assert issuer.asked == before + asked


def test_a_child_of_a_fork_asks_for_itself(place: Place) -> None:
    asking = vars(place.verifier)["_asking"]
    with vars(asking)["_waiting"]:
        child = os.fork()
        if not child:
            os._exit(0 if vars(asking)["_waiting"].acquire(timeout=30) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
