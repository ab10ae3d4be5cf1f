from __future__ import annotations

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from taskbound.core.action import (
    ACTION_TRANSITIONS,
    BEGINNINGS,
    GIVES_BACK,
    TERMINAL,
    ActionEvent,
    ActionState,
    advance,
)
from taskbound.core.transition import WrongStateError

# The table of design 5 a second time, in words: a cell that isn't here refuses.
TABLE = """
held       permit              permitted
held       permit-unwatched    unwatched
held       refuse              refused
held       withdraw            withdrawn
held       expire              expired
permitted  send                sent
permitted  not-send            not-sent
permitted  lapse               lapsed
permitted  lose                unknown
sent       succeed             succeeded
sent       fail                failed
sent       lose                unknown
unknown    reconcile-succeeded reconciled-succeeded
unknown    reconcile-failed    reconciled-failed
"""
CELLS = {(row[0], row[1]): row[2] for row in map(str.split, TABLE.strip().splitlines())}

MAY_HAVE_ACTED = frozenset(ActionState) - {
    ActionState.HELD,
    ActionState.REFUSED,
    ActionState.WITHDRAWN,
    ActionState.EXPIRED,
    ActionState.NOT_SENT,
    ActionState.LAPSED,
}
"""Where the tool may have seen it, or may yet."""


@pytest.mark.parametrize(("state", "event"), list(product(ActionState, ActionEvent)))
def test_each_cell_of_the_table_has_the_designed_answer(state: ActionState, event: ActionEvent) -> None:
    expected = CELLS.get((state.value, event.value))
    if expected is None:
        with pytest.raises(WrongStateError, match=f"the action is `{state.value}`"):
            advance(state, event)
    else:
        assert advance(state, event).value == expected


def test_the_table_names_no_state_or_event_that_is_not_there() -> None:
    assert {state for state, _ in CELLS} | set(CELLS.values()) == {state.value for state in ActionState}
    assert {event for _, event in CELLS} == {event.value for event in ActionEvent}
    assert len(ACTION_TRANSITIONS.moves) == len(CELLS)


def test_terminal_is_where_no_event_leads_on() -> None:
    assert {
        state for state in ActionState if not any(state is left for left, _ in ACTION_TRANSITIONS.moves)
    } == TERMINAL


def test_an_action_begins_only_as_a_decision_leaves_it() -> None:
    decided = {ActionState.HELD, ActionState.PERMITTED, ActionState.REFUSED, ActionState.UNWATCHED}
    assert decided == BEGINNINGS
    reached = set(ACTION_TRANSITIONS.moves.values())
    assert set(ActionState) - reached == {ActionState.HELD}


class ActionLife(RuleBasedStateMachine):
    """Any events in any order, beside a naive model that keeps what happened in plain words."""

    @initialize(begin=st.sampled_from(sorted(BEGINNINGS, key=lambda state: state.value)))
    def begin(self, begin: ActionState) -> None:
        self.state = begin
        self.words = begin.value
        self.past = [begin]

    @rule(event=st.sampled_from(ActionEvent))
    def happen(self, event: ActionEvent) -> None:
        expected = CELLS.get((self.words, event.value))
        try:
            self.state = advance(self.state, event)
        except WrongStateError:
            assert expected is None
        else:
            assert self.state.value == expected
            self.words = expected
            self.past.append(self.state)

    @invariant()
    def a_cancelled_hold_never_runs(self) -> None:
        if {ActionState.WITHDRAWN, ActionState.EXPIRED, ActionState.REFUSED} & set(self.past):
            assert self.state in {ActionState.WITHDRAWN, ActionState.EXPIRED, ActionState.REFUSED}
            assert ActionState.SENT not in self.past

    @invariant()
    def what_gives_uses_back_was_never_sent(self) -> None:
        if self.state in GIVES_BACK:
            assert self.state not in MAY_HAVE_ACTED
            assert ActionState.SENT not in self.past
            assert ActionState.UNKNOWN not in self.past

    @invariant()
    def an_unknown_outcome_only_becomes_known_by_reconciling(self) -> None:
        if ActionState.UNKNOWN in self.past:
            assert self.state in {
                ActionState.UNKNOWN,
                ActionState.RECONCILED_SUCCEEDED,
                ActionState.RECONCILED_FAILED,
            }

    @invariant()
    def what_was_sent_may_have_acted_ever_after(self) -> None:
        if ActionState.SENT in self.past:
            assert self.state in MAY_HAVE_ACTED

    @invariant()
    def what_nobody_watches_was_used_and_is_nothing_else_ever_after(self) -> None:
        if ActionState.UNWATCHED in self.past:
            assert self.state is ActionState.UNWATCHED
            assert self.state in MAY_HAVE_ACTED - GIVES_BACK
            assert not {ActionState.PERMITTED, ActionState.SENT, ActionState.UNKNOWN} & set(self.past)

    @invariant()
    def no_state_comes_twice(self) -> None:
        assert len(set(self.past)) == len(self.past)


ActionLife.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestActionLife = ActionLife.TestCase
