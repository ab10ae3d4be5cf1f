from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.action.state import KeyReusedError
from taskbound.core.clock import Instant
from taskbound.core.identity.proof import (
    KEPT,
    AnswerUnknownError,
    BadRequestKeyError,
    Principal,
    PrincipalKind,
    TokenProof,
    answer_to,
    answered_of,
)

NOW = Instant(1_000_000)
ANN = Principal(
    kind=PrincipalKind.PERSON, namespace="default", name="ann", proof=TokenProof(token="t", binding=None)
)
ONE = answered_of(ANN, "k", b"body", now=NOW)


def test_a_key_is_its_principals_and_stands_for_one_request_for_a_day() -> None:
    assert ONE.until == NOW + KEPT
    assert ONE.answer == ""
    agent = replace(ANN, kind=PrincipalKind.AGENT)
    other = replace(ANN, proof=TokenProof(token="u", binding=None))
    assert answered_of(agent, "k", b"body", now=NOW).principal != ONE.principal
    assert answered_of(other, "k", b"body", now=NOW) == ONE
    assert answered_of(ANN, "l", b"body", now=NOW).key != ONE.key
    assert answered_of(ANN, "k", b"bodies", now=NOW).request != ONE.request
    assert "body" not in repr(ONE)


@pytest.mark.parametrize("key", ["", "a b", "a\n", "ä", "x" * 129, "\x7f"])
def test_what_can_be_no_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequestKeyError):
        answered_of(ANN, key, b"body", now=NOW)


def test_an_answer_is_given_to_the_same_request_alone_and_only_when_it_is_known() -> None:
    assert answer_to(ONE, replace(ONE, answer="done", until=Instant(5))) == "done"
    with pytest.raises(KeyReusedError):
        answer_to(ONE, replace(ONE, answer="done", request="0" * 64))
    with pytest.raises(AnswerUnknownError):
        answer_to(ONE, ONE)
