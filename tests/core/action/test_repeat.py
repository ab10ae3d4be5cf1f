from __future__ import annotations

import pytest

from taskbound.core.action import ActionState
from taskbound.core.action.state import INSTEAD, instead_of

NOTHING_DONE = {"not-sent", "lapsed", "withdrawn", "expired", "reconciled-failed"}


def test_each_state_has_its_words() -> None:
    assert INSTEAD.keys() == set(ActionState)


@pytest.mark.parametrize("state", list(ActionState))
def test_law_7_only_what_has_done_nothing_may_be_asked_for_again(state: ActionState) -> None:
    assert ("call again" in instead_of(state.value)) is (state.value in NOTHING_DONE)


def test_a_state_of_another_version_is_not_repeated() -> None:
    assert instead_of("not_sent") == "do not repeat it; ask the person who opened the task"
