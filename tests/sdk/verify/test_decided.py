"""What runs is what was decided, and holds when it begins: rules 2 of `verifier` and 3 of `endpoint`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.revocation import About, FeedEvent, Thing
from taskbound.core.token.shared import Beginning, Serving
from taskbound.sdk.verify import Asking
from tests.sdk.verify.world import Place, Places, answer

TASK = Thing(namespace="default", about=About.TASK, id="tsk_1")


@pytest.mark.parametrize(
    "body",
    [
        b'{"account":"666","cents":99999999}',
        b'{"account":"7","cents":301}',
        b'{"account":"7","cents":300,"more":1}',
        b'{"account":"7"}',
        b'{"account":7,"cents":300}',
        b"{}",
        b"",
    ],
    ids=["other", "more", "member", "less", "type", "nothing", "empty"],
)
def test_law_2_a_body_that_nobody_decided_on_is_refused_though_the_token_names_it(
    tmp_path: Path, places: Places, body: bytes
) -> None:
    place = places(tmp_path)
    assert place.why(place.token(body), body=body)[:2] == (403, "other-action")
    assert place.accepted(place.token()).said.txn == "act_1"


@pytest.mark.parametrize("body", [b"[]", b"pay", b"\xff", b'{"account":"7","cents":300,"cents":300}'])
def test_law_2_a_body_that_is_no_arguments_is_refused(tmp_path: Path, places: Places, body: bytes) -> None:
    place = places(tmp_path)
    assert place.why(place.token(body), body=body)[0] == 400


def test_the_arguments_may_be_spelled_as_the_token_names_them(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path)
    body = b'{ "cents" : 3e2, "account": "\\u0037" }'
    assert place.accepted(place.token(body), body=body).said.txn == "act_1"


class Slow:
    """Claims that take their time: something happens before they have begun a request."""

    def __init__(self, place: Place, meanwhile: Callable[[], None]) -> None:
        self._begin, self._meanwhile = place.claims.begin, meanwhile

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        self._meanwhile()
        return self._begin(serving, now)


def slow(place: Place, meanwhile: Callable[[], None]) -> None:
    place.claims.begin = Slow(place, meanwhile).begin  # type: ignore[method-assign]  # the seam of the test


def test_law_4_what_ends_while_a_claim_waits_runs_nothing_and_is_not_known_to_have_run(
    tmp_path: Path,
    places: Places,
) -> None:
    place = places(tmp_path)
    begin = place.claims.begin
    slow(place, lambda: place.feed.say(TASK, FeedEvent.OVER))
    assert place.why(place.token())[:2] == (403, "test-ended")
    place.claims.begin = begin  # type: ignore[method-assign]  # the seam is put back
    place.feed.ended.clear()
    assert place.why(place.token())[1] == "outcome-not-known"


def test_law_10_what_is_not_heard_any_more_after_a_claim_waited_runs_nothing(
    tmp_path: Path, places: Places
) -> None:
    place = places(tmp_path)
    begin = place.claims.begin
    slow(place, lambda: setattr(place.feed, "fresh", False))
    assert place.why(place.token()) == (503, "test-stale", "fresh-status")
    place.claims.begin = begin  # type: ignore[method-assign]  # the seam is put back
    place.feed.fresh = True
    assert place.why(place.token())[1] == "outcome-not-known"


def test_law_4_a_token_that_ends_while_a_claim_waits_runs_nothing(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path)
    token = place.token()
    slow(place, lambda: place.later(31))
    assert place.why(token)[1] == "token-expired"


def test_law_4_a_recorded_answer_is_not_told_for_what_ended_meanwhile(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path)
    place.verifier.answer(place.accepted(place.token()), answer())
    slow(place, lambda: place.feed.say(TASK, FeedEvent.OVER))
    assert place.why(place.token())[:2] == (403, "test-ended")


@pytest.mark.parametrize(("took", "code"), [(5.1, "status-unknown"), (4.9, "")])
def test_law_10_what_the_issuer_said_before_a_wait_is_no_older_than_a_feed_may_be(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, took: float, code: str
) -> None:
    place, at = places(tmp_path), [100.0]
    for name in ("verifier", "status"):
        monkeypatch.setattr(f"taskbound.sdk.verify.{name}.awake", lambda: at[0])

    def ask(_: str) -> bytes:
        at[0] += took
        return b'{"active":true,"jti":"tok_1","txn":"act_1"}'

    place.verifier = place.verifying(asking=Asking(ask))
    if code:
        assert place.why(place.token())[1] == code
    else:
        assert place.accepted(place.token()).said.txn == "act_1"


def test_an_error_that_is_none_of_ours_after_the_claim_leaves_what_nobody_knows(
    tmp_path: Path, places: Places
) -> None:
    place = places(tmp_path)

    def broken() -> None:
        place.feed.ended = None  # type: ignore[assignment]  # what hears breaks just then

    begin = place.claims.begin
    slow(place, broken)
    with pytest.raises(TypeError):
        place.outcome(place.token())
    place.feed.ended, place.claims.begin = {}, begin  # type: ignore[method-assign]  # the seam is put back
    assert place.why(place.token())[1] == "outcome-not-known"


def test_a_child_of_a_fork_waits_for_no_thread_of_its_parent(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path)
    place.accepted(place.token())
    seen: Any = vars(place.verifier)["_seen"]
    with vars(seen)["_lock"]:
        child = os.fork()
        if not child:
            os._exit(0 if vars(seen)["_lock"].acquire(timeout=30) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
