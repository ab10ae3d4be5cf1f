from __future__ import annotations

from dataclasses import fields, replace
from hashlib import sha256
from typing import Any

import pytest

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval import AnswerKind, OtherQuestionError, Statement, StatementTimeError, Subject
from taskbound.core.approval.amendment import (
    AMENDMENT_TRANSITIONS,
    AmendmentEvent,
    AmendmentGround,
    AmendmentQuestion,
    AmendmentState,
    amendment_fate,
    parse_amendment,
    require_amendment_answer,
)
from taskbound.core.approval.errors import UnreadableQuestionError
from taskbound.core.clock import Instant
from taskbound.core.scope import parse_scope
from taskbound.core.transition import WrongStateError

WIDER = parse_scope({"grants": [{"tool": "bank__pay", "others": "any", "uses": 8}]})
OTHER = parse_scope({"grants": [{"tool": "bank__pay", "others": "any", "uses": 9}]})
QUESTION = AmendmentQuestion(
    namespace="default",
    id="amd_1",
    task="tsk_1",
    agent="coder",
    requester="ann",
    asker="bob",
    purpose="pay bills",
    reason="there are more",
    bundle="b",
    before="d",
    edition=2,
    step=1,
    after=WIDER,
    lifters=("approval:agent",),
    nonce="n",
    asked=Instant(1_000_000_000),
    deadline=Instant(2_000_000_000),
)
SAID = Statement(
    kind=AnswerKind.APPROVE,
    namespace="default",
    question="amd_1",
    digest=QUESTION.digest,
    person="carl",
    key="key_1",
    at=Instant(1_500_000_000),
    subject=Subject.AMENDMENT,
)
GROUND = AmendmentGround(
    ended="", active=True, bundle="b", scope="d", edition=2, step=1, lifters=("approval:agent",)
)
NOW = Instant(1_600_000_000)


def other(name: str) -> Any:
    """Another value of a field."""
    match name:
        case "after":
            return OTHER
        case "lifters":
            return ("approval:agent:2",)
        case "edition" | "step" | "asked" | "deadline":
            return getattr(QUESTION, name) + 1
    return getattr(QUESTION, name) + "x"


def test_its_digest_is_of_its_canonical_bytes_and_it_is_read_as_it_was_written() -> None:
    assert QUESTION.digest == sha256(QUESTION.canonical).hexdigest()
    read = parse_amendment(QUESTION.canonical)
    assert read == QUESTION
    assert read.after.canonical == WIDER.canonical
    value = parse_object(QUESTION.canonical)
    assert (value["kind"], value["version"]) == ("taskbound amendment", 1)


@pytest.mark.parametrize("name", [one.name for one in fields(AmendmentQuestion) if one.init])
def test_a176_whoever_changes_one_field_of_it_asks_another_question(name: str) -> None:
    changes: dict[str, Any] = {name: other(name)}
    assert replace(QUESTION, **changes).digest != QUESTION.digest


@pytest.mark.parametrize("name", [one.name for one in fields(AmendmentQuestion) if one.init])
def test_what_lacks_a_field_or_has_another_type_there_is_none(name: str) -> None:
    value = parse_object(QUESTION.canonical)
    wrongs: list[Any] = [None, True, 1.5, [["x"]], {"grants": []}]
    for wrong in wrongs:
        with pytest.raises(UnreadableQuestionError):
            parse_amendment(canonical({**value, name: wrong}))
    del value[name]
    with pytest.raises(UnreadableQuestionError):
        parse_amendment(canonical(value))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        QUESTION.canonical + b" ",
        QUESTION.canonical.replace(b"taskbound amendment", b"taskbound approval"),
        QUESTION.canonical.replace(b'"version":1', b'"version":2'),
        QUESTION.canonical[:-1] + b',"z":1}',
        QUESTION.canonical.replace(b'"uses":8', b'"uses":8.0'),
    ],
)
def test_what_is_not_exactly_one_is_none(raw: bytes) -> None:
    with pytest.raises(UnreadableQuestionError):
        parse_amendment(raw)


def test_a_statement_answers_the_one_that_it_names() -> None:
    require_amendment_answer(SAID, QUESTION, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": Subject.ACTION},
        {"subject": Subject.PLAN},
        {"namespace": "other"},
        {"question": "amd_2"},
        {"digest": "0" * 64},
    ],
)
def test_a198_a_statement_of_anything_else_answers_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(OtherQuestionError):
        require_amendment_answer(replace(SAID, **changes), QUESTION, NOW)


@pytest.mark.parametrize("at", [QUESTION.asked - 60_000_001, NOW + 60_000_001])
def test_a_statement_was_made_between_the_question_and_now(at: int) -> None:
    with pytest.raises(StatementTimeError):
        require_amendment_answer(replace(SAID, at=Instant(at)), QUESTION, NOW)


def test_nothing_has_befallen_what_stands_on_what_it_stood_on() -> None:
    assert amendment_fate(QUESTION, GROUND, NOW) is None


@pytest.mark.parametrize(
    ("changes", "now", "event"),
    [
        ({"ended": "revoked"}, NOW, AmendmentEvent.WITHDRAW),
        ({}, QUESTION.deadline, AmendmentEvent.EXPIRE),
        ({"active": False}, NOW, AmendmentEvent.SUPERSEDE),
        ({"bundle": "c"}, NOW, AmendmentEvent.SUPERSEDE),
        ({"scope": "e"}, NOW, AmendmentEvent.SUPERSEDE),
        ({"edition": 3}, NOW, AmendmentEvent.SUPERSEDE),
        ({"step": 2}, NOW, AmendmentEvent.SUPERSEDE),
        ({"ended": "revoked", "active": False}, QUESTION.deadline, AmendmentEvent.WITHDRAW),
    ],
)
def test_what_it_stands_on_ends_it(changes: dict[str, Any], now: Instant, event: AmendmentEvent) -> None:
    fate = amendment_fate(QUESTION, replace(GROUND, **changes), now)
    assert fate is not None
    assert fate.event is event


@pytest.mark.parametrize("state", AmendmentState)
@pytest.mark.parametrize("event", AmendmentEvent)
def test_only_what_waits_changes_and_what_is_over_stays_so(
    state: AmendmentState, event: AmendmentEvent
) -> None:
    ends = {
        AmendmentEvent.APPLY: AmendmentState.APPLIED,
        AmendmentEvent.DENY: AmendmentState.DENIED,
        AmendmentEvent.EXPIRE: AmendmentState.EXPIRED,
        AmendmentEvent.WITHDRAW: AmendmentState.WITHDRAWN,
        AmendmentEvent.SUPERSEDE: AmendmentState.SUPERSEDED,
    }
    if state is AmendmentState.PENDING:
        assert AMENDMENT_TRANSITIONS.advance(state, event) is ends[event]
    else:
        with pytest.raises(WrongStateError):
            AMENDMENT_TRANSITIONS.advance(state, event)
