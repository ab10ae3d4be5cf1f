from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest

from taskbound import __version__
from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.adapters.keys.memory import MemorySignedHeads
from taskbound.adapters.keys.socket import SocketTokenSigner
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.policy.operation import Right
from taskbound.flows.audit.sequencing import CheckpointSigner, Sequencer
from taskbound.ports.store import StoreUnavailableError
from taskbound.sdk.client import AsyncClient, DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.api.background.strangers import ProcessTree
from taskbound.surfaces.api.server.daemon import Daemon
from taskbound.surfaces.api.server.operation import BOUND, as_giver, as_person
from taskbound.surfaces.api.server.place import DEFAULT_ISSUER, Installation
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.surfaces.api.server.table import OPERATIONS
from taskbound.wire import action, connection, envelope, task
from taskbound.wire.connection import Done, Fault, Open, Opened
from taskbound.wire.envelope import Reply, Said, said_decoder
from taskbound.wire.frame import MAX_FRAME, FrameBuffer, Message, encode_frame
from taskbound.wire.network import Shown
from taskbound.wire.tool import ServerSpec
from tests.sqlite import sqlite_store
from tests.world import ANN, SCOPE, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.wire.envelope import Answer, Push

ORIGIN = "taskbound.test/log"
WITHIN = {"gateway": "operation-forbidden", "cli": "not-outside"}
"""What refuses a person's act from within: a gateway's principal is its agent, whatever process it is."""


class Station:
    """A daemon on a real socket in this process, over a world."""

    def __init__(self, world: World, path: Path, daemon: Daemon) -> None:
        self.world, self.path, self.daemon = world, path, daemon
        self.pushes: list[Push] = []
        self._clients: list[tuple[AsyncClient, asyncio.Event]] = []

    async def client(self, role: str = "cli", **more: Any) -> AsyncClient:
        client, _ = await self.open(role, **more)
        return client

    async def open(self, role: str = "cli", **more: Any) -> tuple[AsyncClient, Opened]:
        hello = Open(**{"role": role, "version": __version__} | more)
        gone = asyncio.Event()
        client, opened = await AsyncClient.connect(self.path, hello, pushed=self.pushes.append, lost=gone.set)
        self._clients.append((client, gone))
        return client, opened

    async def lose(self, client: AsyncClient) -> None:
        """Close this connection, and go on once the daemon has noticed."""
        noticed = asyncio.Event()
        lose = self.daemon.connections.lose

        def notice(connection: Connection) -> None:
            lose(connection)
            noticed.set()

        self.daemon.connections.lose = notice  # type: ignore[method-assign]  # listens where it is noticed
        client.close()
        async with asyncio.timeout(30):
            await noticed.wait()

    async def close(self) -> None:
        for client, gone in self._clients:
            client.close()
            await gone.wait()

    async def gateway(self, **more: Any) -> AsyncClient:
        return await self.client("gateway", agent="coder", **more)


@asynccontextmanager
async def station(
    path: Path,
    *,
    owner: int = os.geteuid(),
    person: int = os.geteuid(),
    policy: str = "",
    issuer: str = DEFAULT_ISSUER,
    beside: World | None = None,
) -> AsyncIterator[Station]:
    if beside is None:
        world = World(store=sqlite_store(), policy=policy or base_bundle())
        world.settle_in(uid=person)
    else:
        world = beside.beside()
    key = Ed25519Key.from_seed(bytes(range(32)))
    signer = CheckpointSigner(origins=[ORIGIN], key=key, heads=MemorySignedHeads(), verify=verify_ed25519)
    loop = asyncio.get_running_loop()
    place = Installation(home=str(path), pid=os.getpid(), owner_uid=owner, issuer=issuer)
    tokens = SocketTokenSigner(path / "no-signer")
    daemon = Daemon(world.adapters, Sequencer(world.adapters, signer, ORIGIN), tokens, loop, place)
    daemon.worker.start()
    socket = path / "s"
    server = await loop.create_unix_server(lambda: SocketServer(daemon), str(socket))
    place_of_it = Station(world, socket, daemon)
    try:
        yield place_of_it
    finally:
        await place_of_it.close()
        daemon.pages.close()
        daemon.looking.close()
        server.close()
        await server.wait_closed()
        daemon.worker.stop()


async def raw(path: Path, data: bytes, *, count: int = 1) -> list[Answer]:
    """What the daemon answers to these bytes, until so many answers came or it closed."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    buffer = FrameBuffer()
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(30):
            while len(answers) < count and (chunk := await reader.read(65536)):
                replies = [said_decoder.decode(body) for body in buffer.feed(chunk)]
                answers += [one.answer for one in replies if one.answer is not None]
    finally:
        writer.close()
        await writer.wait_closed()
    return answers


def example(kind: type[Any]) -> Any:
    """A message of this type with something in every required field."""
    values: dict[str, Any] = {}
    for one in msgspec.structs.fields(kind):
        if one.required:
            values[one.name] = {
                int: 1,
                bool: True,
                str: "x",
                dict[str, str]: {},
                msgspec.Raw: msgspec.Raw(b'{"grants":[{"tool":"bank__look","others":"any"}]}'),
                ServerSpec: ServerSpec(name="x", command="/bin/true", sha256="0" * 64),
                Shown: Shown(method="GET", uri="x"),
            }.get(one.type, next((each for each in get_args(one.type) if isinstance(each, str)), ()))
    return kind(**values)


ASKS = [one for one in get_args(envelope.Ask) if one is not Open]
PERSONS = {Right.LOOKER, Right.PERSON, Right.PERSON_OR_RUN}
PERSONAL = [one for one in ASKS if OPERATIONS[one].right in PERSONS]


def test_every_message_that_can_be_asked_is_one_operation_and_no_other_is() -> None:
    assert set(OPERATIONS) == set(ASKS)
    names = [one.name for one in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    assert all(name.startswith("api:") and name.count(":") == 2 for name in names)


@pytest.mark.parametrize("bind", [as_person, as_giver])
def test_i27_a_handler_for_a_proven_actor_is_bound_to_no_message_with_another_right(bind: Any) -> None:
    free = msgspec.defstruct("Free", [], bases=(Message,), tag="task:show", tag_field="op")
    with pytest.raises(LookupError, match="another right"):
        bind(free)(lambda *_: None)
    assert free not in BOUND


@pytest.mark.parametrize("kind", PERSONAL, ids=[OPERATIONS[one].name for one in PERSONAL])
def test_i27_a_persons_operation_refuses_an_account_without_a_person(kind: type[Any], tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, person=os.geteuid() + 1) as place:
            before = len(place.world.records())
            client = await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(example(kind) if kind is not task.EndTask else _end(place), Done)
            assert refused.value.fault.code == "unproven"
            assert len(place.world.records()) == before

    asyncio.run(story())


def _end(place: Station) -> task.EndTask:
    with place.world.store.read() as snapshot:
        (running,) = snapshot.tasks.tasks("default")
    return task.EndTask(task=running.id)


@pytest.mark.parametrize(
    "kind",
    [one for one in ASKS if OPERATIONS[one].right is Right.GATEWAY],
    ids=lambda one: OPERATIONS[one].name,
)
def test_i27_a_gateways_operation_refuses_every_other_connection(kind: type[Any], tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for role in ("cli", "run"):
                client = await place.client(role)
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(example(kind), Done)
                assert refused.value.fault.code == "unproven"

    asyncio.run(story())


def test_a_stranger_reads_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1, person=os.geteuid() + 2) as place:
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client()
            assert refused.value.fault.code == "unproven"

    asyncio.run(story())


@pytest.mark.parametrize("role", ["gateway", "cli"])
def test_an_opening_that_was_refused_opens_nothing(role: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1, person=os.geteuid() + 2) as place:
            hello = Open(role=role, version=__version__, agent="coder")
            both = encode_frame(Said(id=1, ask=hello)) + encode_frame(Said(id=2, ask=decide("1")))
            answers = await raw(place.path, both, count=2)
            assert [one.code for one in answers if isinstance(one, Fault)] == ["unproven", "not-open"]
            assert place.world.events("action-decided") == []

    asyncio.run(story())


def test_nothing_is_answered_before_the_connection_is_open(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            (answer,) = await raw(place.path, encode_frame(Said(id=1, ask=connection.Status())))
            assert isinstance(answer, Fault)
            assert answer.code == "not-open"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"version": "0.0.1"}, "other-version"),
        ({"role": "daemon"}, "not-open"),
        ({"role": "gateway", "agent": ""}, "bad-name"),
        ({"role": "gateway", "agent": "A\n"}, "bad-name"),
        ({"namespace": "../x"}, "bad-name"),
    ],
)
def test_a253_a_connection_that_can_not_be_is_refused(
    hello: dict[str, str], code: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client(**hello)
            assert refused.value.fault.code == code

    asyncio.run(story())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (MAX_FRAME + 1).to_bytes(4, "big"),
        (2).to_bytes(4, "big") + b"{}",
        (3).to_bytes(4, "big") + b"\xff\xfe\xfd",
        (62).to_bytes(4, "big") + b'{"id":1,"ask":{"op":"connection:open","role":"cli","extra":1}}',
        (40).to_bytes(4, "big") + b'{"id":1,"ask":{"op":"task:rule-the-all"}}'[:40],
    ],
    ids=["http", "too-long", "empty", "not-utf8", "unknown-field", "half-json"],
)
def test_i19_bytes_that_are_no_frame_get_one_fault_and_the_connection_ends(
    data: bytes, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            (answer,) = await raw(place.path, data)
            assert isinstance(answer, Fault)
            assert answer.code == "bad-frame"

    asyncio.run(story())


def test_a_call_is_decided_and_its_result_released_over_the_socket(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            permitted = await gateway.ask(decide("1"), action.Permitted)
            done = action.Outcome(
                action=permitted.action, outcome="succeeded", answer=msgspec.Raw(b'{"a": 1}')
            )
            assert (await gateway.ask(done, action.Released)).action == permitted.action
            repeated = await gateway.ask(decide("1"), action.Duplicate)
            assert bytes(repeated.answer or b"") == b'{"a": 1}'

    asyncio.run(story())


def decide(request: str, *, amount: int = 1, key: str = "") -> action.Decide:
    raw_arguments = b'{"amount":%d,"to":"bob"}' % amount
    return action.Decide(tool="bank__pay", arguments=msgspec.Raw(raw_arguments), request=request, key=key)


def test_64_callers_on_two_gateways_and_five_uses_get_five_permits(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateways = [await place.gateway() for _ in range(2)]
            asked = [gateways[number % 2].ask_any(decide(str(number))) for number in range(64)]
            answers = await asyncio.gather(*asked)
            permits = [one for one in answers if isinstance(one, action.Permitted)]
            refused = [one.code for one in answers if isinstance(one, action.Refused)]
            assert (len(permits), set(refused)) == (5, {"exhausted"})

    asyncio.run(story())


def test_the_end_of_a_task_is_pushed_told_once_and_then_another_task_is_joined(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, person = await place.gateway(), place.daemon
            first = await gateway.ask(decide("1"), action.Permitted)
            ended = await person.first(
                lambda: person.tasks.end("default", first.task, _complete(), ANN, reason="done")
            )
            person.tell_ended(ended)
            second = await person.first(lambda: place.world.start(scope=SCOPE))
            refused = await gateway.ask(decide("2"), action.Refused)
            assert (refused.code, refused.task) == ("task-ended", "")
            assert [one.state for one in place.pushes if isinstance(one, connection.TaskPush)] == [
                "completed"
            ]
            permitted = await gateway.ask(decide("3"), action.Permitted)
            assert permitted.task == second.id

    asyncio.run(story())


def _complete() -> Any:
    from taskbound.core.task import TaskEvent  # noqa: PLC0415 - only here

    return TaskEvent.COMPLETE


def test_a_gateway_that_comes_back_with_its_secret_holds_its_permits_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, opened = await place.open("gateway", agent="coder")
            permitted = await gateway.ask(decide("1"), action.Permitted)
            await place.lose(gateway)
            again = await place.gateway(resume=opened.connection)
            outcome = action.Outcome(action=permitted.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
            assert (await again.ask(outcome, action.Released)).action == permitted.action

    asyncio.run(story())


def test_a_connection_that_is_open_is_not_opened_by_another_process(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            _, opened = await place.open("gateway", agent="coder")
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.gateway(resume=opened.connection)
            assert refused.value.fault.code == "not-open"

    asyncio.run(story())


def test_a_gateway_that_was_lost_twice_has_its_second_grace_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, opened = await place.open("gateway", agent="coder")
            permitted = await gateway.ask(decide("1"), action.Permitted)
            (first,) = place.daemon.connections.gateways()
            await place.lose(gateway)
            second = await place.gateway(resume=opened.connection)
            await place.lose(second)
            place.daemon.give_up(first)
            third = await place.gateway(resume=opened.connection)
            outcome = action.Outcome(action=permitted.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
            assert (await third.ask(outcome, action.Released)).action == permitted.action

    asyncio.run(story())


def test_the_name_of_a_connection_does_not_open_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            permitted = await gateway.ask(decide("1"), action.Permitted)
            (event,) = place.world.events("action-decided")
            await place.lose(gateway)
            thief = await place.gateway(resume=event["connection"])
            outcome = action.Outcome(action=permitted.action, outcome="succeeded", answer=msgspec.Raw(b"{}"))
            withheld = await thief.ask(outcome, action.Withheld)
            assert withheld.code == "not-holder"

    asyncio.run(story())


def test_i30_the_permits_of_a_gateway_that_stays_away_are_unknown(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            permitted = await gateway.ask(decide("1"), action.Permitted)
            (lost,) = place.daemon.connections.gateways()
            await place.lose(gateway)
            place.daemon.give_up(lost)
            await place.daemon.first(lambda: None)
            with place.world.store.read() as snapshot:
                kept = snapshot.actions.action("default", permitted.action)
            assert kept is not None
            assert kept.state.value == "unknown"

    asyncio.run(story())


def test_a_repeat_through_a_second_gateway_is_held_as_soon_as_the_first_is_lost(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            first, opened = await place.open("gateway", agent="coder")
            second = await place.gateway()
            await first.ask(decide("1"), action.Permitted)
            await place.lose(first)
            assert (await second.ask(decide("1"), action.Refused)).code == "held"
            await place.gateway(resume=opened.connection)
            await second.ask(decide("2"), action.Permitted)

    asyncio.run(story())


def test_what_a_lost_gateway_held_stays_in_doubt_until_that_is_recorded(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            first, second = await place.gateway(), await place.gateway()
            await first.ask(decide("1"), action.Permitted)
            lost, _ = place.daemon.connections.gateways()
            await place.lose(first)
            record, failed = place.daemon.outcomes.lose, list[str]()

            def fail(namespace: str, *, connection: str, reason: str) -> int:
                if failed:
                    return record(namespace, connection=connection, reason=reason)
                failed.append(connection)
                raise StoreUnavailableError("not now")

            place.daemon.outcomes.lose = fail  # type: ignore[method-assign]  # the seam of this story
            place.daemon.give_up(lost)
            assert (await second.ask(decide("1"), action.Refused)).code == "held"
            assert place.daemon.views.doubts.lost() == {(lost.namespace, lost.name)}
            async with asyncio.timeout(20):
                while place.daemon.views.doubts.lost():
                    await asyncio.to_thread(os.sched_yield)
            with place.world.store.read() as snapshot:
                assert snapshot.actions.open_permits("default") == ()
            assert (await second.ask(decide("2"), action.Refused)).code == "held"

    asyncio.run(story())


def test_the_kill_switch_reaches_every_gateway_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway, person = await place.gateway(), await place.client()
            from taskbound.wire.token import Stop  # noqa: PLC0415 - only here

            # The test's own process holds a gateway, so its acts are inside: the switch is thrown beside it.
            with pytest.raises(RefusedByDaemonError) as refused:
                await person.ask(Stop(stopped=True), Done)
            assert refused.value.fault.code == "not-outside"
            (lost,) = place.daemon.connections.gateways()
            await place.lose(gateway)
            with pytest.raises(RefusedByDaemonError, match="beneath a gateway"):
                await person.ask(Stop(stopped=True), Done)  # it may come back, and still be above
            place.daemon.give_up(lost)
            with pytest.raises(RefusedByDaemonError, match="beneath a gateway"):
                await person.ask(Stop(stopped=True), Done)  # who was a gateway stays inside
            place.daemon.insiders = ProcessTree()  # and from now on this process plays another one
            assert (await person.ask(Stop(stopped=True), Done)).detail == "stopped"
            late = await place.gateway()
            assert (await late.ask(decide("1"), action.Refused)).code == "stopped"

    asyncio.run(story())


def test_an_answer_that_never_comes_is_a_lost_daemon_and_no_waiting(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            place.daemon.worker.stop()
            with pytest.raises(DaemonLostError):
                await gateway.ask(decide("1"), action.Permitted, patience=0.05)

    asyncio.run(story())


def test_a_reply_that_nobody_asked_for_is_no_answer() -> None:
    assert Reply(id=7).answer is None
