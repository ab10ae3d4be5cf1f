from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import Statement
from taskbound.core.decision import Allowance
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.operation import OperationForbiddenError, Right
from taskbound.core.policy.operations import OPERATIONS as NAMED
from taskbound.flows.policy import examine, examine_kept
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.auth.authority import FRESH
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.surfaces.api.server.table import OPERATIONS
from taskbound.wire import identity, policy, task
from taskbound.wire.action import Permitted
from taskbound.wire.connection import (
    BackUpStore,
    BeginInit,
    Done,
    EndDaemon,
    Fault,
    ForgetOriginals,
    ReconcileStore,
    RestoreStore,
    StartDaemon,
    UndoInit,
    UpgradeStore,
)
from taskbound.wire.egress import Holder, TellToken
from taskbound.wire.token import RevokeTokenKey, RotateTokenKeys, Stop
from taskbound.wire.workload import RenewAgentKey
from tests.stories.test_bundles import damage
from tests.surfaces.api.test_operations import ASKS, decide, example, station
from tests.surfaces.api.visitor import asked, statement_of
from tests.world import ANN

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.sdk.client import AsyncClient
    from tests.surfaces.api.test_operations import Station

ROLES = {
    Right.GATEWAY: "gateway",
    Right.LOOKER: "gateway",
    Right.EGRESS: "egress",
    Right.BROKER: "broker",
    Right.SERVICE: "network",
}
KINDS = {
    "gateway": PrincipalKind.AGENT,
    "egress": PrincipalKind.SERVICE,
    "broker": PrincipalKind.SERVICE,
    "cli": PrincipalKind.PERSON,
    "network": PrincipalKind.SERVICE,
}


SERVICE = Right.SERVICE
"""Whose operations nobody asks for over the socket (`test_service_seats`)."""


def forbid(operation: str) -> str:
    return (
        f'{base_bundle()}@id("house:no") @reason("Not in this house.")'
        f' forbid (principal, action == Taskbound::Action::"{operation}", resource);'
    )


def message(kind: type[Any]) -> Any:
    made = example(kind)
    if "holder" in kind.__struct_fields__:
        made = msgspec.structs.replace(made, holder=Holder(uid=1, pid=1, started=1))
    return msgspec.structs.replace(made, state="asked") if kind is TellToken else made


async def client_for(place: Station, right: Right) -> AsyncClient:
    role = ROLES.get(right, "cli")
    return await (place.gateway() if role == "gateway" else place.client(role))


def bare(kind: type[Any]) -> str:
    return OPERATIONS[kind].name.removeprefix("api:")


def test_every_operation_of_the_table_is_known_to_policies_and_no_other_is() -> None:
    assert {one.name.removeprefix("api:") for one in OPERATIONS.values()} == set(NAMED)
    for one in OPERATIONS.values():
        assert one.policy.right is one.right, one.name


@pytest.mark.parametrize("kind", ASKS, ids=bare)
def test_what_policies_are_told_of_an_operation_stands_in_its_message(kind: type[Any]) -> None:
    operation = OPERATIONS[kind].policy
    for path in (operation.member, *operation.told.values()):
        holder: Any = kind
        for name in path.split(".") if path else ():
            holder = Statement if holder is str else holder  # what was signed is told from it
            hints = get_type_hints(holder, vars(__import__(holder.__module__, fromlist=["x"])))
            assert name in hints, f"{operation.name} has no member {path}"
            holder = hints[name]


@pytest.mark.parametrize("kind", ASKS, ids=bare)
def test_nothing_secret_of_a_message_is_told(kind: type[Any]) -> None:
    secret = {"token", "tokens", "sealed", "signature", "code", "bearer", "keys", "public", "arguments"}
    assert secret.isdisjoint(OPERATIONS[kind].policy.told.values())


@pytest.mark.parametrize(
    "kind", [one for one in ASKS if OPERATIONS[one].right is not Right.SERVICE], ids=bare
)
def test_i27_a_forbid_of_any_operation_takes_effect_over_the_socket(kind: type[Any], tmp_path: Path) -> None:
    async def story() -> None:
        operation = OPERATIONS[kind]
        async with station(tmp_path, policy=forbid(bare(kind)), owner=os.geteuid() + 1) as place:
            place.daemon.egress_uid = place.daemon.broker_uid = os.geteuid()
            client = await client_for(place, operation.right)
            before = len(place.world.records())
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(message(kind), Done)
            fault = refused.value.fault
            assert (fault.code, fault.where) == ("operation-forbidden", "house:no")
            assert "Not in this house." in fault.message
            told = place.world.events("operation-refused")
            assert [one["operation"] for one in told] == [bare(kind)] * operation.policy.changes
            assert len(place.world.records()) == before + len(told)

    asyncio.run(story())


def test_the_base_lets_each_principal_ask_for_what_the_table_of_rights_says(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for kind in ASKS:
                operation = OPERATIONS[kind]
                role = ROLES.get(operation.right, "cli")
                principal = principal_of(KINDS[role])
                await place.daemon.authority.authorize(principal, bare(kind), example(kind))

    asyncio.run(story())


def test_a_gateway_may_ask_for_no_persons_operation_and_reads_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for kind in ASKS:
                operation = OPERATIONS[kind]
                if operation.right in {Right.ANYONE, Right.GATEWAY, Right.LOOKER}:
                    continue
                with pytest.raises(OperationForbiddenError) as refused:
                    await place.daemon.authority.authorize(
                        principal_of(PrincipalKind.AGENT), bare(kind), example(kind)
                    )
                assert "not-permitted" in refused.value.message

    asyncio.run(story())


def principal_of(kind: PrincipalKind, name: str = "ann") -> Principal:
    proof = PeerProof(uid=os.geteuid(), pid=os.getpid(), started=1)
    return Principal(kind=kind, namespace="default", name=name, proof=proof)


DEPLOY = """
@id("duty:oncall")
@reason("Who is on call starts what deploys.")
forbid (principal, action == Taskbound::Action::"task:start", resource == Taskbound::Agent::"default/coder")
unless { principal in Taskbound::Group::"default/oncall" };
"""


def start(agent: str = "coder") -> task.StartTask:
    scope = msgspec.Raw(b'{"grants":[{"tool":"bank__look","others":"any"}]}')
    return task.StartTask(agent=agent, purpose="see", seconds=60, scope=scope)


def test_only_a_group_starts_tasks_of_an_agent_and_from_the_moment_of_its_members_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + DEPLOY) as place:
            client = await place.client()
            await client.ask(identity.AddGroup(name="oncall"), Done)
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(start(), task.TaskDetail)
            assert "Who is on call starts what deploys." in refused.value.fault.message
            (told,) = place.world.events("operation-refused")
            assert (told["about"], told["by"], told["policies"]) == (
                "Agent coder",
                "Person ann",
                ["duty:oncall"],
            )
            await client.ask(identity.SetMember(group="oncall", person="ann", member=True), Done)
            made = await client.ask(start(), task.TaskDetail)
            assert made.row.requester == "ann"
            await client.ask(identity.SetMember(group="oncall", person="ann", member=False), Done)
            with pytest.raises(RefusedByDaemonError):
                await client.ask(start(), task.TaskDetail)

    asyncio.run(story())


def test_what_is_known_of_a_task_decides_who_ends_it(tmp_path: Path) -> None:
    rule = (
        '@id("house:not-mine") forbid (principal, action == Taskbound::Action::"task:end",'
        ' resource in Taskbound::Agent::"default/coder")'
        ' when { context.requester == principal && context.owner == principal && context.how == "failed" };'
    )

    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + rule) as place:
            client = await place.client()
            with place.world.store.read() as snapshot:
                (running,) = snapshot.tasks.tasks("default")
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(task.EndTask(task=running.id, how="failed"), Done)
            assert refused.value.fault.where == "house:not-mine"
            await client.ask(task.EndTask(task=running.id), Done)

    asyncio.run(story())


def test_an_operation_that_waited_is_authorized_by_what_is_in_force_when_it_takes_effect(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            first = place.daemon.authority.authorize

            async def late(principal: Principal, operation: str, message: object) -> None:
                await first(principal, operation, message)
                put_in_force(place, NO_START)

            place.daemon.authority.authorize = late  # type: ignore[method-assign]  # in between
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(start(), task.TaskDetail)
            fault = refused.value.fault
            assert (fault.code, fault.where) == ("operation-forbidden", "house:no")
            assert len(place.world.events("operation-refused")) == 1
            assert len(place.world.events("task-started")) == 1  # that of the world

    asyncio.run(story())


@pytest.mark.parametrize("of", ["task:start", "task:end"])
def test_what_another_daemon_puts_in_force_right_before_an_operation_is_written_holds_for_it(
    of: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, other = await place.client(), place.world.beside()
            begin = place.daemon.tasks.start

            def late(*args: Any) -> Any:
                text = NO_START.replace("task:start", of)
                seen = examine(other.adapters, "default", {"house.cedar": text}, {})
                other.bundles.propose("default", seen, "", ANN)
                other.bundles.activate("default", examine_kept(other.adapters, "default", seen.digest), ANN)
                return begin(*args)

            place.daemon.tasks.start = late  # type: ignore[method-assign,assignment]  # after the rules were asked
            before = len(place.world.events("task-started"))
            if of == "task:start":
                assert await code(client, start()) == "operation-forbidden"
                assert len(place.world.events("operation-refused")) == 1
                assert len(place.world.events("task-started")) == before
            else:
                await client.ask(start(), task.TaskDetail)
                assert len(place.world.events("task-started")) == before + 1

    asyncio.run(story())


NO_START = '@id("house:no") forbid (principal, action == Taskbound::Action::"task:start", resource);'


def put_in_force(place: Station, text: str) -> None:
    bundles, adapters = place.daemon.bundles, place.daemon.adapters
    seen = examine(adapters, "default", {"house.cedar": text}, {})
    bundles.propose("default", seen, "", ANN)
    bundles.activate("default", examine_kept(adapters, "default", seen.digest), ANN)


EVERYTHING = '@id("house:nothing") forbid (principal, action in Taskbound::Action::"operation", resource);'
ERRING = (
    '@id("house:wrong") forbid (principal, action in Taskbound::Action::"operation", resource)'
    " when { context.seconds > 5 };"
)


@pytest.mark.parametrize("text", [EVERYTHING, ERRING], ids=["forbids", "errs"])
def test_whatever_a_bundle_says_the_owner_of_the_data_directory_goes_back_and_stops_and_nobody_else(
    text: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + text) as place:
            client = await place.client()
            assert await code(client, Stop(stopped=True, reason="now")) == ""
            assert await code(client, Stop(stopped=False)) == "operation-forbidden"
            assert await code(client, policy.RollBackBundle()) == "not-in-force-before"  # the flow's own word
            assert await code(client, policy.ListBundles()) == "operation-forbidden"
            place.daemon.owner_uid = os.geteuid() + 1
            assert await code(client, Stop(stopped=True)) == "operation-forbidden"
            assert await code(client, policy.RollBackBundle()) == "operation-forbidden"

    asyncio.run(story())


async def code(client: AsyncClient, ask: Any) -> str:
    """The code of the fault that it is answered with; empty when there is none."""
    answer = await client.ask_any(ask)
    return answer.code if isinstance(answer, Fault) else ""


def test_a_bundle_that_is_damaged_lets_nothing_begin_and_lets_all_be_read_and_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            put_in_force(place, NO_START.replace("task:start", "task:step"))
            with place.world.store.read() as snapshot:
                force = snapshot.policy.in_force("default")
                (running,) = snapshot.tasks.tasks("default")
            place.daemon.adapters.policy._sure.clear()  # noqa: SLF001 - as after a start
            place.daemon.adapters.policy._whole.clear()  # noqa: SLF001 - as after a start
            damage(place.world, force.digest, archive=b"{}")
            client = await place.client()
            assert await code(client, start()) == "operation-forbidden"
            assert await code(client, task.ListTasks()) == ""
            assert await code(client, task.EndTask(task=running.id)) == ""
            assert await code(client, policy.RollBackBundle()) == ""
            assert await code(client, start()) == ""

    asyncio.run(story())


def test_refusals_of_a_person_are_recorded_one_by_one_up_to_their_quota_and_counted_then(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + NO_START) as place:
            client = await place.client()
            for _ in range(110):
                assert await code(client, start()) == "operation-forbidden"
            assert len(place.world.events("operation-refused")) <= 101
            await place.daemon.first(lambda: place.daemon.refusals.tell(final=True))
            (dropped,) = place.world.events("refusals-dropped")
            assert dropped["agent"] == "person:ann"
            assert dropped["codes"] == [f"operation-forbidden={dropped['count']}"]

    asyncio.run(story())


def test_what_a_gateway_asks_all_the_time_is_refused_at_once_when_a_bundle_forbids_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            assert isinstance(await gateway.ask_any(decide("1")), Permitted)
            put_in_force(place, NO_START.replace("task:start", "action:decide"))
            assert await code(gateway, decide("2")) == "operation-forbidden"
            place.daemon.bundles.roll_back("default", None, "", ANN)
            assert isinstance(await gateway.ask_any(decide("3")), Permitted)

    asyncio.run(story())


def test_what_a_page_brings_is_authorized_as_the_same_over_the_socket(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            shown = await visitor.begin()
            put_in_force(place.place, NO_START.replace("task:start", "approval:answer"))
            said = statement_of(shown, "confirm")
            status, told = await visitor.sign(place.device, "confirm", said)
            assert (status, told["code"]) == (403, "operation-forbidden")
            assert place.state(place.action) == ("held", "pending")
            (refused,) = place.world.events("operation-refused")
            approval = place.approval(place.action).question.id
            assert (refused["operation"], refused["about"]) == ("approval:answer", f"Approval {approval}")

    asyncio.run(story())


def test_what_another_daemon_puts_in_force_holds_at_once_for_persons_and_in_a_second_for_gateways(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, gateway = await place.client(), await place.gateway()
            assert isinstance(await gateway.ask_any(decide("1")), Permitted)
            other = place.world.beside()
            for text in (
                NO_START,
                NO_START + NO_START.replace("task:start", "action:decide").replace("no", "nor", 1),
            ):
                seen = examine(other.adapters, "default", {"house.cedar": text}, {})
                other.bundles.propose("default", seen, "", ANN)
                other.bundles.activate("default", examine_kept(other.adapters, "default", seen.digest), ANN)
            assert await code(client, start()) == "operation-forbidden"
            passed = place.daemon.loop.time() + FRESH
            place.daemon.loop.time = lambda: passed  # type: ignore[method-assign]  # a second goes by
            assert await code(gateway, decide("2")) == "operation-forbidden"

    asyncio.run(story())


PERMITS = '@id("house:all") permit (principal, action in Taskbound::Action::"operation", resource);'
FLOOR = (
    (policy.RollBackBundle(), "not-in-force-before"),
    (task.EndTask(task="tsk_none"), "unknown-task"),
    (identity.SetMember(group="none", person="ann", member=True), "unknown-identity"),
    (identity.ActivateAgent(name="none"), "unknown-identity"),
)


@pytest.mark.parametrize("text", ["", PERMITS, DEPLOY], ids=["base", "permits", "forbids"])
def test_i27_what_flows_refuse_stays_refused_whatever_a_bundle_permits(text: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + text) as place:
            client, gateway = await place.client(), await place.gateway()
            for ask, expected in FLOOR:
                assert await code(await place.client(), ask) in {expected, "not-outside"}, ask
            await place.lose(gateway)
            place.daemon.owner_uid = os.geteuid() + 1
            assert await code(client, identity.SetMember(group="g", person="ann", member=True)) != ""
            for kind in ASKS:
                if OPERATIONS[kind].right in {Right.GATEWAY, Right.EGRESS, Right.BROKER, Right.SERVICE}:
                    assert await code(client, message(kind)) == "unproven", kind

    asyncio.run(story())


def test_whoever_keeps_all_threads_busy_does_not_keep_anybody_from_stopping_everything(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            gate = threading.Event()
            busy = [asyncio.create_task(place.daemon.read(gate.wait)) for _ in range(64)]
            try:
                async with asyncio.timeout(30):
                    assert await code(client, Stop(stopped=True)) == ""
            finally:
                gate.set()
                await asyncio.gather(*busy)

    asyncio.run(story())


SLOW = {
    "token:key-rotate": RotateTokenKeys(),
    "token:key-revoke": RevokeTokenKey(key="x"),
    "agent:key-renew": RenewAgentKey(agent="coder"),
}
"""What waits for the signer, and so is done by no turn of the worker."""


@pytest.mark.parametrize("operation", SLOW)
def test_what_waits_for_the_signer_is_authorized_once_more_right_before_too(
    operation: str, tmp_path: Path
) -> None:
    rule = f'@id("house:no") forbid (principal, action == Taskbound::Action::"{operation}", resource);'

    async def story() -> None:
        async with station(tmp_path) as place:
            client, first = await place.client(), place.daemon.authority.authorize

            async def late(principal: Principal, operation: str, message: object) -> None:
                await first(principal, operation, message)
                if operation != "agent:key-renew":
                    put_in_force(place, rule)

            async def later(seconds: float) -> None:
                del seconds
                put_in_force(place, rule)

            place.daemon.authority.authorize = late  # type: ignore[method-assign]  # in between
            place.daemon.wait_checkpoint = later  # type: ignore[method-assign]  # a signer that starts
            assert await code(client, SLOW[operation]) == "operation-forbidden"
            (told,) = place.world.events("operation-refused")
            assert told["operation"] == operation

    asyncio.run(story())


CARRIED_OUT = [
    BackUpStore(),
    BeginInit(),
    EndDaemon(),
    ForgetOriginals(),
    ReconcileStore(),
    RestoreStore(),
    StartDaemon(),
    UndoInit(),
    UpgradeStore(),
]
"""Acts that the command line carries out itself."""


@pytest.mark.parametrize("ask", [*CARRIED_OUT, Stop(stopped=True), policy.ActivateBundle(digest="x")])
def test_act_of_a_person_from_within_is_refused_with_one_record(ask: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            await place.gateway()  # of this very process, which is within from here on
            before = len(place.world.records())
            assert await code(await place.client(), ask) == "not-outside"
            (told,) = place.world.events("operation-refused")
            assert (told["operation"], told["code"], told["by"]) == (
                bare(type(ask)),
                "not-outside",
                "Person ann",
            )
            assert len(place.world.records()) == before + 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("role", "more"), [("broker", {}), ("egress", {}), ("front", {"origin": DEFAULT_GATEWAY})]
)
def test_connection_refused_to_a_process_within_leaves_one_record(
    role: str, more: dict[str, str], tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            await place.gateway()  # of this very process, which is within from here on
            with pytest.raises(RefusedByDaemonError) as caught:
                await place.client(role, **more)
            assert caught.value.fault.code == "not-outside"
            (told,) = place.world.events("operation-refused")
            assert (told["operation"], told["code"], told["by"]) == (
                "connection:open",
                "not-outside",
                f"Service {role}",
            )

    asyncio.run(story())


def test_refused_connections_share_one_quota_whatever_their_namespace(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            await place.gateway()
            for number in range(Allowance().burst + 5):
                with pytest.raises(RefusedByDaemonError) as caught:
                    await place.client("broker", namespace=f"space-{number}")
                assert caught.value.fault.code == "not-outside"
            assert len(place.world.events("operation-refused")) == Allowance().burst

    asyncio.run(story())


@pytest.mark.parametrize("ask", CARRIED_OUT)
def test_act_that_the_command_line_carries_out_is_recorded(ask: Any, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            assert await (await place.client()).ask(ask, Done) == Done()
            (told,) = place.world.events("person-acted")
            assert (told["operation"], told["by"]) == (bare(type(ask)), "ann")

    asyncio.run(story())
