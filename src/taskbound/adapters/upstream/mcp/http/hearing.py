"""Routes a server's notifications to calls, and restores subscriptions in a new session.

1. A progress token is its request's number. It counts in the call's own exchange and on the stream outside
   calls, where older servers send it, never in another call's exchange.
2. Logs in a call's exchange belong to that call; outside calls, to the only open call, or to none.
3. Requests about a call that continues as a server's task have their own exchanges; their notifications
   belong to that call until it is dropped or the server is lost.

Restoring (`Again`): 1. A subscription or log level counts from the server's confirmation. 2. After a lost
session (404) all are requested again, and lists and resources are reported as changed, because notifications
may be missing. 3. If that fails the server is ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import log_from, token_in
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.ports.upstream import Answered, Errored
from taskbound.wire.mcp.message import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.adapters.upstream.mcp.http.session import HttpSession
    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import NoAnswer, Told, UpstreamAnswer, UpstreamEvents


NOBODY: Final = 0
"""The id of no request of ours."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An open exchange."""

    answer: Callable[[UpstreamAnswer], None]
    progress: Told | None = None
    logged: Told | None = None
    task: asyncio.Task[None] | None = None


class Exchanges:
    """Open exchanges of one server by number; `logged` gets logs of no known call."""

    def __init__(self, logged: Told) -> None:
        self._logged = logged
        self.open: dict[int, Waiting] = {}
        self._kept: dict[int, Waiting] = {}
        self._of: dict[int, int] = {}
        """By the number of a question that is open: the call that it is about (rule 3)."""

    def begin(self, number: int, one: Waiting, *, of: int = NOBODY) -> None:
        """Opens an exchange, which may be about a call."""
        self.open[number] = one
        if of:
            self._of[number] = of

    def end(self, number: int) -> Waiting | None:
        self._of.pop(number, None)
        return self.open.pop(number, None)

    def keep(self, number: int, one: Waiting) -> None:
        self._kept[number] = one

    def drop(self, number: int) -> None:
        self._kept.pop(number, None)

    def lose(self, found: NoAnswer) -> None:
        kept, self._kept = self._kept, {}
        for one in kept.values():
            one.answer(found)

    def about(self, within: int | None) -> int | None:
        return self._of.get(within, within) if within is not None else None

    def progressed(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        token = token_in(params)
        one = self._heard_of(token) if self.about(within) in {token, NOBODY} else None
        if one is not None and one.progress is not None:
            one.progress(params)

    def log(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        within = self.about(within)
        every = (*self.open.values(), *self._kept.values())
        calls = [one.logged for one in every if one.logged is not None]
        alone = calls[0] if len(calls) == 1 else None
        one = self._heard_of(within) if within else None
        told = alone if within == NOBODY else one.logged if one is not None else None
        (told or self._logged)(params)

    def _heard_of(self, number: int) -> Waiting | None:
        return self.open.get(number) or self._kept.get(number)


_PATIENCE: Final = 10.0
"""Seconds for one subscription."""


class Again:
    """Confirmed subscriptions and log level of one server; used in the loop."""

    def __init__(self, session: HttpSession, events: UpstreamEvents) -> None:
        self._session = session
        self._events = events
        self._uris: dict[str, None] = {}
        self._level = ""
        self._asking: asyncio.Task[None] | None = None
        session.renewed = self._renewed

    def subscribes(
        self, uri: str, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        """Wraps `answer` so that a confirmed subscription is recorded (rule 1)."""

        def heard(found: UpstreamAnswer) -> None:
            if isinstance(found, Answered):
                self._uris[uri] = None
            answer(found)

        return heard

    def leave(self, uri: str) -> None:
        self._uris.pop(uri, None)

    def logs_from(self, level: str) -> None:
        self._level = level

    def _renewed(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        try:
            if self._level:
                await log_from(self._session, self._level)
            for uri in tuple(self._uris):
                await self._subscribe(uri)
        except TaskboundError as error:
            self._session.end(f"in its new session the server does not tell what it told: {error.message}")
            return
        for kind in ("prompts", "resources"):
            self._events.listed(kind)
        for uri in tuple(self._uris):
            self._events.updated(uri)

    async def _subscribe(self, uri: str) -> None:
        if uri not in self._uris:
            return
        asked = b'{"uri":%b}' % text(uri)
        found = await self._session.ask("resources/subscribe", asked, patience=_PATIENCE)
        if isinstance(found, Errored):
            raise ServerLostError("it does not subscribe to what it was subscribed to")
