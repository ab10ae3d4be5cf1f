from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import (
    MAY_HAVE_ACTED,
    TERMINAL,
    ActionState,
    Attempts,
    Duplicate,
    KeyReusedError,
    New,
    PriorAction,
    PriorAnswer,
    count_attempts,
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
    if state is ActionState.UNKNOWN:
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


def test_the_first_attempt_has_nothing_before_it() -> None:
    assert count_attempts([]) == Attempts(number=1, last=None, unknown=0)


def test_a_plain_repeat_after_success_is_the_second_attempt() -> None:
    assert count_attempts([ActionState.SUCCEEDED]) == Attempts(
        number=2, last=ActionState.SUCCEEDED, unknown=0
    )


@pytest.mark.parametrize(
    "between",
    [
        ActionState.REFUSED,
        ActionState.WITHDRAWN,
        ActionState.EXPIRED,
        ActionState.HELD,
        ActionState.NOT_SENT,
        ActionState.LAPSED,
    ],
)
def test_an_attempt_that_never_acted_does_not_make_an_unknown_outcome_known(between: ActionState) -> None:
    assert count_attempts([ActionState.UNKNOWN, between]) == Attempts(
        number=3, last=ActionState.UNKNOWN, unknown=1
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from(ActionState), max_size=12))
def test_attempts_agree_with_a_plain_count(states: list[ActionState]) -> None:
    facts = count_attempts(iter(states))
    last = None
    for state in states:
        if state in MAY_HAVE_ACTED:
            last = state
    assert facts == Attempts(
        number=1 + len(states), last=last, unknown=sum(state is ActionState.UNKNOWN for state in states)
    )
