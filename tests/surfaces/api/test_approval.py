from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from taskbound.core.approval import AnswerKind
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import approval as wire
from taskbound.wire.action import Permitted, Refused
from taskbound.wire.connection import Done, Ping
from tests.peers.holding import Answerers, hold_policy
from tests.surfaces.api.test_operations import decide, station
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path


def hold(place: Any) -> tuple[Answerers, str]:
    """A held payment of another gateway, and who may answer."""
    people = Answerers(place.world)
    people.task = place.world.start()
    action = place.world.ask(people.task)
    assert code_of(action) == "hold"
    return people, id_of(action)


def test_a_question_is_listed_shown_and_answered_with_a_signature_and_with_nothing_else(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people, action = hold(place)
            client = await place.client()
            listed = await client.ask(wire.ListApprovals(states=("pending",)), wire.ApprovalRows)
            (row,) = listed.rows
            assert (row.action, row.missing) == (action, "`confirm` has 0 of 1")
            shown = await client.ask(wire.ShowApproval(approval=action), wire.ApprovalDetail)
            assert (shown.row, shown.may_answer) == (row, ("ann",))
            raw = people.statement(action, "ann", AnswerKind.CONFIRM)
            signature = people.devices["ann"][1].sign(raw).decode()
            for statement, signed in ((raw.decode(), ""), (raw.decode().replace("ann", "bob"), signature)):
                with pytest.raises(RefusedByDaemonError):
                    await client.ask(
                        wire.AnswerApproval(statement=statement, signature=signed), wire.ApprovalSaid
                    )
            said = await client.ask(
                wire.AnswerApproval(statement=raw.decode(), signature=signature), wire.ApprovalSaid
            )
            assert (said.action, said.state, said.missing) == (action, "approved", "")
            after = await client.ask(wire.ShowApproval(approval=row.approval), wire.ApprovalDetail)
            assert [(one.kind, one.person) for one in after.answers] == [("confirm", "ann")]
            assert code_of(place.world.ask(people.task)) == "permit"

    asyncio.run(story())


def test_a_question_is_withdrawn_by_its_requester_and_unknown_ones_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people, action = hold(place)
            client = await place.client()
            name = people.approval(action).question.id
            await client.ask(wire.WithdrawApproval(approval=name, reason="no"), Done)
            assert people.state(action) == ("withdrawn", "withdrawn")
            for ask, code in (
                (wire.ShowApproval(approval="apr_none"), "unknown-approval"),
                (wire.WithdrawApproval(approval=name), "approval-over"),
                (wire.ListApprovals(states=("open",)), "bad-filter"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == code

    asyncio.run(story())


@pytest.mark.parametrize("role", ["gateway", "cli"])
def test_nothing_is_answered_or_withdrawn_from_inside_a_gateway_or_a_run(role: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people, action = hold(place)
            gateway = await place.gateway()
            client = gateway if role == "gateway" else await place.client()
            raw = people.statement(action, "ann", AnswerKind.CONFIRM)
            signature = people.devices["ann"][1].sign(raw).decode()
            for ask in (
                wire.AnswerApproval(statement=raw.decode(), signature=signature),
                wire.WithdrawApproval(approval=people.approval(action).question.id),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == "not-outside"
            assert people.state(action) == ("held", "pending")

    asyncio.run(story())


def test_the_connection_that_waits_is_told_what_became_of_its_question_and_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people = Answerers(place.world)
            gateway = await place.gateway()
            await place.gateway()
            held = await gateway.ask(structs.replace(decide("1"), wait=45), Refused)
            raw = people.statement(held.action, "ann", AnswerKind.CONFIRM)
            told, _ = place.daemon.approvals.answer("default", raw, people.devices["ann"][1].sign(raw))
            place.daemon.tell_held([told])
            await gateway.ask(Ping(), Done)
            pushed = [one for one in place.pushes if isinstance(one, wire.HoldPush)]
            assert [(one.action, one.state) for one in pushed] == [(held.action, "approved")]
            permit = await gateway.ask(structs.replace(decide("1"), wait=40, resume=held.action), Permitted)
            assert permit.action == held.action

    asyncio.run(story())


def test_a_gateway_withdraws_its_own_question_and_no_other_s(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people = Answerers(place.world)
            gateway, other = await place.gateway(), await place.gateway()
            held = await gateway.ask(structs.replace(decide("1"), wait=45), Refused)
            await other.ask(wire.LeaveHold(action=held.action), Done)
            assert people.state(held.action) == ("held", "pending")
            await gateway.ask(wire.LeaveHold(action=held.action), Done)
            assert people.state(held.action) == ("withdrawn", "withdrawn")

    asyncio.run(story())
