from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.identity import (
    InactiveAgentError,
    MonitorCodeError,
    PeerProof,
    UnknownIdentityError,
    UnprovenError,
)
from taskbound.core.transition import WrongStateError
from taskbound.flows.identity import register_person, require_person
from taskbound.flows.identity.agent import CeilingLimitError
from taskbound.flows.identity.person import IdentityExistsError
from taskbound.ports.monitor import BadMonitorError, MonitorUnreachableError
from tests.world import ANN, CEILING, SCOPE, scope_of

if TYPE_CHECKING:
    from tests.world import World


def peer(uid: int) -> PeerProof:
    return PeerProof(uid=uid, pid=1, started=1)


def register(
    world: World, *, owner: str = "ann", monitor: str = "world:1", ceiling: dict[str, object] = CEILING
) -> None:
    world.agents.register(
        "default",
        "coder",
        owner=owner,
        approvers=("ann",),
        monitor=monitor,
        ceiling=scope_of(ceiling),
        actor=ANN,
    )


def test_the_owner_of_the_data_directory_speaks_for_a_namespace_until_it_has_a_person(world: World) -> None:
    assert require_person(world.adapters, "default", peer(5), owner_uid=5).name == "uid:5"
    with pytest.raises(UnprovenError):
        require_person(world.adapters, "default", peer(6), owner_uid=5)
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    assert require_person(world.adapters, "default", peer(1000), owner_uid=5).name == "ann"
    with pytest.raises(UnprovenError):
        require_person(world.adapters, "default", peer(5), owner_uid=5)


def test_a_person_is_of_one_namespace(world: World) -> None:
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    with pytest.raises(UnprovenError):
        require_person(world.adapters, "other", peer(1000), owner_uid=5)


def test_one_account_is_one_person_and_one_name_too(world: World) -> None:
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    with pytest.raises(IdentityExistsError):
        register_person(world.adapters, "default", "anna", uid=1000, actor=ANN)
    with pytest.raises(IdentityExistsError):
        register_person(world.adapters, "default", "ann", uid=1001, actor=ANN)


def test_law_9_an_agent_is_not_active_before_its_monitor_has_answered(world: World) -> None:
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    register(world)
    with pytest.raises(InactiveAgentError, match="monitor"):
        world.agents.activate("default", "coder", ANN)
    world.agents.test_monitor("default", "coder", ANN)
    with pytest.raises(MonitorCodeError):
        world.agents.acknowledge("default", "coder", "0000-0000", ANN)
    with pytest.raises(MonitorCodeError):
        world.agents.acknowledge("default", "coder", world.monitor.messages[-1]["code"], ANN)
    world.agents.test_monitor("default", "coder", ANN)
    world.agents.acknowledge("default", "coder", world.monitor.messages[-1]["code"], ANN)
    assert world.agents.activate("default", "coder", ANN).state.value == "active"
    with pytest.raises(WrongStateError):
        world.agents.activate("default", "coder", ANN)


def test_the_code_stands_nowhere_but_in_the_monitors_message(world: World) -> None:
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    register(world)
    world.agents.test_monitor("default", "coder", ANN)
    code = world.monitor.messages[-1]["code"]
    with world.store.read() as snapshot:
        agent = snapshot.identities.agent("default", "coder")
    assert agent is not None
    assert code not in repr(agent)
    assert code not in repr(world.records())


def test_a_monitor_that_takes_nothing_is_not_asked_to_be_acknowledged(world: World) -> None:
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    register(world)
    world.monitor.broken = True
    with pytest.raises(MonitorUnreachableError):
        world.agents.test_monitor("default", "coder", ANN)


def test_an_agent_is_registered_once_with_known_people_and_a_monitor_that_can_be(world: World) -> None:
    with pytest.raises(UnknownIdentityError):
        register(world)
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    with pytest.raises(BadMonitorError):
        register(world, monitor="mailto:x")
    with pytest.raises(CeilingLimitError):
        register(world, ceiling=SCOPE)
    register(world)
    with pytest.raises(IdentityExistsError):
        register(world)


def test_nobody_works_on_an_agent_that_is_not_there(world: World) -> None:
    for work in (world.agents.test_monitor, world.agents.activate):
        with pytest.raises(UnknownIdentityError):
            work("default", "nobody", ANN)
    with pytest.raises(UnknownIdentityError):
        world.agents.suspend("default", "nobody", ANN, reason="")
