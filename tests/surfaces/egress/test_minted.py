"""Credentials of one server, from the first question to their end, with a clock that moves when told."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.adapters.keys.sealing import AskerKey
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import parse_slot
from taskbound.ports.target import Minted as Made
from taskbound.sdk.client import DaemonLostError
from taskbound.surfaces.egress.asking import PendingRequests
from taskbound.surfaces.egress.errors import SecretChangedError
from taskbound.surfaces.egress.minted import Minted
from taskbound.wire.action import Narrowed, Refused
from taskbound.wire.approval import HoldPush
from taskbound.wire.connection import TaskPush
from taskbound.wire.egress import Holder, StartServer
from taskbound.wire.target import AcknowledgeCredential
from taskbound.wire.tool import ServerSpec, identity_of
from tests.peers.seating import OPEN, SECRET, TASK, Minting
from tests.surfaces.egress.test_tokens import Moved

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio
SOURCE = "credential:orders-db/reader?tenant=acme"
USER, PASSWORD = (parse_slot(f"environment:{name}={SOURCE}#{name}") for name in ("PGUSER", "PGPASSWORD"))
SPEC = ServerSpec(
    name="orders", command="/a", sha256="0" * 64, era="2025-11-25", slots=(PASSWORD.text, USER.text)
)
HERE = Holder(uid=os.getuid(), pid=os.getpid(), started=1)
HELD = Refused(action="act_9", task=TASK, code="held", instead="ask people")


def spec_of(*slots: str) -> ServerSpec:
    """A server with these slots; one with headers is reached."""
    spec = msgspec.structs.replace(SPEC, slots=tuple(sorted(slots)))
    if slots[0].startswith("header:"):
        spec = msgspec.structs.replace(spec, command="", sha256="", url="https://orders.example/mcp")
    return spec


class Server:
    """What is started: it can be ended."""

    def __init__(self) -> None:
        self.killed = ""

    def kill(self, reason: str) -> None:
        self.killed = self.killed or reason


class Egress:
    """The part of an egress that has the credentials of servers."""

    def __init__(self, loop: Moved, spec: ServerSpec = SPEC) -> None:
        self.loop, self.spec, self.daemon = loop, spec, Minting()
        self.daemon.pin(spec, {})
        self.authority = self.daemon
        self.asking = PendingRequests(AskerKey.generate)
        self.kept: Callable[[object, frozenset[str]], None] = lambda _, __: None
        self.busy = False
        self.server = Server()

    async def start(self, **more: Any) -> tuple[Minted, dict[str, str]]:
        """One server of a task, and what is in its slots."""
        identity = identity_of(self.spec, namespace="default")
        ask = StartServer(
            namespace="default", server="orders", identity=identity.digest, era="2025-11-25", **more
        )
        told = await self.daemon.server("default", "orders", HERE)
        minted = Minted(self, HERE, ask, told, busy=lambda: self.busy)  # type: ignore[arg-type]  # its part of a desk
        values = await minted.begin(identity)
        minted.serve(self.server)  # type: ignore[arg-type]  # it is only ended here
        return minted, {slot.name: value for slot, value in values.items()}

    async def watched(self, minted: Minted, *, seconds: float) -> str:
        """Why the server is ended within so many seconds; empty where it is not."""
        watching = self.loop.create_task(minted.watch())
        step = 0.5
        while seconds > 0 and not self.server.killed:
            self.loop.ahead += step
            self.daemon.now += int(step * 1_000_000)
            seconds -= step
            for _ in range(6):
                await asyncio.sleep(0)
        watching.cancel()
        await asyncio.wait([watching])
        return self.server.killed


async def refused(there: Egress, **more: Any) -> str:
    with pytest.raises(TaskboundError) as found:
        await there.start(**more)
    return found.value.code


async def test_one_credential_fills_both_slots_and_is_acknowledged_before_the_server_has_it(
    there: Egress,
) -> None:
    held_back: list[frozenset[str]] = []
    there.kept = lambda _, values: held_back.append(values)
    there.daemon.then = lambda: held_back.append(frozenset())
    minted, values = await there.start()
    assert values == OPEN | SECRET
    assert held_back == [frozenset(), frozenset(SECRET.values())]
    assert minted.secrets == frozenset(SECRET.values())
    (asked,) = there.daemon.asked
    assert (asked.source, asked.task, asked.holder) == (SOURCE, TASK, HERE)
    (place,) = there.daemon.places
    (said,) = (one for one in place.asks if isinstance(one, AcknowledgeCredential))
    assert (said.credential, said.with_connection) == ("crd_1", True)
    minted.end()
    assert held_back[2:] == [frozenset()]  # and nothing is looked for in the log for what has ended
    await there.asking.close()
    assert (there.daemon.ended, place.closed) == (["crd_1"], True)


async def test_it_is_for_one_live_task_of_the_gateway_and_no_other_one(there: Egress) -> None:
    assert await refused(there, task="tsk_2") == "no-single-task"
    there.daemon.tasks = (TASK, "tsk_2")
    assert await refused(there) == "no-single-task"
    assert there.daemon.asked == []
    minted, _ = await there.start(task="tsk_2")
    assert minted.task == "tsk_2"


async def test_people_are_waited_for_and_the_next_start_goes_on_with_the_question(there: Egress) -> None:
    there.daemon.answers = [HELD] * 40
    starting = asyncio.ensure_future(refused(there))
    for _ in range(20):
        there.loop.ahead += 5
        for _ in range(6):
            await asyncio.sleep(0)
    assert await starting == "credential-held"
    assert {one.resume for one in there.daemon.asked[1:]} == {"act_9"}
    (place,) = there.daemon.places
    assert not place.closed
    there.daemon.answers = []
    _, values = await there.start()
    assert values == OPEN | SECRET
    assert there.daemon.asked[-1].resume == "act_9"
    assert there.daemon.places == [place]


@pytest.mark.parametrize("state", ["denied", "expired", "withdrawn"])
async def test_what_people_say_no_to_starts_nothing_and_closes_the_connection(
    state: str, there: Egress
) -> None:
    there.daemon.answers = [HELD] * 3
    starting = asyncio.ensure_future(refused(there))
    await there.daemon.was_asked.wait()
    there.daemon.places[0].pushed(HoldPush(action="act_9", state=state, reason="no"))
    assert await starting == "credential-refused"
    await there.asking.close()
    assert there.daemon.places[0].closed


async def test_what_people_made_shorter_is_asked_for_and_what_they_made_another_is_not(there: Egress) -> None:
    def narrowed(raw: bytes) -> Narrowed:
        return Narrowed(action="act_9", task=TASK, arguments=msgspec.Raw(raw), changed=())

    there.daemon.answers = [narrowed(b'{"seconds":7,"tenant":"acme"}')]
    await there.start()
    assert (there.daemon.asked[-1].seconds, there.daemon.asked[-1].resume) == (7, "act_9")
    there.daemon.answers = [narrowed(b'{"tenant":"other"}')]
    assert await refused(there) == "credential-refused"


async def test_what_a_credential_does_not_give_or_is_too_short_to_look_for_fills_nothing_and_is_given_back(
    there: Egress,
) -> None:
    there.daemon.minted = Made(open=OPEN, secret={"OTHER": "tbs_hunter2"})
    assert await refused(there) == "not-given"
    there.daemon.minted = Made(open=OPEN, secret={"PGPASSWORD": "short"})
    assert await refused(there) == "bad-secret"
    await there.asking.close()
    assert there.daemon.ended == ["crd_1", "crd_2"]
    assert all(one.closed for one in there.daemon.places)


@pytest.mark.parametrize("spec", [spec_of(f"header:authorization=Bearer {SOURCE}#PGPASSWORD")])
@pytest.mark.parametrize(
    "value",
    ["tbs_hunter2\r\nx-admin: 1", "tbs_hunter2\thunter2", "tbs_hünter2-hunter2"],
    ids=["another line", "a tab", "beyond ASCII"],
)
async def test_a_value_of_a_hostile_target_that_would_say_more_than_itself_fills_nothing(
    there: Egress, value: str
) -> None:
    there.daemon.minted = Made(open=OPEN, secret={"PGPASSWORD": value})
    assert await refused(there) == "not-given"
    await there.asking.close()
    assert there.daemon.ended == ["crd_1"]


WRITER = "credential:orders-db/writer"


@pytest.mark.parametrize("spec", [spec_of(USER.text, f"environment:Z={WRITER}#PGPASSWORD")])
async def test_where_people_are_asked_for_the_second_credential_the_first_is_given_back_at_once(
    there: Egress,
) -> None:
    there.daemon.then = lambda: there.daemon.answers.extend([HELD] * 40)
    starting = asyncio.ensure_future(refused(there))
    for _ in range(20):
        there.loop.ahead += 5
        for _ in range(8):
            await asyncio.sleep(0)
    assert await starting == "credential-held"
    assert there.daemon.ended == ["crd_1"]
    (place,) = there.daemon.places
    assert not place.closed
    there.daemon.answers, there.daemon.then = [], lambda: None
    await there.start()
    assert {one.source for one in there.daemon.asked[-2:]} == {SOURCE, WRITER}
    assert [one.resume for one in there.daemon.asked[-2:] if one.source == WRITER] == ["act_9"]
    assert there.daemon.places == [place]


@pytest.mark.parametrize("how", ["revoked", "task", "pinned"])
async def test_what_ends_while_it_is_asked_for_starts_no_server_and_is_given_back(
    how: str, there: Egress
) -> None:
    there.daemon.then = lambda: over(there, how)
    assert await refused(there) == "secret-changed"
    await there.asking.close()
    assert (there.daemon.ended, there.daemon.places[0].closed) == (["crd_1"], True)


async def test_a_daemon_that_says_nothing_for_as_long_again_ends_the_server(there: Egress) -> None:
    minted, _ = await there.start()
    there.daemon.silent = True
    assert await there.watched(minted, seconds=6)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
async def test_who_was_held_up_itself_asks_once_more_before_the_server_is_ended(
    there: Egress, *, again: bool
) -> None:
    minted, _ = await there.start()
    there.daemon.silent = True
    watching = there.loop.create_task(minted.watch())
    for late, silent in ((0.0, True), (2.1, True), (5.0, again), (5.0, again)):
        there.loop.ahead += late  # the pause, and what holds this process up while it asks
        there.daemon.silent = silent
        for _ in range(6):
            await asyncio.sleep(0)
    assert bool(there.server.killed) is again
    watching.cancel()
    await asyncio.wait([watching])


@pytest.mark.parametrize("error", [DaemonLostError("lost"), ValueError("a fault of ours")], ids=repr)
async def test_whatever_goes_wrong_while_it_is_asked_whether_the_task_is_live_ends_the_server(
    error: Exception, there: Egress
) -> None:
    minted, _ = await there.start()
    there.daemon.fault = error
    assert await there.watched(minted, seconds=3)


async def test_a_renewal_that_is_refused_is_asked_for_once_and_the_server_is_ended_in_time(
    there: Egress,
) -> None:
    there.daemon.seconds, there.busy = 30, True
    minted, _ = await there.start()
    assert "about to end" in await there.watched(minted, seconds=30)
    assert len([one for one in there.daemon.asked if one.renews]) == 1


async def test_what_is_pushed_of_another_task_or_says_that_it_runs_ends_nothing(there: Egress) -> None:
    minted, _ = await there.start()
    (place,) = there.daemon.places
    place.pushed(TaskPush(task="tsk_2", state="paused", reason=""))
    place.pushed(TaskPush(task=TASK, state="running", reason=""))
    assert await there.watched(minted, seconds=6) == ""
    assert not minted.is_over


@pytest.mark.parametrize("how", ["revoked", "task", "pinned", "paused", "lost"])
async def test_a_server_that_takes_its_time_to_start_is_ended_with_what_it_has_already(
    how: str, there: Egress
) -> None:
    minted, _ = await there.start()
    hanging, cancelled = asyncio.Event(), asyncio.Event()

    async def start() -> Any:
        try:
            hanging.set()
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    starting = asyncio.ensure_future(minted.during(start()))
    await hanging.wait()
    over(there, how)
    await there.watched(minted, seconds=3)
    with pytest.raises(SecretChangedError):
        await starting
    assert cancelled.is_set()


async def test_a_server_that_starts_is_there_and_one_whose_caller_is_gone_is_not_waited_for(
    there: Egress,
) -> None:
    minted, _ = await there.start()
    server: Any = there.server

    async def start() -> Any:
        return server

    async def hang() -> Any:
        await asyncio.Event().wait()

    assert await minted.during(start()) is server
    gone = asyncio.ensure_future(minted.during(hang()))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone


@pytest.mark.parametrize("turns", range(5))
async def test_a_server_that_is_there_just_as_its_caller_is_gone_is_taken_or_ended(
    turns: int, there: Egress
) -> None:
    minted, _ = await there.start()
    ready, there_is = asyncio.Event(), list[Any]()
    server: Any = there.server

    async def start() -> Any:
        await ready.wait()
        there_is.append(server)
        return server

    starting = asyncio.ensure_future(minted.during(start()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ready.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    (found,) = await asyncio.gather(starting, return_exceptions=True)
    assert [found is server, bool(server.killed)].count(True) == len(there_is)


async def test_a_server_that_is_there_only_after_its_credential_was_lost_is_ended_at_once(
    there: Egress,
) -> None:
    identity = identity_of(there.spec, namespace="default")
    ask = StartServer(namespace="default", server="orders", identity=identity.digest, era="2025-11-25")
    told = await there.daemon.server("default", "orders", HERE)
    minted = Minted(there, HERE, ask, told, busy=lambda: False)  # type: ignore[arg-type]  # as above
    await minted.begin(identity)
    there.daemon.places[0].lost()
    minted.serve(there.server)  # type: ignore[arg-type]  # it is only ended here
    assert "lost" in there.server.killed


def over(there: Egress, how: str) -> None:
    place = there.daemon.places[0]
    match how:
        case "revoked":
            there.daemon.over = ("crd_1",)
        case "task":
            there.daemon.tasks = ()
        case "pinned":
            there.daemon.pin(msgspec.structs.replace(SPEC, command="/b"), {})
        case "paused":
            place.pushed(TaskPush(task=TASK, state="paused", reason=""))
        case "lost":
            place.lost()


@pytest.mark.parametrize("how", ["revoked", "task", "pinned", "paused", "lost"])
async def test_a_server_ends_with_whatever_ends_its_credential(how: str, there: Egress) -> None:
    minted, _ = await there.start()
    assert await there.watched(minted, seconds=6) == ""
    over(there, how)
    assert await there.watched(minted, seconds=3)
    await there.asking.close()
    assert there.daemon.places[0].closed


@pytest.mark.parametrize(("calls", "least", "most"), [(0, 18, 22), (1, 28, 30)])
async def test_a_server_ends_before_its_credential_does_and_earlier_where_no_call_is_open(
    calls: int, least: float, most: float, there: Egress
) -> None:
    there.daemon.seconds, there.busy = 30, bool(calls)
    minted, _ = await there.start()
    assert await there.watched(minted, seconds=least) == ""
    assert "about to end" in await there.watched(minted, seconds=most - least)


async def test_a_clock_of_the_daemon_s_that_is_set_back_keeps_no_server_beyond_the_end_of_its_credential(
    there: Egress,
) -> None:
    there.daemon.seconds, there.busy = 30, True
    minted, _ = await there.start()
    there.daemon.now -= 86_400 * 1_000_000
    assert await there.watched(minted, seconds=28) == ""
    assert "about to end" in await there.watched(minted, seconds=2)


async def test_a_credential_that_is_renewable_is_renewed_and_its_server_goes_on(there: Egress) -> None:
    there.daemon.seconds, there.daemon.renewable = 30, True
    minted, _ = await there.start()
    assert await there.watched(minted, seconds=100) == ""
    renewals = [one.renews for one in there.daemon.asked if one.renews]
    assert 3 <= len(renewals) <= 5
    assert set(renewals) == {"crd_1"}
