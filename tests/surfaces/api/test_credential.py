from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.credential import CredentialState
from taskbound.core.policy.operation import Right
from taskbound.core.task import TaskEvent
from taskbound.flows.credential.leasing import lease
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.background.credential_rounds import CredentialRounds
from taskbound.surfaces.api.server.table import OPERATIONS
from taskbound.wire import action
from taskbound.wire import target as broker
from taskbound.wire.connection import Done, Fault, Status, StatusReport
from taskbound.wire.envelope import Answer
from taskbound.wire.task import ShowTask, TaskDetail
from tests.peers.targeting import ALICE, Targets
from tests.stories.brokering import TARGET, put, put_target, row_of
from tests.surfaces.api.test_operations import ASKS, decide, example, station
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.core.credential import Credential
    from taskbound.sdk.client import AsyncClient
    from taskbound.wire.envelope import Ask
    from tests.surfaces.api.test_operations import Station

ASKER = Path(__file__).with_name("asker.py")
BROKERS = [one for one in ASKS if OPERATIONS[one].right is Right.BROKER]
_said = msgspec.json.Decoder(tuple[int, Answer | None])


class Askers:
    """Gateways in a process of their own, so that this one stands beneath none."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            number, answer = _said.decode(line)
            self._waiting.pop(number).set_result(answer)

    def ask(self, name: str, ask: Ask | None) -> asyncio.Future[Any]:
        """The answer to this gateway's question, later."""
        assert self._process.stdin is not None
        number = len(self._waiting) + id(ask) % 10**9
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(msgspec.json.encode([number, name, ask]) + b"\n")
        return self._waiting[number]

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading


class Scene:
    """A daemon with a target, gateways in another process, and a broker that a test plays."""

    def __init__(self, place: Station, askers: Askers, client: AsyncClient) -> None:
        self.place, self.askers, self.broker = place, askers, client
        self.world, self.daemon = place.world, place.daemon
        self.rounds = CredentialRounds(place.daemon)

    async def permitted(self, letter: str, who: str = "a") -> Credential:
        """A credential whose action was permitted to this gateway."""
        found = await self.askers.ask(who, decide(letter, amount=len(letter)))
        assert isinstance(found, action.Permitted)
        with self.world.store.read() as seen:
            kept = seen.actions.action("default", found.action)
        assert kept is not None
        return put(self.world, letter, task=found.task, agent="coder", action=found.action)

    async def waiting(self, row: Credential, who: str = "a") -> asyncio.Future[Any]:
        """A question for its secret, once the daemon has it."""
        taken = self.askers.ask(who, broker.TakeCredential(credential=row.id))
        async with asyncio.timeout(30):
            while row.id not in self.daemon.credentials.waited_for("default"):
                await self.round_trip()
        return taken

    async def round_trip(self) -> None:
        """A question and its answer, by which the daemon has read what came before."""
        await self.broker.ask(broker.LeaseCredentials(credentials=()), broker.Orders)

    async def lease(self, row: Credential) -> broker.Order:
        orders = await self.broker.ask(broker.LeaseCredentials(credentials=(row.id,)), broker.Orders)
        (order,) = orders.orders
        return order

    async def mint(self, row: Credential, sealed: str) -> None:
        order = await self.lease(row)
        assert order.step == "mint"
        tell = broker.TellMinted(credential=row.id, fence=order.fence, sealed=sealed)
        await self.broker.ask(tell, Done)

    async def outcome(self, row: Credential) -> tuple[str, bytes]:
        """What is recorded of its action, once something is."""
        async with asyncio.timeout(30):
            while True:
                with self.world.store.read() as seen:
                    kept = seen.actions.action("default", row.action)
                assert kept is not None
                if kept.finished is not None:
                    return kept.state.value, kept.answer or b""
                await self.round_trip()


@asynccontextmanager
async def scene(path: Path, *, agent: str = "coder") -> AsyncIterator[Scene]:
    async with station(path) as place:
        put_target(place.world)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ASKER),
            str(place.path),
            agent,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        askers = Askers(process)
        try:
            yield Scene(place, askers, await place.client("broker"))
        finally:
            await askers.close()


def code(answer: Answer) -> str:
    return answer.code if isinstance(answer, Fault) else ""


def test_a_credential_goes_from_its_permit_to_whoever_asked_and_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row, other = await at.permitted("a"), await at.permitted("b", "b")
            none = await at.broker.ask(broker.LeaseCredentials(credentials=(row.id,)), broker.Orders)
            assert none.orders == ()
            at.place.pushes.clear()
            taken, others = await at.waiting(row), await at.waiting(other, "b")
            assert set(at.place.pushes) == {broker.DuePush(target=TARGET)}
            await at.mint(row, "SEALED-FOR-A")
            assert (await taken).sealed == "SEALED-FOR-A"
            assert not others.done()
            again = broker.TakeCredential(credential=row.id)
            assert code(await at.askers.ask("b", again)) == "not-asker"
            assert code(await at.askers.ask("a", again)) == "hand-out-over"
            have = broker.AcknowledgeCredential(credential=row.id)
            assert code(await at.askers.ask("b", have)) == "not-asker"
            assert await at.askers.ask("a", have) == Done()
            assert await at.askers.ask("a", have) == Done()
            told = b'{"credential":"%s","ends":%d}' % (row.id.encode(), row.ends)
            assert await at.outcome(row) == ("succeeded", told)
            at.place.pushes.clear()
            ended = await at.askers.ask("a", broker.EndCredential(credential=row.id))
            assert (ended.id, ended.state, ended.why) == (row.id, "revoking", "its task needs it no more")
            order = await at.lease(row)
            assert (order.step, at.place.pushes) == ("revoke", [broker.DuePush(target=TARGET)])
            await at.broker.ask(broker.TellGone(credential=row.id, fence=order.fence, cut=1), Done)
            person = await at.place.client()
            shown = await person.ask(broker.ShowCredential(credential=row.id), broker.CredentialRow)
            assert (shown.state, shown.acknowledged, shown.name[:3]) == ("revoked", True, "tb_")
            at.place.pushes.clear()
            again = await at.askers.ask("a", broker.EndCredential(credential=row.id))
            assert (again.state, at.place.pushes) == ("revoked", [])
            detail = await person.ask(ShowTask(task=row.task), TaskDetail)
            assert ([one.id for one in detail.credentials], detail.credential_count) == (
                [other.id, row.id],
                2,
            )

    asyncio.run(story())


def test_what_is_asked_for_by_its_tool_is_minted_for_whoever_asked_and_gone_with_its_task(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with scene(tmp_path, agent="minter") as at:
            there = Targets(at.world)

            async def asked(number: str) -> str:
                ask = action.Decide(
                    tool="orders-db__credential/reader",
                    arguments=msgspec.Raw(b'{"customer":"42"}'),
                    request=number,
                    recipient=ALICE,
                )
                found = await at.askers.ask("a", ask)
                assert isinstance(found, action.Permitted)
                return found.credential

            name, unwanted = await asked("1"), await asked("2")
            row = row_of(at.world, name)
            taken = await at.waiting(row)
            await at.mint(row, "SEALED")
            assert (await taken) == broker.Handed(credential=name, sealed="SEALED", ends=row.ends)
            assert await at.askers.ask("a", broker.AcknowledgeCredential(credential=name)) == Done()
            assert (await at.outcome(row))[0] == "succeeded"
            at.world.clock.advance(10)
            await at.rounds.go()
            assert (await at.outcome(row_of(at.world, unwanted)))[0] == "not-sent"
            moved = await at.daemon.first(
                lambda: at.daemon.tasks.end("default", there.task.id, TaskEvent.COMPLETE, ANN, reason="done")
            )
            at.daemon.tell_ended(moved)
            for one in (name, unwanted):
                order = await at.lease(row_of(at.world, one))
                assert order.step == "revoke"
                await at.broker.ask(broker.TellGone(credential=one, fence=order.fence), Done)
                assert row_of(at.world, one).state is CredentialState.REVOKED

    asyncio.run(story())


def test_law_7_whoever_waits_hears_how_it_ended_and_the_action_has_its_outcome(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            failed, nobody, ended = [await at.permitted(one) for one in "abc"]
            taken = await at.waiting(failed)
            order = await at.lease(failed)
            tell = broker.TellFailed(
                credential=failed.id, fence=order.fence, code="target-unavailable", trouble="no answer"
            )
            await at.broker.ask(tell, Done)
            assert "no answer" in (await taken).message
            assert (code(await taken), (await at.outcome(failed))[0]) == ("mint-failed", "failed")

            taken = await at.waiting(nobody)
            at.world.clock.advance(10)
            await at.rounds.go()
            assert (code(await taken), (await at.outcome(nobody))[0]) == ("nobody-minted", "not-sent")

            asked = broker.TakeCredential(credential=ended.id)
            assert code(await at.askers.ask("a", asked)) == "nobody-minted"
            assert (await at.outcome(ended))[0] == "not-sent"

    asyncio.run(story())


def test_i12_the_end_of_a_task_is_heard_by_whoever_waits_and_the_broker_is_woken(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row = await at.permitted("a")
            taken = await at.waiting(row)
            order = await at.lease(row)
            at.place.pushes.clear()
            moved = await at.daemon.first(
                lambda: at.daemon.tasks.end("default", row.task, TaskEvent.REVOKE, ANN, reason="no")
            )
            at.daemon.tell_ended(moved)
            assert code(await taken) == "credential-ended"
            assert broker.DuePush(target=TARGET) in at.place.pushes
            late = broker.TellMinted(credential=row.id, fence=order.fence, sealed="LATE")
            with pytest.raises(RefusedByDaemonError) as refused:
                await at.broker.ask(late, Done)
            assert refused.value.fault.code == "lease-lost"
            assert (await at.lease(row)).step == "revoke"

    asyncio.run(story())


def test_what_was_sealed_waits_for_its_connection_alone_and_goes_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row, lost = await at.permitted("a"), await at.permitted("b")
            taken, gone = await at.waiting(row), await at.waiting(lost)
            order, other = await at.lease(row), await at.lease(lost)
            at.daemon.credentials.wait = 0.0
            asked = broker.TakeCredential(credential=row.id)
            assert code(await at.askers.ask("a", asked)) == "asker-gone"
            revoke = broker.RevokeCredentials(credential=lost.id)
            person = await at.place.client()
            await person.ask(revoke, broker.RevokingCredentials)
            assert code(await gone) == "credential-ended"
            del taken, other
            await at.askers.ask("a", None)
            async with asyncio.timeout(30):
                while at.daemon.credentials.waited_for("default"):
                    await at.round_trip()
            tell = broker.TellMinted(credential=row.id, fence=order.fence, sealed="SEALED")
            await at.broker.ask(tell, Done)
            assert "SEALED" not in repr(at.daemon.credentials.__dict__)
            assert not at.daemon.credentials.holds(row)
            at.world.clock.advance(10)
            await at.rounds.go()
            assert row_of(at.world, row).why == "its secret was not acknowledged"

    asyncio.run(story())


def test_k10_what_is_to_end_with_its_connection_is_ended_once_that_is_given_up_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            bound, lasting = await at.permitted("a"), await at.permitted("b")
            for row in (bound, lasting):
                taken = await at.waiting(row)
                await at.mint(row, "SEALED")
                await taken
                have = broker.AcknowledgeCredential(credential=row.id, with_connection=row is bound)
                assert await at.askers.ask("a", have) == Done()
            await at.askers.ask("a", None)
            async with asyncio.timeout(30):
                while at.daemon.connections.gateways():
                    await at.round_trip()
            (lost,) = at.daemon.connections.gateways(lost=True)
            await at.rounds.go()
            assert row_of(at.world, bound).state is CredentialState.ACTIVE
            at.place.pushes.clear()
            at.daemon.give_up(lost)
            async with asyncio.timeout(30):
                while broker.DuePush(target=TARGET) not in at.place.pushes:
                    await at.round_trip()
            found = row_of(at.world, bound)
            assert (found.state, found.why) == (
                CredentialState.REVOKING,
                "the connection that it was to end with is lost",
            )
            assert row_of(at.world, lasting).state is CredentialState.ACTIVE

    asyncio.run(story())


def test_what_is_minted_after_a_question_was_over_is_kept_for_the_next_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row = await at.permitted("a")
            asked = broker.TakeCredential(credential=row.id)
            (leased,) = lease(at.world.adapters, "default", [row.id], {row.id})
            at.daemon.credentials.wait = 0.0
            assert code(await at.askers.ask("a", asked)) == "still-minting"
            await at.broker.ask(
                broker.TellMinted(credential=row.id, fence=leased.credential.lease.fence, sealed="SEALED"),
                Done,
            )
            assert at.daemon.credentials.holds(row)
            assert (await at.askers.ask("a", asked)).sealed == "SEALED"
            assert not at.daemon.credentials.holds(row)
            assert code(await at.askers.ask("a", asked)) == "hand-out-over"

    asyncio.run(story())


# --- who may ask ---


@pytest.mark.parametrize("kind", BROKERS, ids=[OPERATIONS[one].name for one in BROKERS])
def test_i27_a_brokers_operation_refuses_every_other_connection(kind: type[Any], tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for role, more in (("cli", {}), ("run", {}), ("egress", {}), ("gateway", {"agent": "coder"})):
                client = await place.client(role, **more)
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(example(kind), Done)
                assert refused.value.fault.code == "unproven"

    asyncio.run(story())


def test_no_process_beneath_a_gateway_is_the_broker_and_none_of_another_account(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client("broker")
            await place.gateway()
            ask = broker.LeaseCredentials(credentials=())
            for again in (client.ask(ask, broker.Orders), place.client("broker")):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await again
                assert refused.value.fault.code == "not-outside"

    async def other() -> None:
        async with station(tmp_path) as place:
            place.daemon.broker_uid = os.geteuid() + 1
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client("broker")
            assert refused.value.fault.code == "unproven"

    asyncio.run(story())
    asyncio.run(other())


def test_the_broker_hears_of_every_target_when_it_comes_and_of_a_sweep_that_a_person_wants(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            put_target(place.world)
            put_target(place.world, "other-db")
            person = await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await person.ask(broker.SweepTargets(), Done)
            assert refused.value.fault.code == "no-broker"
            client = await place.client("broker")
            await client.ask(broker.LeaseCredentials(credentials=()), broker.Orders)
            async with asyncio.timeout(30):
                while len(place.pushes) < 2:
                    await client.ask(broker.LeaseCredentials(credentials=()), broker.Orders)
            assert place.pushes == [broker.DuePush(target=one) for one in (TARGET, "other-db")]
            place.pushes.clear()
            await person.ask(broker.SweepTargets(target="other-db"), Done)
            await client.ask(broker.LeaseCredentials(credentials=()), broker.Orders)
            assert place.pushes == [broker.DuePush(target="other-db", sweep=True)]
            with pytest.raises(RefusedByDaemonError) as refused:
                await person.ask(broker.SweepTargets(target="none"), Done)
            assert refused.value.fault.code == "bad-filter"
            swept = broker.TellSwept(target=TARGET, identity="1" * 64, names=("postgres",), begun=1)
            assert (await client.ask(swept, broker.Swept)).revoked == ()
            assert place.daemon.credentials.swept("default", TARGET) is not None

    asyncio.run(story())


def test_credentials_are_listed_by_what_they_are_looked_for_and_page_by_page(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            put_target(place.world)
            task = place.world.start()
            old = place.world.clock.now()
            rows = [put(place.world, one, task=task.id) for one in "abc"]
            late = put(
                place.world, "d", state=CredentialState.REVOKING, ended=old, task="", agent="", kind=""
            )
            place.world.clock.advance(61)
            person = await place.client()

            async def ids(**what: Any) -> tuple[list[str], bool]:
                found = await person.ask(broker.ListCredentials(**what), broker.CredentialRows)
                return [one.id[4] for one in found.rows], found.more

            assert await ids() == (["d", "c", "b", "a"], False)
            assert await ids(limit=2) == (["d", "c"], True)
            assert await ids(limit=2, before=rows[2].id) == (["b", "a"], False)
            assert await ids(task=task.id, states=("journaled",)) == (["c", "b", "a"], False)
            assert await ids(overdue=True) == (["d"], False)
            put(place.world, "e", state=CredentialState.REVOKED, target="gone-db", task="", agent="")
            assert await ids(target="gone-db") == (["e"], False), "it was taken away, and is remembered"
            assert await ids(overdue=True, target="gone-db") == ([], False)
            shown = await person.ask(broker.ShowCredential(credential=late.id), broker.CredentialRow)
            assert (shown.overdue, shown.age >= 61, bytes(shown.arguments)) == (True, True, b"{}")
            status = await person.ask(Status(), StatusReport)
            assert (status.living_credentials, status.revoking_credentials) == (3, 1)
            assert (status.overdue_credentials, status.oldest_revocation >= 61, status.brokers) == (
                1,
                True,
                0,
            )
            for ask, expected in (
                (broker.ListCredentials(states=("gone",)), "bad-filter"),
                (broker.ListCredentials(task="tsk_none"), "no-task"),
                (broker.ListCredentials(agent="none"), "unknown-identity"),
                (broker.ListCredentials(before="crd_none"), "unknown-credential"),
                (broker.ShowCredential(credential="crd_none"), "unknown-credential"),
                (broker.RevokeCredentials(), "bad-selection"),
                (broker.ListCredentials(target="orders-bd"), "target-unknown"),
                (broker.ListCredentials(target="orders-bd", overdue=True), "target-unknown"),
                (broker.RevokeCredentials(target="orders-bd"), "target-unknown"),
                (broker.RevokeCredentials(task="tsk_none"), "no-task"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await person.ask(ask, Done)
                assert refused.value.fault.code == expected

    asyncio.run(story())
