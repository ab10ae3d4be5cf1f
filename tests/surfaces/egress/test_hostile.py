"""What the egress does for a gateway that was taken over: nothing that was not decided, and that once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.surfaces.egress.served import MOST_CALLS
from taskbound.wiring.home import find_socket
from tests.surfaces.egress.keeping import SECRET, egress_socket, kept, row_of
from tests.surfaces.egress.test_real import egress_pid, until_another

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.surfaces.gateway.real import Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
HOSTILE = Path(__file__).with_name("hostile.py")
USE = {"text": "a"}


class Hostile:
    """The process, step by step."""

    def __init__(self, process: asyncio.subprocess.Process, place: Place, server: str) -> None:
        self._process = process
        self._requests = 0
        self.start = {
            "op": "egress:start",
            "namespace": "default",
            "server": server,
            "identity": row_of(place, server).identity,
            "era": row_of(place, server).spec.era,
        }

    async def step(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        return json.loads(line)

    async def asked(self, name: str, ask: Any) -> Any:
        """What the egress says to this."""
        await self.step("say", name, ask)
        return await self.step("hear", name)

    async def begun(self, name: str, **changes: Any) -> Any:
        await self.step("open", name)
        return await self.asked(name, self.start | changes)

    async def permit(self, tool: str = "keeper__use", **arguments: Any) -> str:
        self._requests += 1
        ask = {
            "op": "action:decide",
            "tool": tool,
            "arguments": arguments or ({} if "/" in tool else USE),
            "request": str(self._requests),
        }
        found = await self.step("daemon", ask)
        assert found["is"] == "permitted", found
        return str(found["action"])

    async def call(self, name: str, number: int, action: str, tool: str = "use", **arguments: str) -> Any:
        ask = {"op": "egress:call", "number": number, "action": action, "tool": tool}
        return await self.asked(name, ask | {"arguments": arguments or USE})


@contextlib.asynccontextmanager
async def hostile(place: Place, server: str = "keeper") -> AsyncIterator[Hostile]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HOSTILE),
        str(find_socket(place.home)),
        str(egress_socket(place)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        limit=2**24,
    )
    try:
        yield Hostile(process, place, server)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def calls(folder: Path) -> list[Any]:
    """The calls that reached the server."""
    heard = [json.loads(line) for line in (folder / "heard").read_text(encoding="utf-8").splitlines()]
    return [one["params"]["name"] for one in heard if one["method"] == "tools/call"]


async def test_nothing_is_started_sent_or_said_beyond_a_permit_of_this_process_and_its_bytes(
    tmp_path: Path,
) -> None:
    async with kept(tmp_path) as place, hostile(place) as one, hostile(place) as other:
        # Who is no gateway of a task has no server started, whatever it knows of the pin.
        assert (await one.begun("early"))["fault"]["code"] == "unproven"
        await other.step("daemon", {"op": "upstream:list"})
        await other.step("person")
        assert (await other.begun("person"))["fault"]["code"] == "not-outside"
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("forged", identity="0" * 64))["fault"]["code"] == "other-pin"
        assert (await one.begun("era", era="2026-07-28"))["fault"]["code"] == "other-pin"
        assert (await one.begun("name", server="echo"))["fault"]["code"] == "other-pin"
        assert (await one.begun("good"))["is"] == "started"
        # No permit, another's permit, a permit for other bytes, another tool: nothing is sent.
        assert (await one.call("good", 1, "act_0"))["code"] == "no-permit"
        theirs = await other.permit()
        assert (await one.call("good", 2, theirs))["code"] == "no-permit"
        action = await one.permit()
        assert (await one.call("good", 3, action, text="b"))["code"] == "other-act"
        assert (await one.call("good", 4, action, "tell", how="plain"))["code"] == "other-act"
        assert calls(tmp_path) == []
        # The permit's own bytes are sent, once.
        assert (await one.call("good", 5, action))["is"] == "result"
        assert (await one.call("good", 6, action))["code"] == "permit-used"
        assert (await one.begun("second"))["is"] == "started"
        assert (await one.call("second", 1, action))["code"] == "permit-used"
        # An outcome that was told ends the permit.
        done = await one.permit()
        await one.step("daemon", {"op": "action:outcome", "action": done, "outcome": "not-sent"})
        assert (await one.call("good", 7, done))["code"] == "no-permit"
        # What can't be read, and what is asked out of order, ends the connection.
        assert (await one.asked("second", '{"op":"egress:key","x":1}'))["code"] == "bad-frame"
        assert await one.step("hear", "second") is None
        await one.step("open", "third")
        assert (await one.asked("third", {"op": "egress:list", "number": 1, "method": "tools/list"}))[
            "code"
        ] == "not-started"
        # The end of the task ends what a permit is worth, and what is listed.
        last = await one.permit()
        place.end_task()
        assert (await one.call("good", 8, last))["code"] in {"no-permit", "task-ended"}
        listed = await one.asked("good", {"op": "egress:list", "number": 9, "method": "tools/list"})
        assert listed["is"] == "unlisted"
        assert SECRET not in str(listed)
        assert calls(tmp_path) == ["use"]


def heard(folder: Path) -> str:
    return (folder / "heard").read_text(encoding="utf-8")


async def test_a_gateway_has_no_words_of_its_own_for_a_server(tmp_path: Path) -> None:
    async with kept(tmp_path) as place, hostile(place) as one:
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good"))["is"] == "started"
        # A URI that no permit subscribed to, a key that was not decided: refused, and not said.
        gone = {"op": "egress:unsubscribe", "number": 1, "uri": "of://the-gateway"}
        assert (await one.asked("good", gone))["fault"]["code"] == "other-act"
        call = {"op": "egress:call", "number": 2, "tool": "use", "arguments": USE}
        keyed = call | {"action": await one.permit(), "key": "of-the-gateway"}
        assert (await one.asked("good", keyed))["code"] == "other-act"
        # A call is cancelled in the egress' own words.
        never = {"how": "never"}
        waits = await one.permit("keeper__tell", **never)
        ask = call | {"number": 6, "action": waits, "tool": "tell", "arguments": never}
        await one.step("say", "good", ask)
        while '"never"' not in heard(tmp_path):
            await asyncio.to_thread(os.sched_yield)
        await one.step("say", "good", {"op": "egress:cancel", "number": 6, "reason": "of-the-gateway"})
        while "notifications/cancelled" not in heard(tmp_path):
            await asyncio.to_thread(os.sched_yield)
        # Levels are MCP's: with another word the connection ends.
        bad = {"number": 1, "level": "of-the-gateway"}
        for name, said in (("a", call | {"action": "act_0"} | bad), ("b", {"op": "egress:log-from"} | bad)):
            assert (await one.begun(name))["is"] == "started"
            assert (await one.asked(name, said))["code"] == "not-started"
            assert await one.step("hear", name) is None
        # After the end of the task the daemon says no to all of it.
        logs = {"op": "egress:log-from", "number": 7, "level": "debug"}
        assert (await one.asked("good", logs))["is"] == "entries"
        place.end_task()
        assert (await one.asked("good", logs | {"number": 8}))["is"] == "unlisted"
    assert "of-the-gateway" not in heard(tmp_path)


@pytest.mark.parametrize(
    "ask", [{"op": "egress:list", "method": "tools/list"}, {"op": "egress:log-from", "level": "debug"}]
)
async def test_who_asks_without_end_is_cut_off(ask: dict[str, str], tmp_path: Path) -> None:
    async with kept(tmp_path) as place, hostile(place) as one:
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good"))["is"] == "started"
        await one.step("burst", "good", ask | {"number": 1}, MOST_CALLS + 1)
        assert (await one.step("hear", "good"))["code"] == "not-started"
        assert (await one.begun("twin"))["is"] == "started"
        await one.step("burst", "twin", ask | {"number": 1}, MOST_CALLS)
        assert (await one.step("hear", "twin"))["is"] == "entries"


async def test_what_is_long_is_looked_through_beside_the_loop(tmp_path: Path) -> None:
    async with kept(tmp_path) as place, hostile(place) as one:
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good"))["is"] == "started"
        ask = {"op": "egress:call", "number": 1, "tool": "tell", "arguments": {"how": "large"}}
        await one.step("say", "good", ask | {"action": await one.permit("keeper__tell", how="large")})
        # The server answers one after the other; what it says next is not held up by the first.
        listed = await one.asked("good", {"op": "egress:list", "number": 2, "method": "tools/list"})
        assert listed["is"] == "entries"
        assert (await one.step("hear", "good"))["is"] == "result"


@pytest.mark.parametrize(("how", "first"), [("short", "progress"), ("long", "result")])
async def test_progress_that_is_long_is_dropped(how: str, first: str, tmp_path: Path) -> None:
    async with kept(tmp_path) as place, hostile(place) as one:
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("good"))["is"] == "started"
        ask = {"op": "egress:call", "number": 1, "tool": "tell", "arguments": {"how": how}, "progress": True}
        action = await one.permit("keeper__tell", how=how)
        assert (await one.asked("good", ask | {"action": action}))["is"] == first


async def test_a_permit_that_was_given_before_the_egress_began_is_not_used(tmp_path: Path) -> None:
    async with kept(tmp_path) as place, hostile(place) as one:
        assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
        assert (await one.begun("first"))["is"] == "started"
        old = await one.permit()
        before = egress_pid(place)
        os.kill(before, signal.SIGKILL)
        await until_another(place, before)
        assert (await one.begun("second"))["is"] == "started"
        assert (await one.call("second", 1, old))["code"] == "permit-used"
        assert (await one.call("second", 2, await one.permit(text="b"), text="b"))["is"] == "result"
    assert calls(tmp_path) == ["use"]
