from __future__ import annotations

import re

import pytest

from taskbound.core.action import ACTION_TRANSITIONS, ActionState
from taskbound.core.approval import APPROVAL_TRANSITIONS, BEFALLS, ApprovalState
from taskbound.core.task import TaskState
from tests.models.spin import MODELS, guards, moves, search, source

# What breaks first without each guard, in the words that Spin gives the assertion.
BREAKS = {
    "approval": {
        "BEFALLS": "(action!=",
        "DEADLINE": "!(late)",
        "DENIABLE": "!(denied_once)",
        "DISTINCT": "(said_yes_1&&said_yes_2)",
        "ENTITLED": "!(left_2)",
        "FINAL": "!(denied_once)",
        "LESS": "(permits<=1)",
        "NARROWS": "(permits<=1)",
        "ONCE": "(permits<=1)",
        "POLICY": "!(policy_changed)",
        "REACHED": "!(handed)",
        "SPENT": "(permits<=1)",
        "TASK": "!(ended)",
        "TOOL": "!(tool_changed)",
        "TRANSACTION": "(approval!=",
        "UNKNOWN": "!(gone)",
    },
    "commit": {
        "ANCESTOR": "(parent==",
        "BASIS": "(basis==evaluated)",
        "DURABLE": "!(answered[me])",
        "LOCK": "(task==",
        "ORDER": "invalid end state",
        "OUTCOME": "(task==",
        "PRIOR": "!((same&&known))",
        "RECORD": "recorded[me]",
        "REMAINDER": "(left>0)",
        "REREAD": "(task==",
        "SWITCH": "!(stopped)",
    },
    "plan": {
        "APPROVED": "approved_once",
        "DENIABLE": "!(denied_once)",
        "DIFFERS": "!(differed)",
        "ENTITLED": "((theirs>0)&&(step[theirs]==",
        "FAILED": "((n==1)||(step[(n-1)]==",
        "ONCE": "(uses[n]==0)",
        "OTHERS": "((theirs==",
        "REST": "!(denied_once)",
        "RUNS": "((n==1)||(step[(n-1)]==",
        "TASK": "!(ended)",
        "TRANSACTION": "!(differed)",
        "TURN": "((n==1)||(step[(n-1)]==",
        "VETO": "!(denied_once)",
    },
}
LEAST_STATES = 1_000_000


def spelled(states: set[str]) -> set[str]:
    return {name.replace("_", "-") for name in states}


def named(model: str, word: str) -> set[str]:
    names = re.findall(r"\bmtype = \{([^}]*)\}", source(model))
    found = {name.strip() for row in names for name in row.split(",")}
    return spelled({name.removeprefix(f"{word}_") for name in found if name.startswith(f"{word}_")})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", BREAKS)
def test_no_order_of_events_breaks_a_property_while_all_guards_stand(model: str) -> None:
    found = search(model)
    assert found.errors == 0
    assert found.whole
    assert found.states > LEAST_STATES


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("model", "guard"), [(model, guard) for model, rows in BREAKS.items() for guard in rows]
)
def test_without_a_guard_an_order_of_events_breaks_its_property(model: str, guard: str) -> None:
    found = search(model, without=guard)
    assert found.errors == 1
    assert BREAKS[model][guard] in found.broken


@pytest.mark.parametrize("model", BREAKS)
def test_each_guard_of_a_model_is_one_that_is_taken_out_here(model: str) -> None:
    assert guards(model) == BREAKS[model].keys()


def test_each_model_is_searched_here() -> None:
    assert {path.stem for path in MODELS.glob("*.pml")} == BREAKS.keys()


def test_the_moves_of_an_approval_are_those_of_core_all_of_them() -> None:
    ours = {
        (before.value, event.value, after.value)
        for (before, event), after in APPROVAL_TRANSITIONS.moves.items()
    }
    assert moves("approval", "approval") == ours
    assert named("approval", "approval") == {state.value for state in ApprovalState}


def test_the_moves_of_an_action_are_those_of_core_all_of_them() -> None:
    text = source("approval")
    with_question = re.findall(r"\bBEFALLS\((\w+), action_(\w+)\)", text)
    found = set(moves("approval", "action")) | {("held", event, after) for event, after in with_question}
    ours = {
        (before.value, event.value, after.value)
        for (before, event), after in ACTION_TRANSITIONS.moves.items()
    }
    assert found == ours
    assert named("approval", "action") == {state.value for state in ActionState}


def test_what_befalls_a_question_befalls_the_action_as_core_says() -> None:
    pairs = re.findall(
        r"approval_move\((\w+), \w+, \w+\);\s*"
        r"(?:if\s*:: unwatched -> action_move\(permit_unwatched, [^\n]*\n\s*:: else -> )?"
        r"(?:BEFALLS\(|action_move\()(\w+)",
        source("approval"),
    )
    assert set(pairs) == {(event.value, then.value) for event, then in BEFALLS.items()}


def test_a_plan_knows_no_state_that_core_has_not() -> None:
    assert named("plan", "plan") <= {state.value for state in ApprovalState}
    assert named("plan", "step") - {"over"} <= {state.value for state in ActionState}


def test_a_commit_knows_no_state_that_core_has_not() -> None:
    assert named("commit", "task") <= {state.value for state in TaskState}
    assert named("commit", "action") - {"none"} <= {state.value for state in ActionState}
