from __future__ import annotations

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from taskbound.core.action import ActionEvent, ActionState, advance
from taskbound.core.approval import (
    APPROVAL_TRANSITIONS,
    BEFALLS,
    OPEN,
    ApprovalEvent,
    ApprovalState,
    advance_approval,
)
from taskbound.core.transition import WrongStateError

# The table of design 5 a second time, in words: a cell that isn't here refuses.
TABLE = """
pending    approve    approved
pending    deny       denied
pending    expire     expired
pending    withdraw   withdrawn
pending    supersede  superseded
pending    narrow     narrowed
approved   deny       denied
approved   expire     expired
approved   withdraw   withdrawn
approved   supersede  superseded
approved   consume    consumed
approved   narrow     narrowed
"""
CELLS = {(row[0], row[1]): row[2] for row in map(str.split, TABLE.strip().splitlines())}


@pytest.mark.parametrize(("state", "event"), list(product(ApprovalState, ApprovalEvent)))
def test_each_cell_of_the_table_has_the_designed_answer(state: ApprovalState, event: ApprovalEvent) -> None:
    expected = CELLS.get((state.value, event.value))
    if expected is None:
        with pytest.raises(WrongStateError, match=f"the approval is `{state.value}`"):
            advance_approval(state, event)
    else:
        assert advance_approval(state, event).value == expected


def test_the_table_names_no_state_or_event_that_is_not_there() -> None:
    assert {state for state, _ in CELLS} | set(CELLS.values()) == {one.value for one in ApprovalState}
    assert {event for _, event in CELLS} == {one.value for one in ApprovalEvent}
    assert len(APPROVAL_TRANSITIONS.moves) == len(CELLS)


def test_open_is_exactly_where_an_event_leads_on() -> None:
    assert {state for state, _ in APPROVAL_TRANSITIONS.moves} == OPEN


def test_whatever_ends_an_approval_ends_its_held_action_too() -> None:
    for (_, event), after in APPROVAL_TRANSITIONS.moves.items():
        if after not in OPEN:
            assert advance(ActionState.HELD, BEFALLS[event]) is not ActionState.HELD
    assert [event for event in ApprovalEvent if BEFALLS.get(event) is ActionEvent.PERMIT] == [
        ApprovalEvent.CONSUME
    ]


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order: one use at most, never after a denial or another end."""

    @initialize()
    def ask(self) -> None:
        self.state = ApprovalState.PENDING
        self.action = ActionState.HELD
        self.happened: list[ApprovalEvent] = []

    @rule(event=st.sampled_from(ApprovalEvent))
    def happen(self, event: ApprovalEvent) -> None:
        try:
            self.state = advance_approval(self.state, event)
        except WrongStateError:
            return
        self.happened.append(event)
        if event in BEFALLS:
            self.action = advance(self.action, BEFALLS[event])

    @invariant()
    def permitted_is_approved_once_and_nothing_else(self) -> None:
        if self.action is ActionState.PERMITTED:
            assert self.happened == [ApprovalEvent.APPROVE, ApprovalEvent.CONSUME]

    @invariant()
    def held_is_open(self) -> None:
        assert (self.action is ActionState.HELD) == (self.state in OPEN)


Life.TestCase.settings = settings(max_examples=300, stateful_step_count=12)
TestLife = Life.TestCase
