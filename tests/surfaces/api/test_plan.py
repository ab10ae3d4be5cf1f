from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import structs

from taskbound.core.approval import (
    AnswerKind,
    Plan,
    Statement,
    Subject,
    parse_plan,
    parse_statement,
    render_statement,
)
from taskbound.core.clock import Instant
from taskbound.core.task import TaskEvent
from taskbound.flows.identity import register_person
from taskbound.flows.tool.applying import set_approvers
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import action
from taskbound.wire import approval as wire
from taskbound.wire.connection import Done, Ping
from taskbound.wire.identity import PageOpened
from tests.peers.holding import Answerers
from tests.peers.openssh import Device
from tests.peers.people import enrolled
from tests.peers.planning import BY_TOOL
from tests.sheet_oracle import parse_plan_sheet
from tests.surfaces.api.test_operations import station
from tests.surfaces.api.visitor import Visitor, asked, statement_of
from tests.world import ANN, code_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

PAY = wire.PlanStep(tool="bank__pay", arguments='{"amount":10,"to":"bob"}')
PAY_MORE = wire.PlanStep(tool="bank__pay", arguments='{"amount":20,"to":"bob"}')
LOOK = wire.PlanStep(tool="bank__look", arguments='{"path":"/srv/a"}')


class Office(Answerers):
    """Payments are bob's to approve, and looks bob's or carl's."""

    def __init__(self, place: Station) -> None:
        super().__init__(place.world)
        for uid, name in enumerate(("bob", "carl"), start=50_001):
            register_person(self.world.adapters, "default", name, uid=uid, actor=ANN)
            device = Device()
            key = enrolled(self.world, name, device, voucher=self.devices["ann"])
            self.devices[name] = (key, device)
        self.world.clock.advance(25 * 3600)
        for tool, names in (("bank__pay", ("bob",)), ("bank__look", ("bob", "carl"))):
            set_approvers(self.world.adapters, "default", tool, names, actor=ANN, owns=True)
        self.task = self.world.start()

    def end_others(self) -> None:
        """The agent has this one task, so its gateways need not say which."""
        with self.world.store.read() as snapshot:
            others = [one.id for one in snapshot.tasks.tasks("default") if one.id != self.task.id]
        for one in others:
            self.world.tasks.end("default", one, TaskEvent.COMPLETE, ANN, reason="")

    def answer(self, plan: Plan, who: str, kind: AnswerKind) -> wire.AnswerPlan:
        said = Statement(
            subject=Subject.PLAN,
            kind=kind,
            namespace="default",
            question=plan.id,
            digest=plan.digest,
            person=who,
            key=self.devices[who][0].id,
            at=Instant(self.world.clock.at),
        )
        raw = render_statement(said)
        return wire.AnswerPlan(statement=raw.decode(), signature=self.devices[who][1].sign(raw).decode())


async def propose(client: AsyncClient, task: str, *steps: wire.PlanStep) -> wire.PlanDetail:
    said = await client.ask(wire.ProposePlan(task=task, steps=steps), wire.PlanProposed)
    return await client.ask(wire.ShowPlan(plan=said.plan), wire.PlanDetail)


def test_a_plan_says_who_may_answer_it_and_who_may_only_deny_it_and_each_is_taken_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=BY_TOOL) as place:
            office, client = Office(place), await place.client()
            found = await propose(client, office.task.id, PAY, LOOK, PAY_MORE)
            assert (found.may_answer, found.may_deny) == (("bob",), ("bob", "carl"))
            plan = parse_plan(found.canonical.encode())
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(office.answer(plan, "carl", AnswerKind.APPROVE), wire.PlanSaid)
            assert refused.value.fault.code == "not-entitled"
            said = await client.ask(office.answer(plan, "carl", AnswerKind.DENY), wire.PlanSaid)
            assert (said.state, said.denied) == ("denied", (2,))
            after = await client.ask(wire.ShowPlan(plan=plan.id), wire.PlanDetail)
            assert (after.may_answer, after.may_deny, after.reason) == ((), (), "step 2: denied by carl")
            assert [one.row.state for one in after.steps] == ["superseded", "denied", "superseded"]
            look = place.world.ask(office.task, "bank__look", {"path": "/srv/a"})
            assert code_of(look) == "approval-denied"

    asyncio.run(story())


def test_who_may_deny_is_asked_of_the_steps_that_are_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=BY_TOOL) as place:
            office, client = Office(place), await place.client()
            found = await propose(client, office.task.id, LOOK, PAY, PAY_MORE)
            plan = parse_plan(found.canonical.encode())
            await client.ask(office.answer(plan, "bob", AnswerKind.APPROVE), wire.PlanSaid)
            assert code_of(place.world.ask(office.task, "bank__look", {"path": "/srv/a"})) == "permit"
            left = await client.ask(wire.ShowPlan(plan=plan.id), wire.PlanDetail)
            assert (left.used, left.may_answer, left.may_deny) == (1, ("bob",), ("bob",))

    asyncio.run(story())


def test_a_page_for_a_passkey_is_not_opened_for_one_step_of_a_plan(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            task = place.world.start()
            found = await propose(place.client, task.id, PAY, PAY_MORE)
            for one in found.steps:
                for deny in (False, True):
                    with pytest.raises(RefusedByDaemonError) as refused:
                        await place.visit(one.row.action, deny=deny)
                    assert refused.value.fault.code == "signed-together"
                    assert found.plan in refused.value.fault.message
            await place.visit()  # of what is asked by itself one is

    asyncio.run(story())


def page_of(found: wire.PlanDetail, **changes: Any) -> wire.OpenApproval:
    plain = wire.OpenApproval(approval=found.plan, digest=found.digest, deny=True)
    return structs.replace(plain, **changes)


def test_a_page_takes_a_denial_of_a_plan_that_is_shown_whole_and_by_that_its_steps_are_denied(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            task = place.world.start()
            found = await propose(place.client, task.id, PAY, PAY_MORE)
            opened = await place.client.ask(page_of(found), PageOpened)
            visitor = Visitor(opened.address)
            shown = await visitor.begin()
            sheet = parse_plan_sheet(shown["text"])
            assert [one.arguments.decode() for one in sheet.steps] == [PAY.arguments, PAY_MORE.arguments]
            assert [one["name"] for one in shown["choices"]] == ["deny"]
            said = parse_statement(statement_of(shown, "deny").encode())
            assert (said.subject, said.digest) == (Subject.PLAN, found.digest)
            for choice in ("approve", "confirm"):
                status, _ = await visitor.sign(place.device, choice, statement_of(shown, "deny"))
                assert status == 403
            status, told = await visitor.sign(place.device, "deny", statement_of(shown, "deny"))
            assert (status, told["words"]) == (200, f"{found.plan} is denied")
            after = await place.client.ask(wire.ShowPlan(plan=found.plan), wire.PlanDetail)
            assert [after.state, *(one.row.state for one in after.steps)] == ["denied"] * 3
            assert place.world.events("plan-answered")[0]["proof"].startswith("passkey ")
            assert place.world.events("approval-shown")[-1]["approval"] == found.plan
            assert code_of(place.world.ask(task, arguments={"amount": 10, "to": "bob"})) == "approval-denied"
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client.ask(page_of(found), PageOpened)
            assert refused.value.fault.code == "approval-over"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deny": False}, "signed-together"),
        ({"digest": "00" * 32}, "other-question"),
        ({"approval": "pln_none"}, "unknown-approval"),
    ],
)
def test_a_page_takes_nothing_else_of_a_plan(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            found = await propose(place.client, place.world.start().id, PAY, PAY_MORE)
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client.ask(page_of(found, **changes), PageOpened)
            assert refused.value.fault.code == code

    asyncio.run(story())


def test_a_plan_that_is_over_when_its_page_begins_is_not_shown(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            found = await propose(place.client, place.world.start().id, PAY, PAY_MORE)
            visitor = Visitor((await place.client.ask(page_of(found), PageOpened)).address)
            await place.client.ask(wire.WithdrawApproval(approval=found.plan), Done)
            status, told = await visitor.post("/begin", {"token": visitor.token})
            assert (status, "withdrawn" in str(told)) == (403, True)

    asyncio.run(story())


def call(step: wire.PlanStep, request: str, **more: Any) -> action.Decide:
    arguments = msgspec.Raw(step.arguments.encode())
    return action.Decide(tool=step.tool, arguments=arguments, request=request, wait=45, **more)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_gateway_is_told_at_once_that_the_step_before_its_own_has_an_outcome(
    tmp_path: Path, outcome: str
) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=BY_TOOL) as place:
            office, client = Office(place), await place.client()
            office.end_others()
            found = await propose(client, office.task.id, PAY, PAY_MORE)
            plan = parse_plan(found.canonical.encode())
            await client.ask(office.answer(plan, "bob", AnswerKind.APPROVE), wire.PlanSaid)
            gateway = await place.gateway()
            place.pushes.clear()  # who proposed the plan was told that it is approved
            first = await gateway.ask(call(PAY, "1"), action.Permitted)
            second = await gateway.ask(call(PAY_MORE, "2"), action.Refused)
            assert (second.code, place.pushes) == ("held", [])
            told = action.Outcome(action=first.action, outcome=outcome, answer=msgspec.Raw(b"{}"))
            await gateway.ask(told, action.Released)
            await gateway.ask(Ping(), Done)
            pushed = [one for one in place.pushes if isinstance(one, wire.HoldPush)]
            assert [one.action for one in pushed] == [second.action]
            again = await gateway.ask_any(call(PAY_MORE, "2", resume=second.action))
            assert isinstance(again, action.Permitted) == (outcome == "succeeded")

    asyncio.run(story())
