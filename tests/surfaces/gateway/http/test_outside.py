"""What legacy clients are told over HTTP that belongs to none of their requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.connection import Bind, Fault, Open, TaskPush
from taskbound.wire.mcp.message import MODERN
from tests.peers.commands import speaking
from tests.peers.speaking import notice, updated
from tests.surfaces.gateway.http.fronting import OTHER, TOKEN, Near, Wire, near

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

A = "test://a"


class Old:
    """A legacy client with a session."""

    def __init__(self, there: Near, session: str) -> None:
        self.there, self.session, self._last = there, session, 0

    @classmethod
    async def begin(cls, there: Near, token: str = TOKEN) -> Old:
        made = cls(there, await there.initialize(token))
        said = {"method": "notifications/initialized"}
        assert (await there.send(there.legacy(token, said, made.session))).status == 202
        return made

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        answer = await self.there.send(self.there.legacy(TOKEN, message, self.session))
        found: dict[str, Any] = answer.events[-1] if answer.events else answer.json
        return found

    async def hear(self) -> Wire:
        """The stream of what belongs to no request."""
        wire = await self.there.wire()
        wire.send(
            self.there.raw(
                TOKEN,
                b"",
                verb="GET",
                Accept="text/event-stream",
                Mcp_Session_Id=self.session,
                MCP_Protocol_Version="2025-11-25",
            )
        )
        head = await wire.head()
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        return wire

    async def say(self, *messages: dict[str, Any]) -> None:
        """Have the server say this."""
        found = await self.ask("tools/call", {"name": "echo__work", "arguments": {"before": [*messages]}})
        assert found["result"]["content"][0]["text"] == "done"


async def test_each_session_hears_on_its_stream_what_it_asked_for_and_no_other_s(tmp_path: Path) -> None:
    async with near(tmp_path, speaking(log=tmp_path / "log")) as there:
        one, other = await Old.begin(there), await Old.begin(there)
        async with await one.hear() as mine, await other.hear() as others:
            assert (await one.ask("resources/subscribe", {"uri": A}))["result"] == {}
            await one.say(updated(A))
            heard = await mine.event()
            assert heard is not None
            assert (heard["method"], heard["params"]) == ("notifications/resources/updated", {"uri": A})
            await one.say(notice("prompts/list_changed"))
            for wire in (mine, others):  # the other one hears this first
                heard = await wire.event()
                assert heard is not None
                assert heard["method"] == "notifications/prompts/list_changed"


async def test_a_second_stream_takes_the_place_of_the_first_and_a_session_s_end_ends_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with near(tmp_path, speaking(log=log)) as there:
        old = await Old.begin(there)
        async with await old.hear() as first, await old.hear() as second:
            assert await first.event() is None
            assert (await old.ask("resources/subscribe", {"uri": A}))["result"] == {}
            end = there.raw(
                TOKEN, b"", verb="DELETE", Mcp_Session_Id=old.session, MCP_Protocol_Version="2025-11-25"
            )
            assert (await there.send(end)).status == 200
            assert await second.event() is None
            await there.until(lambda: b"resources/unsubscribe" in log.read_bytes())


def _push(there: Near) -> None:
    there.daemon.push(TaskPush(task="tsk_1", state="revoked"))


def _refuse(there: Near) -> None:
    there.daemon.on[Bind] = there.daemon.on[Open] = lambda _: Fault(code="bad-token", message="replaced")


def _hang(there: Near) -> None:
    there.daemon.silent = True


@pytest.mark.parametrize("end", [_push, _refuse, _hang])
async def test_law_10_a_stream_ends_with_the_task_and_when_nobody_says_that_it_may_be_open(
    tmp_path: Path, end: Callable[[Near], None]
) -> None:
    async with near(tmp_path, speaking(), check=0.05, fresh=0.2) as there:
        old = await Old.begin(there)
        await old.say()
        async with await old.hear() as wire:
            end(there)
            while await wire.event() is not None:
                pass


async def test_a_modern_client_has_no_such_stream_and_a_legacy_one_needs_its_session(there: Near) -> None:
    modern = await there.send(there.raw(TOKEN, b"", verb="GET", MCP_Protocol_Version=MODERN))
    assert (modern.status, modern.code) == (405, "http-method")
    none = await there.send(there.raw(TOKEN, b"", verb="GET"))
    assert (none.status, none.code) == (400, "no-session")


async def test_a_session_of_another_token_is_none(there: Near) -> None:
    old = await Old.begin(there)
    raw = there.raw(OTHER, b"", verb="GET", Mcp_Session_Id=old.session, MCP_Protocol_Version="2025-11-25")
    found = await there.send(raw)
    assert (found.status, found.code) == (404, "unknown-session")
