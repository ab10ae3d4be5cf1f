"""The progress of a call, from a server that may say anything to the client that asked for it."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.ports.upstream import NoAnswer, UpstreamAnswer
from taskbound.sdk.arrival import Arrival
from taskbound.surfaces.gateway.call import Call, InterruptReason
from taskbound.surfaces.gateway.logs import MAX_A_SECOND, MAX_MESSAGE, MAX_TOLD, progress_of
from taskbound.wire.action import Outcome
from taskbound.wire.connection import StopPush, TaskPush
from tests.peers.commands import telling
from tests.peers.rawhttp import RawHttp, dump, result_of
from tests.peers.telling import told_of as said
from tests.surfaces.gateway.bench import bench, code_of, silence, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.peers.rawhttp import Asked, Say

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("modern", [False, True])


class Told:
    """A call that is open at its server, and what its client is told."""

    def __init__(self, *, named: int | str | None = "t", turns: int = 0) -> None:
        self.lines: list[bytes] = []
        self.connected = True
        self.waiting: Arrival[UpstreamAnswer] = Arrival()
        self.call = Call(
            id=7,
            id_raw=b"7",
            request="7",
            key="",
            tool="a__b",
            server="a",
            own="b",
            arguments=b"{}",
            modern=True,
            progress=named,
            turns=turns,
            waiting=self.waiting,
        )
        self.heard = progress_of(self.call, lambda line, _: self.lines.append(line), lambda: self.connected)

    def hear(self, **params: Any) -> None:
        assert self.heard is not None
        self.heard({"progressToken": 1, **params})

    @property
    def params(self) -> list[dict[str, Any]]:
        return [json.loads(line)["params"] for line in self.lines]


async def test_what_is_told_stands_under_the_client_s_token_and_is_one_line_to_every_reader() -> None:
    told = Told()
    told.hear(progress=0)
    told.hear(progress=0.5, total=2, message="h\u2028\x85\n\u202ef", _meta={"a": "canary"})
    assert told.params == [
        {"progress": 0, "progressToken": "t"},
        {"progress": 0.5, "total": 2, "message": "h\u2028\x85\n\u202ef", "progressToken": "t"},
    ]
    assert all(len(line.decode().splitlines()) == 1 for line in told.lines)
    assert b"canary" not in b"".join(told.lines)
    assert Told(named=None).heard is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"progress": "1"},
        {"progress": None},
        {"progress": True},
        {"progress": -1},
        {"progress": math.nan},
        {"progress": math.inf},
        {"progress": 2**53},
        {"progress": 1, "total": None},
        {"progress": 1, "total": "2"},
        {"progress": 1, "total": True},
        {"progress": 1, "total": math.inf},
        {"progress": 1, "message": None},
        {"progress": 1, "message": ["a"]},
        {"progress": 1, "message": "x" * (MAX_MESSAGE + 1)},
        {"progress": 1, "other": 1},
    ],
)
async def test_what_is_no_progress_is_dropped_whole_and_what_follows_is_told(params: dict[str, Any]) -> None:
    told = Told()
    told.hear(**params)
    assert told.lines == []
    told.hear(progress=0, message="x" * MAX_MESSAGE)
    assert len(told.lines) == 1


async def test_a_client_that_came_back_without_a_token_is_told_nothing() -> None:
    told = Told()
    told.call.progress = None
    told.hear(progress=1)
    assert told.lines == []


async def test_progress_that_falls_is_dropped_and_what_does_not_is_told() -> None:
    told = Told()
    for progress in (1, 3, 2, 3, 2.999, 4):
        told.hear(progress=progress)
    assert [one["progress"] for one in told.params] == [1, 3, 3, 4]


async def test_progress_goes_on_from_where_the_wait_for_people_was_told() -> None:
    told = Told(turns=3)
    told.hear(progress=0, total=1)
    told.hear(progress=2**53 - 1)  # counted on it has no exact text
    told.hear(progress=0.5)
    assert [(one["progress"], one.get("total")) for one in told.params] == [(3, 4), (3.5, None)]


@pytest.mark.parametrize("cause", list(InterruptReason))
async def test_nothing_is_told_of_a_call_that_anything_interrupts(cause: InterruptReason) -> None:
    told = Told()
    told.hear(progress=1)
    told.call.cause = cause
    told.hear(progress=2)
    assert len(told.lines) == 1


async def test_nothing_is_told_after_the_answer_nor_while_the_daemon_is_away() -> None:
    told = Told()
    told.connected = False
    told.hear(progress=1)
    told.connected = True
    told.hear(progress=1)
    assert len(told.lines) == 1
    told.waiting.arrive(NoAnswer("garbage", "it is over"))
    told.hear(progress=2)
    told.call.waiting = None
    told.hear(progress=3)
    assert len(told.lines) == 1


async def test_a_flood_is_told_twenty_times_a_second_and_a_thousand_times_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    told = Told()
    for second in range(3):
        now = float(second)
        for step in range(500):
            told.hear(progress=second * 1_000 + step)
        assert len(told.lines) == (second + 1) * MAX_A_SECOND
    for second in range(3, 2_000):
        now = float(second)
        told.hear(progress=second * 1_000)
    assert len(told.lines) == MAX_TOLD


# --- through the gateway ------------------------------------------------------------------------------------


@ERAS
async def test_progress_of_a_started_server_reaches_the_one_who_called(
    tmp_path: Path, *, modern: bool
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, telling(log=log), name="odd") as b:
        params = {"name": "odd__work", "arguments": {}, "_meta": {"progressToken": "canary"}}
        assert text_of(await b.request("tools/call", params, modern=modern)) == "done"
        del params["_meta"]
        assert text_of(await b.request("tools/call", params, modern=modern)) == "done"
        await silence(b)
    told = [json.loads(line) for line in b.lines if b"notifications/progress" in line]
    assert [one["params"] for one in told] == [
        {"message": "working", "progress": step, "progressToken": "canary", "total": 6} for step in (1, 5)
    ]
    places = [at for at, line in enumerate(b.lines) if b"notifications/progress" in line]
    assert max(places) < next(at for at, line in enumerate(b.lines) if b'"done"' in line)
    assert b"canary" not in log.read_bytes()
    assert log.read_bytes().count(b"progressToken") == 1


@ERAS
async def test_each_call_is_told_its_own_progress_and_no_exchange_tells_another_s(
    tmp_path: Path, *, modern: bool
) -> None:
    tokens: list[int] = []
    both = asyncio.Event()

    async def works(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        tokens.append(asked.message["params"]["_meta"]["progressToken"])
        if len(tokens) == 2:
            both.set()
        await both.wait()
        mine = asked.message["params"]["_meta"]["progressToken"]
        other = sum(tokens) - mine
        await say.stream(dump(said(other, 66)), dump(said(mine, 1)), result_of(asked.message))
        say.end()
        return True

    async with (
        RawHttp(era="modern" if modern else "legacy", does=works) as there,
        bench(tmp_path, [there.url], name="far") as b,
    ):
        made = [
            await b.start(
                "tools/call", {"name": "far__work", "_meta": {"progressToken": token}}, modern=modern
            )
            for token in ("a", 8)
        ]
        for request in made:
            assert text_of(await b.answer_to(request)) == "done"
    found = [json.loads(line)["params"] for line in b.lines if b"notifications/progress" in line]
    assert sorted((str(one["progressToken"]), one["progress"]) for one in found) == [("8", 1), ("a", 1)]


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (TaskPush(task="tsk_1", state="paused"), "task-paused"),
        (TaskPush(task="tsk_1", state="revoked"), "task-ended"),
        (StopPush(stopped=True), "stopped"),
        (None, ""),
    ],
)
async def test_law_4_what_a_server_tells_of_an_interrupted_call_is_withheld_as_its_result_is(
    stop: TaskPush | StopPush | None, code: str, tmp_path: Path
) -> None:
    told = asyncio.Event()
    cancelled: Callable[[], bool] = lambda: bool(there.heard("notifications/cancelled"))  # noqa: E731 -- a name for a wait

    async def works(asked: Asked, say: Say) -> bool:
        if asked.method != "tools/call":
            return False
        token = asked.message["params"]["_meta"]["progressToken"]
        await say.stream(dump(said(token, 1)))
        await there.until(cancelled)
        await say.more(dump(said(token, 2)), result_of(asked.message))
        told.set()
        say.end()
        return True

    async with RawHttp(does=works) as there, bench(tmp_path, [there.url], name="far") as b:
        request = await b.start("tools/call", {"name": "far__work", "_meta": {"progressToken": "t"}})
        assert (await b.notified("notifications/progress"))["params"]["progress"] == 1
        if stop is None:
            await b.cancel(request)
        else:
            b.daemon.push(stop)
        await told.wait()
        outcome = await b.daemon.asked(Outcome)
        assert outcome.outcome == "succeeded", "it was heard to its end"
        if stop is not None:
            assert code_of(await b.answer_to(request)) == code
        await silence(b)
    assert sum(b"notifications/progress" in line for line in b.lines) == 1


async def test_a_legacy_server_may_tell_of_a_call_on_its_stream_outside_of_calls(tmp_path: Path) -> None:
    outside: asyncio.Future[Say] = asyncio.get_running_loop().create_future()
    passed = asyncio.Event()

    async def works(asked: Asked, say: Say) -> bool:
        if asked.verb == "GET":
            await say.stream()
            outside.set_result(say)
            await say.gone()
            return True
        if asked.method != "tools/call":
            return False
        token = asked.message["params"]["_meta"]["progressToken"]
        await (await outside).more(dump(said(token + 1, 2)), dump(said(token, 1)))
        await passed.wait()
        await say.answer(body=result_of(asked.message))
        return True

    async with RawHttp(does=works) as there, bench(tmp_path, [there.url], name="far") as b:
        request = await b.start("tools/call", {"name": "far__work", "_meta": {"progressToken": "t"}})
        told = await b.notified("notifications/progress")
        assert (told["params"]["progressToken"], told["params"]["progress"]) == ("t", 1)
        passed.set()
        assert text_of(await b.answer_to(request)) == "done"
