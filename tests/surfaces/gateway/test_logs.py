"""What servers log, from one that may say anything to the clients that asked to hear it."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.ports.upstream import NoAnswer, UpstreamAnswer
from taskbound.sdk.arrival import Arrival
from taskbound.surfaces.gateway.binding import ServerHandle, ServerListener
from taskbound.surfaces.gateway.call import Call, InterruptReason
from taskbound.surfaces.gateway.framing import ClientSession
from taskbound.surfaces.gateway.logs import MAX_A_SECOND, MAX_LOG, MAX_TOLD, Logs
from taskbound.wire.connection import StopPush, TaskPush
from taskbound.wire.mcp.message import LEVELS
from taskbound.wire.tool import ServerSpec, identity_of
from tests.peers.commands import echo, speaking
from tests.peers.rawhttp import RawHttp, dump
from tests.peers.speaking import Speaker, logs
from tests.peers.spoken import speaks
from tests.surfaces.gateway.bench import Bench, bench, code_of, silence, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.mcp.message import Id
    from tests.peers.rawhttp import Asked, Say

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("modern", [False, True])
LEVEL = "io.modelcontextprotocol/logLevel"


class Open:
    """A call that is open at its server, and what its client is told."""

    def __init__(self, level: str = "debug", talk: ClientSession | None = None) -> None:
        self.lines: list[tuple[bytes, Id | None]] = []
        self.connected = True
        self.waiting: Arrival[UpstreamAnswer] = Arrival()
        self.call = Call(
            id=7,
            id_raw=b"7",
            request="7",
            key="",
            tool="wiki__b",
            server="wiki",
            own="b",
            arguments=b"{}",
            modern=talk is None,
            level=level,
            talk=talk,
            waiting=self.waiting,
        )
        self.made = Logs(
            self,  # type: ignore[arg-type]  # of a client, what tells
            tell=lambda line, call: self.tell(line, call.id),
            connected=lambda: self.connected,
            calls=lambda: [self.call],
        )
        self.logged = self.made.of(self.call)

    def tell(self, line: bytes, to: Id | None) -> None:
        self.lines.append((line, to))

    def talks(self) -> tuple[ClientSession, ...]:
        return ()

    def hear(self, data: Any = "x", level: str = "info", **more: Any) -> None:
        self.logged.told({"data": data, "level": level, **more})

    @property
    def params(self) -> list[dict[str, Any]]:
        return [json.loads(line)["params"] for line, _ in self.lines]


async def test_what_is_told_is_the_server_s_by_name_and_one_line_to_every_reader() -> None:
    told = Open()
    told.hear({"a": "h\u2028\x85\n\u202ef", "b": [1.5, None]})
    told.hear("x", logger="taskbound", _meta={"a": "canary"})
    assert told.params == [
        {"data": {"a": "h\u2028\x85\n\u202ef", "b": [1.5, None]}, "level": "info", "logger": "wiki"},
        {"data": "x", "level": "info", "logger": "wiki/taskbound"},
    ]
    assert all(len(line.decode().splitlines()) == 1 and to == 7 for line, to in told.lines)
    assert b"canary" not in b"".join(line for line, _ in told.lines)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"level": "info"},
        {"data": "x"},
        {"level": "INFO", "data": "x"},
        {"level": "fatal", "data": "x"},
        {"level": "", "data": "x"},
        {"level": 1, "data": "x"},
        {"level": ["info"], "data": "x"},
        {"level": "info", "data": math.nan},
        {"level": "info", "data": [2**53]},
        {"level": "info", "data": "x" * MAX_LOG},
        {"level": "info", "data": "\u2028" * (MAX_LOG // 4)},
        {"level": "info", "data": "x", "logger": None},
        {"level": "info", "data": "x", "logger": 1},
        {"level": "info", "data": "x", "logger": "x" * 201},
        {"level": "info", "data": "x", "other": 1},
    ],
)
async def test_what_is_no_log_is_dropped_whole_and_what_follows_is_told(params: dict[str, Any]) -> None:
    told = Open()
    told.logged.told(params)
    assert told.lines == []
    told.hear("x" * (MAX_LOG - 100))
    assert len(told.lines) == 1


@pytest.mark.parametrize("floor", ["", *LEVELS])
async def test_each_client_hears_from_its_own_level_on_and_who_named_none_hears_nothing(floor: str) -> None:
    due = list(LEVELS[LEVELS.index(floor) :]) if floor else []
    talk = ClientSession()
    for told in (Open(floor), Open("debug", talk=talk)):
        talk.level = floor  # a legacy client may say so while its call is open
        for level in LEVELS:
            told.hear(level=level)
        assert [one["level"] for one in told.params] == due


@pytest.mark.parametrize("cause", list(InterruptReason))
async def test_nothing_is_told_of_a_call_that_anything_interrupts(cause: InterruptReason) -> None:
    told = Open()
    told.hear()
    told.call.cause = cause
    told.hear()
    assert len(told.lines) == 1


async def test_nothing_is_told_after_the_answer_nor_while_the_daemon_is_away() -> None:
    told = Open()
    told.connected = False
    told.hear()
    told.connected = True
    told.hear()
    assert len(told.lines) == 1
    told.waiting.arrive(NoAnswer("garbage", "it is over"))
    told.hear()
    told.call.waiting = None
    told.hear()
    assert len(told.lines) == 1


async def test_a_flood_is_told_twenty_times_a_second_and_a_thousand_times_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    told = Open()
    for second in range(3):
        now = float(second)
        for _ in range(500):
            told.hear()
        assert len(told.lines) == (second + 1) * MAX_A_SECOND
    for second in range(3, 2_000):
        now = float(second)
        told.hear()
    assert len(told.lines) == MAX_TOLD


async def test_outside_of_calls_a_call_that_was_interrupted_asks_for_nothing_more() -> None:
    told = Open("info")
    spec = ServerSpec(name="wiki", command="/bin/x", resolved="/bin/x", sha256="0" * 64)
    server = ServerHandle(
        spec, identity_of(spec, namespace="default"), ServerListener(logged=told.made.outside)
    )
    told.call.running = server
    server.logged({"level": "info", "data": "a"})
    told.call.cause = InterruptReason.CANCELLED
    server.logged({"level": "info", "data": "b"})
    assert [(one["data"], to) for one, (_, to) in zip(told.params, told.lines, strict=True)] == [("a", None)]


# --- through the gateway ------------------------------------------------------------------------------------


async def work(b: Bench, *, modern: bool, level: str = "", **said: list[Any]) -> None:
    """Have the server say something around its answer."""
    meta = {"_meta": {LEVEL: level}} if level else {}
    params = {"name": "odd__work", "arguments": said, **meta}
    assert text_of(await b.request("tools/call", params, modern=modern)) == "done"


def told(b: Bench) -> list[dict[str, Any]]:
    return [json.loads(line)["params"] for line in b.lines if b"notifications/message" in line]


async def offers(b: Bench) -> bool:
    """Whether the client was told that there are logs."""
    found = await b.request("server/discover", modern=True)
    return "logging" in found["result"]["capabilities"]


def levels(log: Path) -> list[str]:
    heard = map(json.loads, log.read_bytes().splitlines())
    return [one["params"]["level"] for one in heard if one.get("method") == "logging/setLevel"]


@ERAS
async def test_logs_of_a_started_legacy_server_reach_who_asked_for_them_from_the_level_that_was_named(
    tmp_path: Path, *, modern: bool
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, speaking(log=log), name="odd") as b:
        assert await offers(b)
        said = [logs("a", "debug"), logs("b", "warning"), logs("c", "emergency")]
        await work(b, modern=modern, before=said)
        assert (told(b), levels(log)) == ([], []), "nobody asked"
        if not modern:
            assert (await b.request("logging/setLevel", {"level": "warning"}))["result"] == {}
        await work(b, modern=modern, level="warning" if modern else "", before=said)
        await silence(b)
    assert [(one["data"], one["logger"]) for one in told(b)] == [("b", "odd"), ("c", "odd")]
    assert levels(log) == ["warning"]
    places = [at for at, line in enumerate(b.lines) if b"notifications/message" in line]
    assert max(places) < max(at for at, line in enumerate(b.lines) if b'"done"' in line)


@ERAS
async def test_logs_of_a_reached_modern_server_come_by_the_level_that_goes_with_the_call(
    tmp_path: Path, *, modern: bool
) -> None:
    async with RawHttp(era="modern", does=speaks()) as there, bench(tmp_path, [there.url], name="odd") as b:
        said = [logs("a", "info"), logs("b", "error")]
        await work(b, modern=modern, before=said)
        if not modern:
            assert (await b.request("logging/setLevel", {"level": "error"}))["result"] == {}
        await work(b, modern=modern, level="error" if modern else "", before=said)
        await silence(b)
        sent = [one.message["params"]["_meta"].get(LEVEL) for one in there.heard("tools/call")]
    assert [one["data"] for one in told(b)] == ["b"]
    assert sent == [None, "error"]


async def test_a_legacy_server_is_asked_for_the_least_level_that_anyone_wants_and_each_hears_its_own(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, speaking(log=log), name="odd") as b:
        await b.request("logging/setLevel", {"level": "error"})
        said = [logs("a", "debug"), logs("b", "error")]
        await work(b, modern=True, level="debug", before=said)
        await work(b, modern=False, before=said)
        await work(b, modern=True, before=said)
    assert [one["data"] for one in told(b)] == ["a", "b", "b"]
    assert levels(log) == ["debug", "error"]


@pytest.mark.parametrize(
    "stop", [None, TaskPush(task="tsk_1", state="paused"), StopPush(stopped=True), "drop"]
)
async def test_outside_of_calls_the_one_client_hears_until_anything_comes_between(
    stop: TaskPush | StopPush | str | None, tmp_path: Path
) -> None:
    async with bench(tmp_path, speaking(), name="odd") as b:
        await b.request("logging/setLevel", {"level": "info"})
        await work(b, modern=False)
        hear = b.running("odd").logged  # what the adapter calls for what is nobody's (tests/contracts)
        hear({"level": "debug", "data": 1})
        hear({"level": "info", "data": 2})
        await silence(b)
        assert [one["data"] for one in told(b)] == [2]
        if isinstance(stop, str):
            joined = len(b.daemon.opened)
            b.daemon.drop()
            await b.until(lambda: len(b.daemon.opened) > joined)
        elif stop is not None:
            b.daemon.push(stop)
            await b.notified("notifications/tools/list_changed")
        hear({"level": "info", "data": 3})
        await silence(b)
        assert [one["data"] for one in told(b)] == ([2, 3] if stop is None else [2])


async def test_a_level_that_is_none_and_a_task_without_logs_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, speaking(), name="odd") as b:
        for params in ({}, {"level": "loud"}, {"level": 3}, {"level": "info", "other": 1}):
            answer = await b.request("logging/setLevel", params)
            assert (answer["error"]["code"], code_of(answer)) == (-32602, "bad-params")
        answer = await b.request("tools/call", {"name": "odd__work", "_meta": {LEVEL: "loud"}}, modern=True)
        assert code_of(answer) == "bad-params"
        assert (
            code_of(await b.request("logging/setLevel", {"level": "info"}, modern=True)) == "unknown-method"
        )
    async with bench(tmp_path, echo(), name="odd") as b:
        assert not await offers(b)
        answer = await b.request("logging/setLevel", {"level": "info"})
        assert (answer["error"]["code"], code_of(answer)) == (-32601, "unknown-method")


async def test_on_a_stream_outside_of_calls_a_log_is_the_call_s_that_is_open_alone(tmp_path: Path) -> None:
    outside: asyncio.Future[Say] = asyncio.get_running_loop().create_future()
    open_ = asyncio.Semaphore(0)
    speaker = Speaker()

    async def does(asked: Asked, say: Say) -> bool:
        if asked.verb == "GET":
            await say.stream()
            outside.set_result(say)
            await say.gone()
            return True
        if asked.method != "tools/call":
            if "id" in asked.message and asked.method != "server/discover":
                await say.answer(body=dump(speaker.messages(asked.message)[0]))
                return True
            return False
        await say.stream()
        open_.release()
        await say.gone()
        return True

    async with RawHttp(does=does) as there, bench(tmp_path, [there.url], name="odd") as b:
        await b.start("tools/call", {"name": "odd__work", "_meta": {LEVEL: "info"}}, modern=True)
        await open_.acquire()
        await (await outside).more(dump(logs("a")))
        assert (await b.notified("notifications/message"))["params"]["data"] == "a"
        await b.start("tools/call", {"name": "odd__work"}, modern=True)
        await open_.acquire()
        await (await outside).more(dump(logs("b", "alert")))
        # Nobody can say whose it is; the one client of a pipe hears what one of its open calls asked for.
        assert (await b.notified("notifications/message"))["params"]["data"] == "b"
        await (await outside).more(dump(logs("c", "debug")), dump(logs("d")))
        assert (await b.notified("notifications/message"))["params"]["data"] == "d"
