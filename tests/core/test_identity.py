from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskbound.core.clock import Instant
from taskbound.core.identity import (
    AGENT_TRANSITIONS,
    Agent,
    AgentEvent,
    AgentState,
    BadNameError,
    InactiveAgentError,
    MonitorCodeError,
    Person,
    PersonState,
    acknowledge,
    lacks,
    move_agent,
    parse_name,
    require_active,
)
from taskbound.core.scope import parse_scope
from taskbound.core.transition import WrongStateError

ANN = Person(namespace="default", name="ann", uid=1000)
BOB = Person(namespace="default", name="bob", uid=1001)
PERSONS = {"ann": ANN, "bob": BOB}
COMPLETE = Agent(
    namespace="default",
    name="coder",
    state=AgentState.ACTIVE,
    owner="ann",
    approvers=("bob",),
    monitor="file:/var/log/watch",
    ceiling=parse_scope({"grants": [{"tool": "git__log", "others": "any"}]}),
    acknowledged=Instant(5),
)
PLAIN = {
    "registered": {"activate": "active", "suspend": "suspended"},
    "active": {"suspend": "suspended"},
    "suspended": {"activate": "active"},
}


@pytest.mark.parametrize("state", list(AgentState))
@pytest.mark.parametrize("event", list(AgentEvent))
def test_every_cell_of_the_agents_table_is_answered(state: AgentState, event: AgentEvent) -> None:
    wanted = PLAIN[state.value].get(event.value)
    if wanted is None:
        with pytest.raises(WrongStateError):
            AGENT_TRANSITIONS.advance(state, event)
    else:
        assert AGENT_TRANSITIONS.advance(state, event).value == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "nobody"},
        {"approvers": ()},
        {"approvers": ("bob", "nobody")},
        {"monitor": ""},
        {"acknowledged": None},
        {"state": AgentState.REGISTERED},
        {"state": AgentState.SUSPENDED},
    ],
)
def test_law_9_an_agent_without_owner_approver_or_monitor_does_not_act(change: dict[str, object]) -> None:
    require_active(COMPLETE, PERSONS)
    with pytest.raises(InactiveAgentError):
        require_active(replace(COMPLETE, **change), PERSONS)  # type: ignore[arg-type]  # one field of each type


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_an_agent_stops_acting_when_its_owner_or_approver_leaves(name: str) -> None:
    left = PERSONS | {name: replace(PERSONS[name], state=PersonState.GONE)}
    with pytest.raises(InactiveAgentError):
        require_active(COMPLETE, left)
    assert any(name in words for words in lacks(COMPLETE, left))


def test_what_an_agent_lacks_is_named_and_a_complete_one_lacks_nothing() -> None:
    assert lacks(COMPLETE, PERSONS) == ()
    assert len(lacks(replace(COMPLETE, owner="x", approvers=(), monitor=""), PERSONS)) == 3


def test_activating_asks_for_all_of_law_9() -> None:
    registered = replace(COMPLETE, state=AgentState.REGISTERED)
    assert move_agent(registered, AgentEvent.ACTIVATE, PERSONS).state is AgentState.ACTIVE
    with pytest.raises(InactiveAgentError):
        move_agent(replace(registered, acknowledged=None), AgentEvent.ACTIVATE, PERSONS)


def test_a_suspended_agent_has_its_monitor_acknowledged_anew() -> None:
    suspended = move_agent(COMPLETE, AgentEvent.SUSPEND, PERSONS)
    assert suspended.acknowledged is None
    with pytest.raises(InactiveAgentError):
        move_agent(suspended, AgentEvent.ACTIVATE, PERSONS)


def test_a_monitors_code_serves_once_and_only_itself() -> None:
    asked = replace(COMPLETE, acknowledged=None, challenge="a" * 64)
    with pytest.raises(MonitorCodeError):
        acknowledge(asked, "b" * 64, Instant(9))
    done = acknowledge(asked, "a" * 64, Instant(9))
    assert done.acknowledged == 9
    with pytest.raises(MonitorCodeError):
        acknowledge(done, "a" * 64, Instant(10))


def test_no_code_acknowledges_a_monitor_that_was_asked_nothing() -> None:
    with pytest.raises(MonitorCodeError):
        acknowledge(replace(COMPLETE, challenge=""), "", Instant(9))


@pytest.mark.parametrize("bad", ["", "-a", "A", "a b", "a/b", "a\n", "ann\u0430", "x" * 65, "a_b", "\uff41"])
def test_a_name_that_could_be_taken_for_another_is_refused(bad: str) -> None:
    with pytest.raises(BadNameError):
        parse_name(bad, what="an agent")


@pytest.mark.parametrize("good", ["a", "coder-2", "9", "x" * 64])
def test_a_plain_name_passes(good: str) -> None:
    assert parse_name(good, what="an agent") == good


class AgentLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agent = replace(COMPLETE, state=AgentState.REGISTERED, acknowledged=None)
        self.plain = "registered"
        self.acknowledged = False

    @rule(event=st.sampled_from(list(AgentEvent)))
    def happen(self, event: AgentEvent) -> None:
        wanted = PLAIN[self.plain].get(event.value)
        if wanted is None or (wanted == "active" and not self.acknowledged):
            with pytest.raises((WrongStateError, InactiveAgentError)):
                move_agent(self.agent, event, PERSONS)
            return
        self.agent = move_agent(self.agent, event, PERSONS)
        self.plain = wanted
        self.acknowledged = self.acknowledged and wanted == "active"

    @rule()
    def prove_monitor(self) -> None:
        self.agent = acknowledge(replace(self.agent, challenge="c" * 64), "c" * 64, Instant(1))
        self.acknowledged = True

    @invariant()
    def agrees(self) -> None:
        assert self.agent.state.value == self.plain
        assert (self.agent.acknowledged is not None) is self.acknowledged


TestAgentLife = AgentLife.TestCase
