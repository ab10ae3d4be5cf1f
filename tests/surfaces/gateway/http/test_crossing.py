from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.surfaces.gateway.link import Timings
from taskbound.wire.action import Decide, Reason, Refused
from taskbound.wire.approval import HoldPush
from tests.peers.commands import echo, faulty, telling
from tests.surfaces.gateway.http.fronting import META, OTHER, TOKEN, near

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("modern", [True, False])
async def test_the_progress_of_a_server_goes_to_the_exchange_of_its_call(
    tmp_path: Path, *, modern: bool
) -> None:
    async with near(tmp_path, telling()) as there:
        session = "" if modern else await there.initialize(TOKEN)
        wires = [await there.wire() for _ in range(2)]
        for wire, token in zip(wires, ("a", "b"), strict=True):
            meta = (META if modern else {}) | {"progressToken": token}
            params = {"name": "echo__work", "arguments": {}, "_meta": meta}
            message = {"id": token, "method": "tools/call", "params": params}
            wire.send(there.modern(TOKEN, message) if modern else there.legacy(TOKEN, message, session))
        for wire, token in zip(wires, ("a", "b"), strict=True):
            assert (await wire.head()).headers["content-type"] == "text/event-stream"
            events = []
            while (one := await wire.event()) is not None:
                events.append(one)
            told = [(one["params"]["progressToken"], one["params"]["progress"]) for one in events[:-1]]
            assert told == [(token, 1), (token, 5)]
            assert events[-1]["result"]["content"][0]["text"] == "done"
            wire.writer.close()


async def test_what_is_told_of_a_call_goes_to_its_own_exchange_and_to_a_client_that_takes_it(
    tmp_path: Path,
) -> None:
    def held(ask: Decide) -> Refused:
        reason = Reason(code="held", text="people are asked")
        return Refused(action=f"act_{ask.request}", task="tsk_1", code="held", instead="", reasons=(reason,))

    timings = Timings(grace=1.0, ping=0.2, cancel=0.15, hold=20.0, leave=5.0)
    async with near(tmp_path, echo(), timings=timings) as there:
        there.daemon.on[Decide] = held
        wires = [await there.wire() for _ in range(3)]
        for wire, token, accept in zip(wires, ("a", "b", "c"), (None, None, "application/json"), strict=True):
            meta = META | {"progressToken": token}
            more = {"Accept": accept} if accept else {}
            wire.send(there.calling(TOKEN, "echo__echo", {"text": "a"}, 7, meta=meta, **more))
        for wire, token in zip(wires[:2], ("a", "b"), strict=True):
            assert (await wire.head()).headers["content-type"] == "text/event-stream"
            told = await wire.event()
            assert told is not None
            assert told["method"] == "notifications/progress"
            assert told["params"]["progressToken"] == token
        actions = [f"act_{one.request}" for one in there.daemon.asks if isinstance(one, Decide)]
        there.daemon.on[Decide] = there.daemon.permit
        for action in actions:
            there.daemon.push(HoldPush(action=action, state="approved"))
        for wire in wires[:2]:
            last = None
            while (one := await wire.event()) is not None:
                last = one
            assert last is not None
            assert (last["id"], last["result"]["content"][0]["text"]) == (7, "a")
        plain = await wires[2].answer()
        assert (plain.headers["content-type"], plain.text) == ("application/json", "a")
        for wire in wires:
            wire.writer.close()


async def test_a_client_that_does_not_read_is_closed_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    async with near(tmp_path, faulty("floods-result", n=14_000_000), stalled=1.0) as there:
        whole = await there.call(TOKEN, "echo__work", {})
        assert len(whole.body) > 14_000_000  # who reads gets all of it
        async with await there.wire() as slow:
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
            slow.send(there.calling(TOKEN, "echo__work", {}))
            seat = next(iter(there.front._seats.values()))  # noqa: SLF001 -- that its servers wait is the point

            def paused() -> bool:
                return seat.gateway._servers._paused  # noqa: SLF001 -- that its servers wait is the point

            await there.until(lambda: seat._slow == 1)  # noqa: SLF001 -- the same
            assert paused()
            other = await there.send(there.modern(OTHER, {"method": "tools/list"}))
            assert other.status == 200
            await there.until(lambda: seat._slow == 0)  # noqa: SLF001 -- the same
            assert not paused()
        assert (await there.call(TOKEN, "echo__work", {})).status == 200


async def test_request_behind_unread_answer_is_not_read_and_connection_ends(tmp_path: Path) -> None:
    command = faulty("floods-result", n=14_000_000)
    async with near(tmp_path, command, stalled=1.0) as there, await there.wire() as slow:
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
        slow.send(there.calling(TOKEN, "echo__work", {}))
        seats = there.front._seats  # noqa: SLF001 -- that the answer waits to be read is the point
        await there.until(lambda: any(one._slow for one in seats.values()))  # noqa: SLF001 -- the same
        slow.send(there.calling(TOKEN, "echo__work", {}))
        await there.until(lambda: not there.front._connections)  # noqa: SLF001 -- that it is closed is the point
        assert len([one for one in there.daemon.asks if isinstance(one, Decide)]) == 1
