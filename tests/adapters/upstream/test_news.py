"""Which URIs a modern server is asked for, when those who want them come and go."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.upstream.mcp.news import Listening
from taskbound.wire.mcp.message import SUBSCRIPTION_KEY, Notice

if TYPE_CHECKING:
    from taskbound.ports.upstream import UpstreamAnswer

pytestmark = pytest.mark.anyio


class Server:
    """A server's side of a session: what it was asked for, in order."""

    alive = True

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def send(self, _method: str, params: bytes, _answer: object) -> int:
        self.asked.append(json.loads(params)["notifications"].get("resourceSubscriptions", []))
        return len(self.asked)

    def cancel(self, number: int, reason: str) -> None: ...

    def forget(self, number: int) -> None: ...

    def acknowledges(self) -> Notice:
        """What it says to the stream that it was asked for last."""
        params: dict[str, Any] = {
            "_meta": {SUBSCRIPTION_KEY: len(self.asked)},
            "notifications": {"resourceSubscriptions": self.asked[-1]},
        }
        return Notice("notifications/subscriptions/acknowledged", params)


async def test_what_is_left_before_it_is_acknowledged_is_left_at_the_server_too() -> None:
    server, events = Server(), object()
    made = Listening(server, events)  # type: ignore[arg-type]  # of events, those that come here: none
    made.begin()
    made.noticed(server.acknowledges())
    got: list[UpstreamAnswer] = []
    number = made.subscribe("test://a", got.append)
    await asyncio.sleep(0)
    made.cancel(number)
    made.leave("test://a")
    made.noticed(server.acknowledges())
    await asyncio.sleep(0)
    assert server.asked == [[], ["test://a"], []]


async def test_what_another_waits_for_is_not_left() -> None:
    server, events = Server(), object()
    made = Listening(server, events)  # type: ignore[arg-type]  # of events, those that come here: none
    made.begin()
    made.noticed(server.acknowledges())
    got: list[UpstreamAnswer] = []
    made.subscribe("test://a", got.append)
    number = made.subscribe("test://a", got.append)
    await asyncio.sleep(0)
    made.cancel(number)
    made.leave("test://a")
    made.noticed(server.acknowledges())
    await asyncio.sleep(0)
    assert server.asked == [[], ["test://a"]]
    assert len(got) == 2
