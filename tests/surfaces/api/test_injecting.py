"""Credentials that fill slots of servers: who may ask for which, and with what they end."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import structs

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.credential import LIVE, CredentialState
from taskbound.core.target import CredentialKind, PostgresKind
from taskbound.core.task import TaskEvent
from taskbound.core.tool import Effect
from taskbound.flows.identity import register_person
from taskbound.flows.identity.group import Groups
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server.peer import ancestry_of
from taskbound.wire import action
from taskbound.wire import target as broker
from taskbound.wire.approval import LeaveHold
from taskbound.wire.connection import Bind, Bound, Done, Fault
from taskbound.wire.egress import Holder, InjectCredential, SealedServer, ShowSealed
from taskbound.wire.tool import AddUpstream, ListTools, ToolRows, identity_of
from tests.peers.holding import Answerers, Holding
from tests.peers.openssh import Device
from tests.peers.people import enrolled
from tests.peers.targeting import ALICE, BOB, MAY_MINT, READER, WRITER, Targets, held_by_finance
from tests.sqlite import sqlite_store
from tests.stories.brokering import put_target
from tests.surfaces.api.test_credential import Askers, code
from tests.surfaces.api.test_operations import station
from tests.wiring.running import SPEC, TOOL
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.core.credential import Credential
    from taskbound.ports.action import StoredAction
    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

ASKER = Path(__file__).with_name("asker.py")
SOURCE = "credential:orders-db/reader?customer=42&seconds=60"
OTHER = "credential:orders-db/writer"
SLOTS = (f"environment:PGPASSWORD={SOURCE}#PGPASSWORD", f"environment:PGUSER={SOURCE}#PGUSER")
PINNED = structs.replace(SPEC, name="orders", slots=SLOTS)
DIGEST = identity_of(PINNED, namespace="default").digest
RENEWABLE = CredentialKind(
    name="reader",
    description="Reads the orders of one customer",
    seconds=600,
    effect=Effect.READ,
    grants=PostgresKind(group="order_readers", context=("customer",)),
    renewable=True,
)


class Place:
    """A server whose slots credentials fill, a gateway of a task in another process, and an egress."""

    def __init__(
        self, station: Station, askers: Askers, holder: Holder, targets: Targets, minter: AsyncClient
    ) -> None:
        self.station, self.askers, self.holder, self.targets = station, askers, holder, targets
        self.minter = minter
        self.egresses: list[AsyncClient] = []
        self.people: Holding | None = None
        self.world, self.task = station.world, targets.task
        self.asked = 0

    async def egress(self) -> AsyncClient:
        """A connection of the egress, which is lost before the daemon ends."""
        self.egresses.append(await self.station.client("egress"))
        return self.egresses[-1]

    async def lose(self, egress: AsyncClient) -> None:
        """The egress is gone, and what it had is over."""
        self.egresses.remove(egress)
        await self.station.lose(egress)
        for row in self.targets.rows():
            if row.acknowledged and row.state in LIVE and not self.egresses:
                await self.until_over(row.id)

    def ask(self, **changes: Any) -> InjectCredential:
        self.asked += 1
        plain: dict[str, Any] = {
            "server": "orders",
            "identity": DIGEST,
            "source": SOURCE,
            "task": self.task.id,
            "holder": self.holder,
            "request": f'"inject-{self.asked}"',
            "recipient": ALICE,
        }
        return InjectCredential(**plain | changes)

    async def code(self, egress: AsyncClient, **changes: Any) -> str:
        """With what it is refused."""
        found = await egress.ask_any(self.ask(**changes))
        assert isinstance(found, Fault | action.Refused), found
        return found.code

    async def permitted(self, egress: AsyncClient, **changes: Any) -> action.Permitted:
        found = await egress.ask_any(self.ask(**changes))
        assert isinstance(found, action.Permitted), found
        return found

    async def minted(self, egress: AsyncClient, sealed: str = "SEALED", **changes: Any) -> Credential:
        """A credential that the egress has, and said to have."""
        permitted = await self.permitted(egress, **changes)
        name = permitted.credential
        take = broker.TakeCredential(credential=name)
        taking = asyncio.ensure_future(egress.ask(take, broker.Handed))
        async with asyncio.timeout(10):
            while name not in self.station.daemon.credentials.waited_for("default"):
                assert not taking.done(), taking.exception()
                await self.round_trip()
        lease = broker.LeaseCredentials(credentials=(name,))
        (order,) = (await self.minter.ask(lease, broker.Orders)).orders
        await self.minter.ask(broker.TellMinted(credential=name, fence=order.fence, sealed=sealed), Done)
        assert (await taking).sealed == sealed
        have = broker.AcknowledgeCredential(credential=name, with_connection=True)
        await egress.ask(have, Done)
        return self.row(name)

    async def round_trip(self) -> None:
        """A question and its answer, by which the daemon has done what came before."""
        await self.minter.ask(broker.LeaseCredentials(credentials=()), broker.Orders)

    def row(self, name: str) -> Credential:
        with self.world.store.read() as snapshot:
            found = snapshot.credentials.credential("default", name)
        assert found is not None
        return found

    def action(self, name: str) -> StoredAction:
        with self.world.store.read() as snapshot:
            found = snapshot.actions.action("default", name)
        assert found is not None
        return found

    async def until_over(self, name: str) -> Credential:
        async with asyncio.timeout(10):
            while self.row(name).state in LIVE:
                await self.round_trip()
        return self.row(name)


@asynccontextmanager
async def placed(
    path: Path,
    *,
    policy: str = "",
    kinds: tuple[CredentialKind, ...] = (READER, WRITER),
    agents: tuple[str, ...] = (),
    held: bool = False,
    clock: Any = None,
    **more: Any,
) -> AsyncIterator[Place]:
    beside = None
    if clock is not None:
        beside = World(store=sqlite_store(), policy=base_bundle(), clock=clock)
        beside.settle_in(uid=os.geteuid())
    async with station(path, policy=policy, beside=beside) as there:
        put_target(there.world)
        people = people_of(there.world) if held else None
        targets = Targets(there.world, kinds=kinds, **more)
        person = await there.client("cli")
        raw = msgspec.Raw(msgspec.json.encode(TOOL))
        await person.ask(AddUpstream(spec=PINNED, definitions=(raw,), agents=agents), Done)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ASKER),
            str(there.path),
            "minter",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        askers = Askers(process)
        started = ancestry_of(process.pid)[0][1]
        try:
            assert isinstance(await askers.ask("a", Bind()), Bound)
            holder = Holder(uid=os.geteuid(), pid=process.pid, started=started)
            place = Place(there, askers, holder, targets, await there.client("broker"))
            place.people = people
            yield place
            for one in tuple(place.egresses):
                await place.lose(one)
        finally:
            await askers.close()


def test_it_is_an_action_of_the_gateways_task_with_the_parameters_that_are_pinned(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress = await at.egress()
            row = await at.minted(egress)
            assert (row.task, row.agent, row.recipient) == (at.task.id, "minter", ALICE)
            assert row.arguments == b'{"customer":"42","seconds":60}'
            at.targets.require_recorded()
            async with asyncio.timeout(10):
                while (kept := at.action(row.action)).state.value == "permitted":
                    await at.round_trip()  # what came of it is told beside
            assert (kept.tool, kept.state.value) == ("orders-db__credential/reader", "succeeded")
            assert at.world.events("action-decided")[-1]["proof"].startswith("peer-uid:")

    asyncio.run(story())


def test_only_the_egress_asks_for_it_and_what_it_asks_for_is_pinned_for_a_gateway_of_the_task(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            other = at.world.start(scope=MAY_MINT, agent="minter")
            for role in ("cli", "run", "broker"):
                client = await at.station.client(role)
                assert await at.code(client) == "unproven"
            for asked in (at.ask(), at.ask(recipient=BOB)):
                refused = await at.askers.ask("a", asked)
                assert refused.code == "unproven"
            egress = await at.egress()
            here = Holder(uid=os.geteuid(), pid=os.getpid(), started=1)
            reused = structs.replace(at.holder, started=at.holder.started + 1)
            wrong = {
                "unproven": (
                    {"holder": here},
                    {"holder": reused},
                    {"task": ""},
                    {"task": other.id},
                    {"task": "tsk_none"},
                ),
                "not-injected": (
                    {"identity": "0" * 64},
                    {"server": "bank"},
                    {"source": OTHER},
                    {"source": "credential:orders-db/reader?customer=7&seconds=60"},
                    {"source": "credential:orders-db/reader"},
                    {"source": f"{SOURCE}#PGUSER"},
                    {"source": ""},
                ),
                "unknown-server": ({"server": "echo"}, {"server": "orders-db"}, {"server": ""}),
            }
            for code, changes in wrong.items():
                for one in changes:
                    assert await at.code(egress, **one) == code, one
            assert at.world.events("action-decided") == []
            assert at.world.events("credential-journaled") == []

    asyncio.run(story())


def test_a_server_of_other_agents_is_filled_for_none_of_this_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path, agents=("coder",)) as at:
            assert await at.code(await at.egress()) == "unknown-server"

    asyncio.run(story())


def test_a_connection_of_the_egress_is_one_tasks_and_asks_for_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress = await at.egress()
            some = broker.EndCredential(credential="crd_1")
            for early in (some, LeaveHold(action="act_1"), broker.TakeCredential(credential="crd_1")):
                assert code(await egress.ask_any(early)) == "unproven"
            await at.permitted(egress)
            decide = action.Decide(tool="bank__look", arguments=msgspec.Raw(b"{}"), request="1")
            for never in (decide, Bind()):
                assert code(await egress.ask_any(never)) == "unproven"
            at.world.tasks.end("default", at.task.id, TaskEvent.COMPLETE, ANN, reason="done")
            other = at.world.start(scope=MAY_MINT, agent="minter")
            assert isinstance(await at.askers.ask("b", Bind()), Bound)
            assert await at.code(egress, task=other.id) == "other-seat"
            permitted = await at.permitted(await at.egress(), task=other.id)
            assert permitted.task == other.id

    asyncio.run(story())


def test_no_gateway_takes_acknowledges_or_ends_by_its_connection_what_the_egress_was_permitted(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress, second = await at.egress(), await at.egress()
            permitted = await at.permitted(egress)
            take = broker.TakeCredential(credential=permitted.credential)
            have = broker.AcknowledgeCredential(credential=permitted.credential)
            for ask in (take, have):
                assert (await at.askers.ask("a", ask)).code == "not-asker"
            await at.permitted(second)
            for ask in (take, have):
                assert code(await second.ask_any(ask)) == "not-asker"

    asyncio.run(story())


def test_what_the_scope_does_not_grant_is_refused_with_a_record_and_nothing_is_minted(tmp_path: Path) -> None:
    async def story() -> None:
        scope = {"grants": [{"tool": "bank__look", "others": "any"}]}
        async with placed(tmp_path, scope=scope) as at:
            found = await (await at.egress()).ask_any(at.ask())
            assert isinstance(found, action.Refused)
            assert "orders-db__credential/reader" in found.reasons[0].text + found.instead
            (left,) = at.world.events("action-decided")
            assert (left["tool"], left["decision"]) == ("orders-db__credential/reader", "refuse")
            assert at.world.events("credential-journaled") == []

    asyncio.run(story())


def test_a_limit_counts_what_is_injected_as_it_counts_calls(tmp_path: Path) -> None:
    async def story() -> None:
        scope = {"grants": [{"tool": "orders-db__credential/reader", "others": "any", "uses": 1}]}
        async with placed(tmp_path, scope=scope) as at:
            egress = await at.egress()
            await at.permitted(egress)
            assert await at.code(egress) == "exhausted"

    asyncio.run(story())


def people_of(world: World) -> Holding:
    """Bob of finance, whose key counts."""
    people = object.__new__(Holding)
    Answerers.__init__(people, world)
    people.groups = Groups(world.adapters)
    people.groups.add("default", "finance", ANN, owns=True)
    register_person(world.adapters, "default", "bob", uid=os.geteuid() + 1001, actor=ANN)
    people.groups.set_member("default", "finance", "bob", member=True, actor=ANN, owns=True)
    device = Device()
    people.devices["bob"] = (enrolled(world, "bob", device, voucher=people.devices["ann"]), device)
    world.clock.advance(25 * 3600)
    return people


def test_people_are_asked_where_policy_holds_it_and_the_question_goes_with_its_connection(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with placed(tmp_path, policy=held_by_finance(base_bundle()), held=True) as at:
            egress, other = await at.egress(), await at.egress()
            found = [await one.ask_any(at.ask(wait=40)) for one in (egress, egress, other)]
            held = [one for one in found if isinstance(one, action.Refused) and one.code == "held"]
            assert len(held) == len(found)
            assert at.world.events("credential-journaled") == []
            assert at.people is not None
            at.people.task = at.task
            at.people.say(held[0].action, "bob")
            permitted = await at.permitted(egress, wait=40, resume=held[0].action)
            assert permitted.action == held[0].action
            before = len(at.world.events("approval-changed"))
            await at.lose(other)
            async with asyncio.timeout(10):
                while len(at.world.events("approval-changed")) == before:
                    await at.round_trip()

    asyncio.run(story())


def test_k10_with_its_connection_it_ends_at_once_and_never_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress = await at.egress()
            row = await at.minted(egress)
            permitted = await at.permitted(egress)
            await at.lose(egress)
            over = await at.until_over(row.id)
            assert (over.state, over.why) == (
                CredentialState.REVOKING,
                "the connection that it was to end with is lost",
            )
            async with asyncio.timeout(10):
                told: list[str] = []
                while told != ["unknown"]:
                    told = [
                        one["after"]
                        for one in at.world.events("action-outcome")
                        if one["action"] == permitted.action
                    ]
                    await at.round_trip()

    asyncio.run(story())


def test_its_task_s_pause_ends_it_is_said_to_the_egress_and_asking_again_is_another_action(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress = await at.egress()
            row = await at.minted(egress)
            at.station.pushes.clear()
            changes = at.world.tasks.pause("default", at.task.id, ANN, reason="test")
            at.station.daemon.tell_ended(changes)
            assert at.row(row.id).state is CredentialState.REVOKING
            show = ShowSealed(server="orders", holder=at.holder, credentials=(row.id, "crd_none"))
            with pytest.raises(RefusedByDaemonError, match="paused"):
                await egress.ask(show, SealedServer)
            assert await at.code(egress) == "task-paused"
            at.world.tasks.resume("default", at.task.id, ANN)
            assert (await egress.ask(show, SealedServer)).ended == (row.id, "crd_none")
            second = await at.minted(egress)
            assert second.action != row.action
            assert (
                await egress.ask(structs.replace(show, credentials=(second.id,)), SealedServer)
            ).ended == ()

    asyncio.run(story())


def test_a_longer_life_is_asked_for_where_its_kind_has_one_and_leaves_no_refusal_where_not(
    tmp_path: Path,
) -> None:
    async def story(kinds: tuple[CredentialKind, ...]) -> str:
        async with placed(tmp_path, kinds=kinds) as at:
            egress = await at.egress()
            await at.minted(egress)
            before = len(at.world.events("action-decided"))
            found = await egress.ask_any(at.ask(renews=f"crd_{'z' * 35}", recipient=""))
            if isinstance(found, Fault):
                assert len(at.world.events("action-decided")) == before
                return f"unasked: {found.code}"
            assert isinstance(found, action.Refused)
            assert len(at.world.events("action-decided")) == before + 1
            return found.code

    assert asyncio.run(story((READER, WRITER))) == "unasked: not-renewable"
    (tmp_path / "s").unlink(missing_ok=True)
    assert asyncio.run(story((RENEWABLE, WRITER))) == "not-renewable"


def test_what_people_made_shorter_is_asked_for_and_nothing_else_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            egress = await at.egress()
            permitted = await at.permitted(egress, seconds=7)
            assert at.row(permitted.credential).arguments == b'{"customer":"42","seconds":7}'

    asyncio.run(story())


def test_an_agent_is_offered_nothing_of_the_slots(tmp_path: Path) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            person = await at.station.client("cli")
            rows = (await person.ask(ListTools(server="orders"), ToolRows)).rows
            assert [one.name for one in rows] == ["orders__say"]

    asyncio.run(story())
