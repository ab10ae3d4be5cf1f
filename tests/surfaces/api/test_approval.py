from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from taskbound.core.approval import AnswerKind
from taskbound.flows.approval.limits import set_limits
from taskbound.flows.decision.narrowing import NarrowedTo
from taskbound.flows.identity import register_person
from taskbound.flows.identity.group import Groups
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import approval as wire
from taskbound.wire import tool
from taskbound.wire.action import Duplicate, Narrowed, Permitted, Refused
from taskbound.wire.connection import Done, Ping, TaskPush
from tests.peers.holding import Answerers, hold_policy
from tests.stories.test_evidence import believe, token
from tests.surfaces.api.test_operations import WITHIN, decide, station
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.task import Task
    from tests.world import World


def tasks(world: World) -> tuple[Task, ...]:
    with world.store.read() as snapshot:
        return snapshot.tasks.tasks("default")


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


def test_a_narrowing_is_brought_with_its_arguments_and_both_questions_show_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people, action = hold(place)
            client = await place.client()
            raw, signature, arguments = people.narrowing(action, "ann", {"amount": 4, "to": "bob"})
            ask = wire.NarrowApproval(
                statement=raw.decode(), signature=signature.decode(), arguments=arguments.decode()
            )
            for other, code in (
                (structs.replace(ask, arguments='{"amount":5,"to":"bob"}'), "other-question"),
                (structs.replace(ask, arguments='{"to":"bob","amount":4}'), "not-canonical"),
                (structs.replace(ask, arguments="{"), "not-json"),
                (structs.replace(ask, signature=""), "bad-signature"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(other, wire.ApprovalSaid)
                assert refused.value.fault.code == code
            said = await client.ask(ask, wire.ApprovalSaid)
            assert (said.state, said.missing) == ("approved", "")
            first = await client.ask(wire.ShowApproval(approval=action), wire.ApprovalDetail)
            second = await client.ask(wire.ShowApproval(approval=said.action), wire.ApprovalDetail)
            assert (first.row.state, first.narrowed_to, first.narrows) == ("narrowed", said.approval, "")
            assert (second.row.state, second.narrows) == ("approved", first.row.approval)
            assert first.changed == second.changed
            assert [(one.place, one.before, one.after) for one in first.changed] == [("amount", "10", "4")]

    asyncio.run(story())


def test_the_gateway_that_waits_is_told_what_runs_instead_and_may_not_narrow_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people = Answerers(place.world)
            gateway = await place.gateway()
            held = await gateway.ask(structs.replace(decide("1"), wait=45), Refused)
            raw, signature, arguments = people.narrowing(held.action, "ann", {"amount": 0, "to": "bob"})
            ask = wire.NarrowApproval(
                statement=raw.decode(), signature=signature.decode(), arguments=arguments.decode()
            )
            with pytest.raises(RefusedByDaemonError) as refused:
                await gateway.ask(ask, wire.ApprovalSaid)
            assert refused.value.fault.code == "operation-forbidden"
            done = place.daemon.narrowings.narrow("default", raw, signature, arguments)
            assert isinstance(done, NarrowedTo)
            place.daemon.tell_held([done.held])
            await gateway.ask(Ping(), Done)
            pushed = [one for one in place.pushes if isinstance(one, wire.HoldPush)]
            assert [(one.action, one.state) for one in pushed] == [(held.action, "narrowed")]
            again = structs.replace(decide("1"), wait=40, resume=held.action)
            told = await gateway.ask(again, Narrowed)
            assert (told.action, bytes(told.arguments)) == (done.instead.action, arguments)
            assert [(one.place, one.before, one.after) for one in told.changed] == [("amount", "1", "0")]
            less = structs.replace(again, arguments=told.arguments, resume=told.action)
            assert (await gateway.ask(less, Permitted)).action == done.instead.action
            assert (await gateway.ask(less, Duplicate)).action == done.instead.action

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
                wire.ProveApproval(approval=people.approval(action).question.id, token="a.b.c"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == WITHIN[role]
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


def test_i31_the_account_of_a_gateway_is_kept_with_its_task_before_anything_is_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("approval:finance")) as place:
            world = place.world
            register_person(world.adapters, "default", "bob", uid=os.geteuid() + 1, actor=ANN)
            groups = Groups(world.adapters)
            groups.add("default", "finance", ANN, owns=True)
            for name in ("ann", "bob"):
                groups.set_member("default", "finance", name, member=True, actor=ANN, owns=True)
            (task,) = tasks(world)
            retitled = replace(task, requester="bob", version=task.version + 1)
            world.store.write(lambda tx: tx.tasks.put_task(retitled, expect=task.version))
            place.daemon.views.forget()
            gateway = await place.gateway()
            for number in ("1", "2"):  # ann did not ask for the task, but the agent runs under her account
                refused = await gateway.ask(decide(number), Refused)
                assert refused.code == "no-approver"
            account = f"peer-uid:{os.geteuid()}"
            assert [one["account"] for one in world.events("task-accounted")] == [account]

    asyncio.run(story())


def test_an_issuers_word_is_brought_and_what_it_must_be_about_is_shown(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("evidence:jws")) as place:
            believe(place.world)
            people, action = hold(place)
            client = await place.client()
            shown = await client.ask(wire.ShowApproval(approval=action), wire.ApprovalDetail)
            assert shown.subject == f"taskbound-approval:{shown.digest}"
            assert (shown.may_answer, shown.row.missing) == ((), "`evidence:jws` was not given")
            text = token(place.world, sub=shown.subject)
            prove = wire.ProveApproval(approval=shown.row.approval, token=text)
            said = await client.ask(prove, wire.ApprovalSaid)
            assert (said.action, said.state, said.missing) == (action, "approved", "")
            after = await client.ask(wire.ShowApproval(approval=action), wire.ApprovalDetail)
            assert [(one.kind, one.person) for one in after.answers] == [("evidence", "tickets")]
            assert code_of(place.world.ask(people.task)) == "permit"

    asyncio.run(story())


def test_only_the_account_that_owns_the_data_directory_says_who_approves_for_a_tool(tmp_path: Path) -> None:
    ask = tool.AnswerForTool(name="bank__pay", approvers=("ann",))

    async def story(owner: int) -> tuple[str, ...] | None:
        async with station(tmp_path, owner=owner) as place:
            client = await place.client()
            if owner == os.geteuid():
                await client.ask(ask, Done)
            else:
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == "not-self"
            rows = (await client.ask(tool.ListTools(), tool.ToolRows)).rows
            return next(one.approvers for one in rows if one.name == "bank__pay")

    assert asyncio.run(story(os.geteuid())) == ("ann",)
    (tmp_path / "s").unlink(missing_ok=True)
    assert asyncio.run(story(os.geteuid() + 1)) is None


def test_a_persons_look_is_kept_before_they_see_it_and_the_agents_own_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            people, action = hold(place)
            client = await place.client()
            for name in (action, people.approval(action).question.id):
                await client.ask(wire.ShowApproval(approval=name), wire.ApprovalDetail)
            (shown,) = place.world.events("approval-shown")
            assert (shown["person"], shown["approval"]) == ("ann", people.approval(action).question.id)
            other = id_of(place.world.ask(people.task, arguments={"to": "eve", "amount": 3}))
            gateway = await place.gateway()
            with pytest.raises(RefusedByDaemonError) as refused:
                await gateway.ask(wire.ShowApproval(approval=other), wire.ApprovalDetail)
            assert refused.value.fault.code == "operation-forbidden"
            inside = await place.client()
            found = await inside.ask(wire.ShowApproval(approval=other), wire.ApprovalDetail)
            assert found.row.action == other
            assert len(place.world.events("approval-shown")) == 1

    asyncio.run(story())


def test_how_much_was_asked_is_told_and_only_the_owner_of_the_data_directory_limits_it(
    tmp_path: Path,
) -> None:
    async def story(owner: int) -> None:
        async with station(tmp_path, owner=owner, policy=hold_policy("confirm")) as place:
            _, action = hold(place)
            client = await place.client()
            await client.ask(wire.ShowApproval(approval=action), wire.ApprovalDetail)
            found = await client.ask(wire.MeasureApprovals(hours=1), wire.ApprovalStats)
            assert [(one.agent, one.asked, one.states) for one in found.agents] == [
                ("coder", 1, {"pending": 1})
            ]
            assert [(one.person, one.shown, one.yes) for one in found.persons] == [("ann", 1, 0)]
            limit = wire.LimitApprovals(hourly=5)
            if owner == os.geteuid():
                limits = await client.ask(limit, wire.ApprovalLimits)
                assert (limits.open, limits.hourly, limits.speed) == (20, 5, 100)
                return
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(limit, wire.ApprovalLimits)
            assert refused.value.fault.code == "not-self"

    asyncio.run(story(os.geteuid()))
    (tmp_path / "s").unlink(missing_ok=True)
    asyncio.run(story(os.geteuid() + 1))


def test_a189_the_gateway_is_told_that_its_task_was_paused_since_it_asks_too_much(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=hold_policy("confirm")) as place:
            set_limits(place.world.adapters, "default", actor=ANN, owns=True, open=1)
            gateway = await place.gateway()
            codes = [(await gateway.ask(decide(one, amount=n), Refused)).code for n, one in enumerate("123")]
            assert codes[1:] == ["too-many-holds", "task-paused"]
            await gateway.ask(Ping(), Done)
            pushed = [one for one in place.pushes if isinstance(one, TaskPush)]
            assert [(one.state, "too much" in one.reason) for one in pushed] == [("paused", True)]

    asyncio.run(story())
