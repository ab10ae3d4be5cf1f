from __future__ import annotations

from dataclasses import dataclass

import pytest

from taskbound.core.transition import NoTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(NoTruth):
    word: str


def test_an_answer_used_as_a_condition_raises() -> None:
    with pytest.raises(TypeError, match="a decision has no truth value: match on it"):
        bool(Answer(word="permit"))


def test_negating_an_answer_raises() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        _ = not Answer(word="refuse")


def test_an_answer_can_still_be_matched_on_and_compared() -> None:
    assert Answer(word="permit") == Answer(word="permit")
    match Answer(word="permit"):
        case Answer(word="permit"):
            reached = True
        case _:
            reached = False
    assert reached
