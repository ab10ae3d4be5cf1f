from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind, parse_plan
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import approval as wire
from taskbound.wire.identity import OpenEnrollment, OpenVouching, PageOpened
from taskbound.wire.page import parse_part
from tests.peers.holding import ASKED
from tests.peers.openssh import Device
from tests.peers.passkey import Passkeys
from tests.peers.people import proven
from tests.peers.planning import BY_TOOL
from tests.surfaces.api.test_operations import station
from tests.surfaces.api.test_plan import LOOK, PAY, PAY_MORE, Office, propose
from tests.surfaces.api.visitor import Visitor, asked, statement_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.api.visitor import Asked


def no(operation: str, when: str = "true") -> str:
    """A rule that refuses this operation."""
    head = f'forbid (principal, action == Taskbound::Action::"{operation}", resource)'
    return f'@id("house:no") {head} when {{ {when} }};'


async def plan_page(place: Asked) -> Visitor:
    """The page on which Ann may deny a plan."""
    ask = wire.ProposePlan(task=place.world.start().id, steps=(PAY, PAY_MORE))
    said = await place.client.ask(ask, wire.PlanProposed)
    opened = wire.OpenApproval(approval=said.plan, digest=said.digest, deny=True)
    return Visitor((await place.client.ask(opened, PageOpened)).address)


def forbidden(place: Any, operation: str, answer: tuple[int, dict[str, Any]]) -> None:
    status, told = answer
    assert (status, told.get("code")) == (403, "operation-forbidden"), told
    last = place.world.events("operation-refused")[-1]
    assert (last["operation"], last["by"]) == (operation, "Person ann")


def test_i27_a_forbid_of_answers_takes_effect_on_the_page_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, rules=no("approval:answer")) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            forbidden(place, "approval:answer", await visitor.sign(place.device, "confirm", statement))
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_i27_a_forbid_of_answers_to_plans_takes_effect_on_the_page_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, rules=no("approval:answer-plan")) as place:
            visitor = await plan_page(place)
            statement = statement_of(await visitor.begin(), "deny")
            forbidden(place, "approval:answer-plan", await visitor.sign(place.device, "deny", statement))
            assert not place.world.events("plan-answered")

    asyncio.run(story())


@pytest.mark.parametrize("operation", ["approval:show", "approval:show-plan"])
def test_i27_what_somebody_may_not_look_at_no_page_shows(operation: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, rules=no(operation)) as place:
            visitor = await (place.visit() if operation == "approval:show" else plan_page(place))
            status, told = await visitor.post("/begin", {"token": visitor.token})
            assert (status, told["code"]) == (403, "operation-forbidden")
            assert not place.world.events("approval-shown")

    asyncio.run(story())


def test_i27_a_forbid_of_proposing_keys_takes_effect_on_the_page_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=ASKED + no("person-key:propose")) as place:
            client = await place.client()
            opened = await client.ask(OpenEnrollment(person="ann", label="phone"), PageOpened)
            visitor = Visitor(opened.address)
            challenge = parse_part((await visitor.begin())["make"]["challenge"])
            forbidden(place, "person-key:propose", await visitor.make(Passkeys(), challenge))
            with place.world.store.read() as snapshot:
                assert not snapshot.identities.person_keys("default")

    asyncio.run(story())


def test_i27_a_forbid_of_vouching_takes_effect_on_the_page_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path, rules=no("person-key:vouch")) as place:
            key = proven(place.world, "ann", Device()).key
            visitor = Visitor((await place.client.ask(OpenVouching(key=key.id), PageOpened)).address)
            statement = statement_of(await visitor.begin(), "enroll")
            forbidden(place, "person-key:vouch", await visitor.sign(place.device, "enroll", statement))

    asyncio.run(story())


BY_BOB = 'context.person == Taskbound::Person::"default/bob" && context.answer == "approve"'


def test_i27_a_rule_about_who_answers_is_about_who_signs_whoever_brings_it(tmp_path: Path) -> None:
    async def story() -> None:
        policy = BY_TOOL + no("approval:answer-plan", BY_BOB)
        async with station(tmp_path, policy=policy) as place:
            office, client = Office(place), await place.client()
            found = await propose(client, office.task.id, PAY, LOOK, PAY_MORE)
            plan = parse_plan(found.canonical.encode())
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(office.answer(plan, "bob", AnswerKind.APPROVE), wire.PlanSaid)
            assert refused.value.fault.code == "operation-forbidden"
            said = await client.ask(office.answer(plan, "bob", AnswerKind.DENY), wire.PlanSaid)
            assert said.state == "denied"

    asyncio.run(story())
