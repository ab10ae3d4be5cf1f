from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.shared import (
    Begun,
    OtherRequestError,
    Repeated,
    Served,
    ServedAnswer,
    ServedForgottenError,
    ServedState,
    Serving,
    StillServing,
    Unfinished,
    again,
    request_digest,
    require_remembered,
)

SERVING = Serving(verifier="payments", txn="act_1", request="r", until=Instant(30))
ANSWER = ServedAnswer(status=200, headers=(), digest="d", length=4, body=b"paid")


@pytest.mark.parametrize(
    ("state", "answer", "lives", "told"),
    [
        (ServedState.BEGUN, None, True, StillServing()),
        (ServedState.BEGUN, None, False, Unfinished()),
        (ServedState.LOST, None, True, Unfinished()),
        (ServedState.LOST, None, False, Unfinished()),
        (ServedState.LOST, ANSWER, True, Unfinished()),
        (ServedState.ANSWERED, ANSWER, True, Repeated(answer=ANSWER)),
        (ServedState.ANSWERED, ANSWER, False, Repeated(answer=ANSWER)),
        (ServedState.ANSWERED, None, True, Unfinished()),
        (ServedState.ANSWERED, None, False, Unfinished()),
    ],
)
def test_a_repeat_is_told_how_it_stands_and_never_to_do_it(
    *, state: ServedState, answer: ServedAnswer | None, lives: bool, told: object
) -> None:
    found = again(Served(request="r", state=state, answer=answer, lives=lives), SERVING)
    assert found == told
    assert not isinstance(found, Begun)


@pytest.mark.parametrize("state", list(ServedState))
def test_another_request_is_refused_whatever_became_of_the_first(state: ServedState) -> None:
    with pytest.raises(OtherRequestError):
        again(Served(request="other", state=state, answer=ANSWER, lives=True), SERVING)


def test_what_ended_when_something_was_forgotten_is_not_new() -> None:
    for forgotten in (30, 31):
        with pytest.raises(ServedForgottenError):
            require_remembered(Instant(30), Instant(forgotten))
    require_remembered(Instant(30), Instant(29))


def test_no_two_requests_have_one_digest_because_they_were_cut_elsewhere() -> None:
    cuts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("2:ab", "c"), ("a", "b", "c")]
    assert len({request_digest(*one) for one in cuts}) == len(cuts)


def test_what_is_told_can_not_be_used_as_a_condition() -> None:
    for one in (Begun(), StillServing(), Unfinished(), Repeated(answer=ANSWER)):
        with pytest.raises(TypeError):
            bool(one)
