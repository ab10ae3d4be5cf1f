from __future__ import annotations

import pytest

from taskbound.core.action import (
    TERMINAL,
    ActionState,
    Duplicate,
    KeyReusedError,
    New,
    PriorAction,
    PriorAnswer,
    present,
)


def prior(state: ActionState = ActionState.SUCCEEDED) -> PriorAction:
    return PriorAction(id="act_1", digest="d" * 64, state=state)


def test_a_call_that_nobody_presented_before_is_new() -> None:
    assert present(None, "d" * 64) == New()


@pytest.mark.parametrize("state", ActionState)
def test_a_call_with_a_key_seen_before_is_a_duplicate_whatever_became_of_the_first(
    state: ActionState,
) -> None:
    answer = present(prior(state), "d" * 64)
    assert isinstance(answer, Duplicate)
    assert answer.prior == prior(state)


@pytest.mark.parametrize("state", ActionState)
def test_a220_a_key_that_comes_with_another_action_is_malformed(state: ActionState) -> None:
    with pytest.raises(KeyReusedError):
        present(prior(state), "e" * 64)


@pytest.mark.parametrize("state", ActionState)
def test_a_duplicate_is_told_what_can_be_known(state: ActionState) -> None:
    answer = present(prior(state), "d" * 64)
    assert isinstance(answer, Duplicate)
    if state in {ActionState.UNKNOWN, ActionState.UNWATCHED}:
        assert answer.answer is PriorAnswer.UNKNOWN
    elif state not in TERMINAL:
        assert answer.answer is PriorAnswer.RUNNING
    elif state.value.startswith("reconciled"):
        assert answer.answer is PriorAnswer.OUTCOME
    else:
        assert answer.answer is PriorAnswer.STORED


def test_a_presentation_has_no_truth_value() -> None:
    for answer in (present(None, "d"), present(prior(), "d" * 64)):
        with pytest.raises(TypeError):
            bool(answer)
