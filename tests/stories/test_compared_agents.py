from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.identity import AgentState
from taskbound.core.identity.person import PersonState
from taskbound.flows.identity import register_person
from taskbound.flows.identity.agent import say_risk
from taskbound.flows.identity.leaving import People
from tests.peers.people import OWNER
from tests.peers.widening import Wide
from tests.stories.test_widening import differences
from tests.world import ANN, scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Store


def live_through(there: Wide) -> None:
    """Agents of which everything was said anew, by each way there is; and a person of an agent's name."""
    world = there.world
    people = People(world.adapters, world.views)
    ceiling = {"grants": [{"tool": "bank__look", "others": "any"}]}
    world.agents.set_ceiling("default", "helper", scope_of(ceiling), ANN)
    say_risk(world.adapters, world.views, "default", "coder", "high", reason="it is new", actor=ANN)
    for name in ("idle", "stopped"):
        world.add_agent(name)
    world.agents.suspend("default", "stopped", ANN, reason="it is wild")
    world.agents.test_monitor("default", "idle", ANN)
    register_person(world.adapters, "default", "coder", uid=1007, actor=ANN)
    people.leave("default", "carl", OWNER, owns=True, reason="")
    people.leave("default", "coder", OWNER, owns=True, reason="")


def test_agents_that_nobody_edited_are_what_the_log_says(store: Store) -> None:
    there = Wide(store)
    live_through(there)
    with store.read() as snapshot:
        states = {one.name: one.state.value for one in snapshot.identities.agents("default")}
        risk = snapshot.identities.agent("default", "coder")
    assert states == {"coder": "active", "helper": "active", "idle": "active", "stopped": "suspended"}
    assert risk is not None
    assert (risk.risk.value, risk.risk_by, risk.approvers) == ("high", "ann", ("bob",))
    assert differences(there) == ()


def test_no_state_of_a_person_is_one_of_an_agent() -> None:
    assert not {one.value for one in PersonState} & {one.value for one in AgentState}


SET = "UPDATE agents SET "
CODER = " WHERE name = 'coder'"
COPY = """
    INSERT INTO agents SELECT namespace, 'ghost', state, owner, approvers, monitor, ceiling, challenge,
    acknowledged, version, risk, risk_by FROM agents WHERE name = 'coder'
"""
LESS = "UPDATE agents SET ceiling = (SELECT ceiling FROM agents WHERE name = 'helper') WHERE name = 'coder'"
MORE = "UPDATE agents SET ceiling = (SELECT ceiling FROM agents WHERE name = 'coder') WHERE name = 'helper'"
ELSEWHERE = COPY.replace("namespace,", "'other',").replace("'ghost'", "name")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SET + "risk = 'low'" + CODER, "agent coder has another risk than its records leave it with"),
        (SET + "risk_by = 'bob'" + CODER, "agent coder has another word for its risk than"),
        (SET + "risk = 'medium' WHERE name = 'helper'", "agent helper has another risk than"),
        (SET + "owner = 'bob'" + CODER, "agent coder has another owner than"),
        (SET + """approvers = '["dora"]'""" + CODER, "agent coder has another approvers than"),
        (SET + "approvers = '[]'" + CODER, "agent coder has another approvers than"),
        (SET + "monitor = 'world:9'" + CODER, "agent coder has another monitor than"),
        (LESS, "agent coder has another ceiling than"),
        (MORE, "agent helper has another ceiling than"),
        (SET + "state = 'active' WHERE name = 'stopped'", "is `active`, and its records say `suspended`"),
        (SET + "state = 'suspended' WHERE name = 'idle'", "is `suspended`, and its records say `active`"),
        (
            SET + "acknowledged = 1 WHERE name = 'stopped'",
            "agent stopped has another acknowledgement of its monitor than",
        ),
        (SET + "acknowledged = NULL" + CODER, "agent coder has another acknowledgement of its monitor than"),
        ("DELETE FROM agents WHERE name = 'idle'", "agent idle was registered, and is not there"),
        (COPY, "agent ghost is there, and no record registered it"),
        (ELSEWHERE, "agent coder is there, and no record registered it"),
        (SET + "name = 'other' WHERE name = 'idle'", "agent other is there, and no record registered it"),
    ],
)
def test_what_was_edited_of_an_agent_is_found(tmp_path: Path, text: str, words: str) -> None:
    there = Wide(SqlStore(tmp_path / "t.db", reserve=0))
    live_through(there)
    connection = driver.connect(tmp_path / "t.db")
    assert connection.execute(text).rowcount > 0
    connection.commit()
    connection.close()
    assert any(words in one for one in differences(there))
