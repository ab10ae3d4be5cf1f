"""Who hears what a server says in which exchange, and what is asked again of a new session.

Of `hearing`:

1. The token of a call's progress is the number of its request. It counts in the call's own exchange, and on
   the stream outside of calls, where older servers say it; in another call's exchange it is dropped.
2. What is logged in the exchange of a call is that call's; outside of calls it is that of the one that is
   open alone, and nobody's otherwise.
3. What is asked about a call whose server goes on with it as a task has exchanges of its own. What the server
   says in them is of that call. It is heard of until it is dropped, or the server lost (`session`, rule 6).

Of `again`:

1. A URI counts from the server's word that it is subscribed to until it is let go, a level from its word that
   it logs from there on.
2. A server that has forgotten its session (404) has forgotten both. In the new one it is asked for all of it
   again, at once. What it would have said in between nobody knows: its lists, and what is under each URI, are
   said to be another.
3. Where it does not do it again the server is ended: so those who rely on it see that it is over, and what is
   asked for next opens it anew.
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
    """What waits for an answer, or is heard of after one."""

    answer: Callable[[UpstreamAnswer], None]
    progress: Told | None = None
    logged: Told | None = None
    task: asyncio.Task[None] | None = None


class Exchanges:
    """What is open with one server, by number."""

    def __init__(self, logged: Told) -> None:
        """Have nothing open; `logged` hears what is logged of no call that can be told."""
        self._logged = logged
        self.open: dict[int, Waiting] = {}
        self._kept: dict[int, Waiting] = {}
        self._of: dict[int, int] = {}
        """By the number of a question that is open: the call that it is about (rule 3)."""

    def begin(self, number: int, one: Waiting, *, of: int = NOBODY) -> None:
        """This waits for an answer, which may be about a call."""
        self.open[number] = one
        if of:
            self._of[number] = of

    def end(self, number: int) -> Waiting | None:
        """Nothing waits under this number any more."""
        self._of.pop(number, None)
        return self.open.pop(number, None)

    def keep(self, number: int, one: Waiting) -> None:
        """This was answered and is heard of; its `answer` is told that the server is lost (rule 3)."""
        self._kept[number] = one

    def drop(self, number: int) -> None:
        """It is not heard of any more."""
        self._kept.pop(number, None)

    def lose(self, found: NoAnswer) -> None:
        """The server is lost to all that was answered and is heard of."""
        kept, self._kept = self._kept, {}
        for one in kept.values():
            one.answer(found)

    def about(self, within: int | None) -> int | None:
        """The call that is spoken of in this exchange (rule 3)."""
        return self._of.get(within, within) if within is not None else None

    def progressed(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        """The server notifies of progress in this exchange (rule 1)."""
        token = token_in(params)
        one = self._heard_of(token) if self.about(within) in {token, NOBODY} else None
        if one is not None and one.progress is not None:
            one.progress(params)

    def log(self, params: Mapping[str, JsonValue], within: int | None) -> None:
        """The server logs in this exchange (rule 2)."""
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
    """What one server was asked to tell; used in the loop."""

    def __init__(self, session: HttpSession, events: UpstreamEvents) -> None:
        """Nothing yet; `session` says when it is another one."""
        self._session = session
        self._events = events
        self._uris: dict[str, None] = {}
        self._level = ""
        self._asking: asyncio.Task[None] | None = None
        session.renewed = self._renewed

    def subscribes(
        self, uri: str, answer: Callable[[UpstreamAnswer], None]
    ) -> Callable[[UpstreamAnswer], None]:
        """Hear the answer to a subscription before `answer` does (rule 1)."""

        def heard(found: UpstreamAnswer) -> None:
            if isinstance(found, Answered):
                self._uris[uri] = None
            answer(found)

        return heard

    def leave(self, uri: str) -> None:
        """Nobody wants to hear of this URI any more."""
        self._uris.pop(uri, None)

    def logs_from(self, level: str) -> None:
        """It logs from this level on."""
        self._level = level

    def _renewed(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """Ask for all of it again (rules 2 and 3)."""
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
        """Subscribe to a URI once more.

        Raises:
            ServerLostError: The server does not say that it is subscribed to.
        """
        if uri not in self._uris:
            return
        asked = b'{"uri":%b}' % text(uri)
        found = await self._session.ask("resources/subscribe", asked, patience=_PATIENCE)
        if isinstance(found, Errored):
            raise ServerLostError("it does not subscribe to what it was subscribed to")
