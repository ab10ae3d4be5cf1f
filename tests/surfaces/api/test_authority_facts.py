from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import AnswerKind, parse_plan
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.policy.operation import Allowed, Barred, OperationForbiddenError, OperationVerdict
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.identity import Groups
from taskbound.flows.policy.operations import OperationCall, authorize
from taskbound.wire.action import ReconcileAction
from taskbound.wire.approval import AnswerPlan
from taskbound.wire.identity import WithdrawPersonKey
from taskbound.wire.task import EndTask
from taskbound.wire.token import Stop
from tests.peers.openssh import Device
from tests.peers.people import proven
from tests.peers.planning import BY_TOOL
from tests.sqlite import sqlite_store
from tests.stories.test_bundles import damage, put_in_force
from tests.surfaces.api.test_authority import principal_of
from tests.surfaces.api.test_operations import station
from tests.surfaces.api.test_plan import LOOK, PAY, Office, propose
from tests.world import ANN, World, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.api.test_operations import Station

ONCALL = 'Taskbound::Group::"default/oncall"'


def house(operation: str, *, resource: str = "resource", when: str = "true") -> str:
    head = f'forbid (principal, action == Taskbound::Action::"{operation}", {resource})'
    return f'@id("house:no") {head} when {{ {when} }};'


async def is_forbidden(place: Station, operation: str, ask: Any) -> bool:
    """Whether Bob, who is in nothing, may not ask for this."""
    try:
        await place.daemon.authority.authorize(principal_of(PrincipalKind.PERSON, "bob"), operation, ask)
    except OperationForbiddenError:
        return True
    return False


def put_in(place: Station, *people: str) -> None:
    groups = Groups(place.world.adapters)
    groups.add("default", "oncall", ANN, owns=True)
    for one in people:
        groups.set_member("default", "oncall", one, member=True, actor=ANN, owns=True)


def running(place: Station) -> str:
    with place.world.store.read() as snapshot:
        (found,) = snapshot.tasks.tasks("default")
    return found.id


@pytest.mark.parametrize("server", ["bank", "vault"])
def test_a_rule_about_a_server_is_about_calls_of_its_tools(server: str, tmp_path: Path) -> None:
    rule = house("action:reconcile", resource=f'resource in Taskbound::Server::"default/{server}"')

    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + rule) as place:
            action = id_of(place.world.ask(place.world.start()))
            ask = ReconcileAction(action=action, outcome="failed", note="")
            assert await is_forbidden(place, "action:reconcile", ask) is (server == "bank")

    asyncio.run(story())


@pytest.mark.parametrize("tool", ["bank__pay", "bank__other"])
def test_a_rule_about_a_tool_is_about_plans_with_a_call_of_it(tool: str, tmp_path: Path) -> None:
    rule = house("approval:answer-plan", resource=f'resource in Taskbound::Tool::"default/{tool}"')

    async def story() -> None:
        async with station(tmp_path, policy=BY_TOOL + rule) as place:
            office = Office(place)
            found = await propose(await place.client(), office.task.id, LOOK, PAY)
            answer = office.answer(parse_plan(found.canonical.encode()), "bob", AnswerKind.APPROVE)
            ask = AnswerPlan(statement=answer.statement, signature="")
            assert await is_forbidden(place, "approval:answer-plan", ask) is (tool == "bank__pay")

    asyncio.run(story())


@pytest.mark.parametrize("people", [("ann",), ()])
def test_a_rule_about_a_group_is_about_the_keys_of_its_people(
    people: tuple[str, ...], tmp_path: Path
) -> None:
    rule = house("person-key:withdraw", resource=f"resource in {ONCALL}")

    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + rule) as place:
            put_in(place, *people)
            key = proven(place.world, "ann", Device()).key.id
            ask = WithdrawPersonKey(key=key)
            assert await is_forbidden(place, "person-key:withdraw", ask) is bool(people)

    asyncio.run(story())


def test_a_rule_about_who_asked_for_a_task_knows_their_groups_as_they_are_now(tmp_path: Path) -> None:
    when = f"context.requester in {ONCALL}"

    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + house("task:end", when=when)) as place:
            ask = EndTask(task=running(place))
            assert not await is_forbidden(place, "task:end", ask)
            put_in(place, "ann")
            assert await is_forbidden(place, "task:end", ask)
            groups = Groups(place.world.adapters)
            groups.set_member("default", "oncall", "ann", member=False, actor=ANN, owns=True)
            assert not await is_forbidden(place, "task:end", ask)

    asyncio.run(story())


@pytest.mark.parametrize(("stopped", "verdict"), [(True, Allowed), (False, Barred)])
def test_where_what_is_in_force_is_damaged_everything_can_be_stopped_and_not_released(
    *, stopped: bool, verdict: type[OperationVerdict]
) -> None:
    world = World(store=sqlite_store())
    world.settle_in()
    damage(world, put_in_force(world), archive=b"{}")
    asked = OperationCall(
        principal=principal_of(PrincipalKind.PERSON),
        operation=OPERATIONS["revocation:stop"],
        message=Stop(stopped=stopped),
    )
    said, _ = authorize(world.beside().adapters, asked)
    assert isinstance(said, verdict)
