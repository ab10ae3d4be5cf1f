from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.approval import (
    AnswerKind,
    BadStatementError,
    OtherQuestionError,
    Statement,
    StatementTimeError,
    Subject,
    parse_statement,
    render_statement,
    require_answers,
)
from taskbound.core.clock import Instant
from tests.core.approval.values import NOW, question

STATEMENT = Statement(
    kind=AnswerKind.APPROVE,
    namespace="default",
    question="apr_1",
    digest=question().digest,
    person="ada",
    key="key_1",
    at=Instant(NOW + 1),
)
RAW = render_statement(STATEMENT)


@given(
    st.sampled_from([one for one in AnswerKind if one is not AnswerKind.EVIDENCE]),
    st.sampled_from(Subject),
    st.integers(0, 9_999_999_999_999_999),
    st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=40),
)
def test_a_statement_is_read_as_it_was_written(
    kind: AnswerKind, subject: Subject, at: int, name: str
) -> None:
    narrowed = "5a" * 32 if kind is AnswerKind.NARROW else ""
    of = Subject.ACTION if narrowed else subject
    said = replace(STATEMENT, kind=kind, subject=of, at=Instant(at), person=name, narrowed=narrowed)
    assert parse_statement(render_statement(said)) == said


NARROWING = render_statement(replace(STATEMENT, kind=AnswerKind.NARROW, narrowed="5a" * 32))


def test_a_narrowing_is_read_with_both_digests() -> None:
    said = parse_statement(NARROWING)
    assert (said.kind, said.digest, said.narrowed) == (AnswerKind.NARROW, STATEMENT.digest, "5a" * 32)


COVERING = render_statement(replace(STATEMENT, retries=2))


def test_an_answer_covers_as_many_retries_as_a_line_of_it_says_and_none_without() -> None:
    assert parse_statement(COVERING).retries == 2
    assert parse_statement(RAW).retries == 0
    assert b"\nretries covered: 2\n" in COVERING


@pytest.mark.parametrize(
    "raw",
    [
        COVERING.replace(b"approve one", b"deny one"),
        COVERING.replace(b"one action", b"one plan"),
        COVERING.replace(b"one action", b"one amendment"),
        COVERING.replace(b"covered: 2", b"covered: 0"),
        COVERING.replace(b"covered: 2", b"covered: 4"),
        COVERING.replace(b"covered: 2", b"covered: 02"),
        COVERING.replace(b"covered: 2\n", b"covered: 2\nretries covered: 2\n"),
        NARROWING.replace(b"question: ", b"retries covered: 1\nquestion: "),
    ],
)
def test_law7_only_a_yes_to_one_action_covers_retries_and_at_most_three(raw: bytes) -> None:
    with pytest.raises(BadStatementError):
        parse_statement(raw)


@pytest.mark.parametrize(
    "raw",
    [
        NARROWING.replace(b"narrowed to: " + b"5a" * 32 + b"\n", b""),
        NARROWING.replace(b"narrow one", b"approve one"),
        NARROWING.replace(b"narrow one", b"deny one"),
        NARROWING.replace(b"one action", b"one plan"),
        NARROWING.replace(b"one action", b"one amendment"),
        NARROWING.replace(b"5a" * 32, b"5A" * 32),
        NARROWING.replace(b"5a" * 32, b"5a" * 31),
        NARROWING.replace(b"narrowed to: ", b"narrowed to: " + b"5a" * 32 + b"\nnarrowed to: "),
        RAW.replace(b"question: ", b"narrowed to: " + b"5a" * 32 + b"\nquestion: "),
    ],
)
def test_only_a_narrowing_names_another_action_and_it_names_one(raw: bytes) -> None:
    with pytest.raises(BadStatementError):
        parse_statement(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        RAW[:-1],
        RAW + b"\n",
        b" " + RAW,
        RAW.replace(b"\n", b"\r\n"),
        RAW.replace(b"version 1", b"version 2"),
        RAW.replace(b"approve one", b"approve every"),
        RAW.replace(b"approve one", b"APPROVE one"),
        RAW.replace(b"approve one", b"evidence one"),
        RAW.replace(b"one action", b"one task"),
        RAW.replace(b"person: ada", b"person: a da"),
        RAW.replace(b"person: ada", b"person: ada\nperson: ben"),
        RAW.replace(b"person: ada", "person: \u0430da".encode()),
        RAW.replace(b"at: ", b"at: 0"),
        RAW.replace(b"at: ", b"at: -"),
        RAW.replace(f"at: {NOW + 1}".encode(), b"at: NaN"),
        RAW.replace(f"at: {NOW + 1}".encode(), b"at: 99999999999999999"),
        RAW.upper(),
        RAW.replace(STATEMENT.digest.encode(), STATEMENT.digest.upper().encode()),
        RAW.replace(STATEMENT.digest.encode(), b"*" * 64),
        b"\xff" + RAW,
    ],
)
def test_there_is_one_way_to_write_a_statement(raw: bytes) -> None:
    assert raw != RAW
    with pytest.raises(BadStatementError):
        parse_statement(raw)


def test_a_statement_answers_the_question_whose_digest_was_seen() -> None:
    require_answers(STATEMENT, question(), Instant(NOW + 2))


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "00" * 32},
        {"question": "apr_2"},
        {"namespace": "other"},
        {"subject": Subject.PLAN},
        {"subject": Subject.AMENDMENT},
        {"digest": question(nonce="n2").digest},
    ],
)
def test_a_statement_of_another_question_answers_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(OtherQuestionError):
        require_answers(replace(STATEMENT, **changes), question(), Instant(NOW + 2))


@pytest.mark.parametrize("at", [0, NOW - 60_000_001, NOW + 60_000_003])
def test_a_statement_from_before_the_question_or_after_now_answers_nothing(at: int) -> None:
    with pytest.raises(StatementTimeError):
        require_answers(replace(STATEMENT, at=Instant(at)), question(), Instant(NOW + 2))
