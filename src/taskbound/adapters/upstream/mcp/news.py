"""A server's change notifications: lists and subscribed resources.

1. A legacy server sends list changes unasked and subscribes by URI (`resources/subscribe`). A modern server
   uses one open stream (`subscriptions/listen`) for lists and wanted URIs.
2. When the URIs change, a new stream is requested and the old one ends after the acknowledgement, so nothing
   is missed. One change runs at a time.
3. A URI is subscribed once the server acknowledges it; an omitted one is refused.
4. A resource update counts only on an open stream and for a subscribed URI. A list change counts anywhere: it
   only causes another listing.
5. An ended stream is requested again with increasing pauses; everything followed is then reported as changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import ServerLostError
from taskbound.adapters.upstream.mcp.handshake import params_for
from taskbound.core.action.canonical import canonical
from taskbound.core.tool import MAX_URI
from taskbound.ports.upstream import Answered, Errored, NoAnswer
from taskbound.wire.mcp.message import MODERN, SUBSCRIPTION_KEY, is_modern, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.adapters.upstream.mcp.handshake import Opened
    from taskbound.adapters.upstream.mcp.session import McpSession
    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import UpstreamAnswer, UpstreamEvents
    from taskbound.wire.mcp.message import Notice


_LISTS: Final = {
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
    "notifications/tools/list_changed": "tools",
}
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_UPDATED: Final = "notifications/resources/updated"
_UNKNOWN: Final = frozenset({-32601, -32602})
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 60.0
_PATIENCE: Final = 10.0
"""Seconds for an acknowledgment."""
_SOON: Final = 2.0
"""Seconds for what nobody waits for."""
_REFUSED: Final = -32602
_DONE: Final = b'{"resultType":"complete"}'


def pass_on(notice: Notice, events: UpstreamEvents, listening: Listening | None) -> None:
    """Forwards a notification other than progress and logs; `listening` is a modern server's."""
    kind = _LISTS.get(notice.method, "")
    if kind:
        _listed(events, kind)  # 4
    elif listening is not None:
        listening.noticed(notice)
    elif uri := _updated_in(notice):
        events.updated(uri)


async def unsubscribe(session: McpSession, uri: str) -> None:
    """Unsubscribes at a legacy server; later updates of the URI are ignored."""
    with contextlib.suppress(ServerLostError):
        await session.ask("resources/unsubscribe", b'{"uri":%b}' % text(uri), patience=_SOON)


def listen(session: McpSession, events: UpstreamEvents, opened: Opened) -> Listening | None:
    """Opens a modern server's stream if it declares notifications (rule 1)."""
    if not (is_modern(opened.era) and opened.news):
        return None
    made = Listening(session, events)
    made.begin()
    return made


class Listening:
    """The notification stream of one modern server; used in the loop."""

    def __init__(self, session: McpSession, events: UpstreamEvents) -> None:
        self._session = session
        self._events = events
        self._uris: frozenset[str] = frozenset()
        """What is subscribed to (rule 3)."""
        self._due: dict[str, dict[int, Callable[[UpstreamAnswer], None]]] = {}
        """What is to be subscribed to with the next stream, and who waits for it."""
        self._left: set[str] = set()
        """What is not to be subscribed to any more with it."""
        self._streams: dict[int, frozenset[str]] = {}
        """Open streams by their numbers, with what each carries; the last may not be acknowledged yet."""
        self._asking: tuple[int, frozenset[str]] | None = None
        """The stream that is not acknowledged yet, and which of its URIs somebody waits for."""
        self._answers: dict[str, dict[int, Callable[[UpstreamAnswer], None]]] = {}
        self._number = 0
        self._pause = _FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._missed = False
        """Whether there was a time without a stream since one was there (rule 5)."""
        self._off = False
        """Whether the server knows no such streams."""

    def begin(self) -> None:
        self._next()

    def subscribe(self, uri: str, answer: Callable[[UpstreamAnswer], None]) -> int:
        """Subscribes a URI; `answer` is called once, later. Returns a negative number."""
        self._number -= 1
        self._due.setdefault(uri, {})[self._number] = answer
        self._left.discard(uri)
        asyncio.get_running_loop().call_soon(self._next)
        return self._number

    def cancel(self, number: int) -> None:
        answer = self._take(number)
        if answer is not None:
            answer(NoAnswer("cancelled", "the subscription was cancelled before it was acknowledged"))

    def forget(self, number: int) -> None:
        self._take(number)

    def leave(self, uri: str) -> None:
        asked = self._asking[1] if self._asking is not None else frozenset()
        if uri in self._uris | asked and uri not in self._due and not self._answers.get(uri):
            self._left.add(uri)
            asyncio.get_running_loop().call_soon(self._next)

    def noticed(self, notice: Notice) -> None:
        meta = notice.params.get("_meta")
        stream = meta.get(SUBSCRIPTION_KEY) if isinstance(meta, dict) else None
        number = stream if type(stream) is int and stream in self._streams else 0
        if notice.method == _ACKNOWLEDGED and number:
            self._acknowledged(number, notice.params.get("notifications"))
        elif (uri := _updated_in(notice)) and number and uri in self._streams[number] and uri in self._uris:
            self._events.updated(uri)

    def over(self) -> None:
        """Answers pending subscriptions after the server's end."""
        self._off = True
        if self._timer is not None:
            self._timer.cancel()
        waiting = [one for some in (self._due, self._answers) for one in some.values()]
        self._due, self._answers = {}, {}
        for some in waiting:
            for answer in some.values():
                answer(NoAnswer("server-lost", "the server ended before it acknowledged the subscription"))

    # --- streams ---------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._asking is not None or (self._timer is not None and not self._due):
            return
        self._stop_timer()
        if self._off or not self._session.alive:
            self.over()
            return
        if self._streams and not self._due and not self._left:
            return
        self._answers, self._due = self._due, {}
        wanted = (self._uris | self._answers.keys()) - self._left
        self._left.clear()
        filters: dict[str, JsonValue] = {f"{kind}ListChanged": True for kind in _LISTS.values()}
        if wanted:
            filters["resourceSubscriptions"] = [*sorted(wanted)]
        members = b'"notifications":%b' % canonical(filters)
        number = self._session.send(
            "subscriptions/listen", params_for(MODERN, members), lambda found: self._ended(number, found)
        )
        self._streams[number] = wanted
        self._asking = number, wanted
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._late, number)

    def _acknowledged(self, number: int, said: JsonValue) -> None:
        if self._asking is None or self._asking[0] != number:
            return
        self._stop_timer()
        wanted, self._asking, self._pause = self._asking[1], None, _FIRST_PAUSE
        before, missed, self._missed = self._uris, self._missed, False
        named = said.get("resourceSubscriptions") if isinstance(said, dict) else None
        honored = (
            frozenset(one for one in named if isinstance(one, str))
            if isinstance(named, list)
            else frozenset()
        )
        self._uris = self._streams[number] = wanted & honored
        for older in [one for one in self._streams if one != number]:
            del self._streams[older]
            self._session.cancel(older, "another stream has taken its place")
            self._session.forget(older)
        waiting, self._answers = self._answers, {}
        for uri, some in waiting.items():
            found = Answered(_DONE, {"resultType": "complete"}) if uri in self._uris else _refusal(uri)
            for answer in some.values():
                answer(found)
        if missed:
            for kind in _LISTS.values():
                _listed(self._events, kind)
            for uri in before & self._uris:
                self._events.updated(uri)
        self._next()

    def _ended(self, number: int, found: UpstreamAnswer) -> None:
        if self._streams.pop(number, None) is None:
            return
        if not self._session.alive:
            self.over()
            return
        if self._asking is not None and self._asking[0] == number:
            self._stop_timer()
            self._asking = None
            if isinstance(found, Errored) and found.code in _UNKNOWN and not self._uris:
                self._off = True
            waiting, self._answers = self._answers, {}
            for some in waiting.values():
                for answer in some.values():
                    answer(found if isinstance(found, Errored | NoAnswer) else _lost())
        if not self._streams and not self._off and self._timer is None:
            self._missed = True
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._again)
            self._pause = min(2 * self._pause, _LAST_PAUSE)

    def _again(self) -> None:
        self._timer = None
        self._next()

    def _late(self, number: int) -> None:
        self._timer = None
        self._session.cancel(number, "the stream was not acknowledged")
        self._session.forget(number)
        self._ended(number, NoAnswer("no-answer", "the server did not acknowledge the subscription in time"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, number: int) -> Callable[[UpstreamAnswer], None] | None:
        for some in (self._due, self._answers):
            for uri, waiting in some.items():
                if number in waiting:
                    answer = waiting.pop(number)
                    if not waiting and some is self._due:
                        del some[uri]
                    return answer
        return None


def _listed(events: UpstreamEvents, kind: str) -> None:
    if kind == "tools":
        events.tools_changed()
    else:
        events.listed(kind)


def _updated_in(notice: Notice) -> str:
    uri = notice.params.get("uri") if notice.method == _UPDATED else None
    return uri if isinstance(uri, str) and len(uri) <= MAX_URI else ""


def _lost() -> NoAnswer:
    return NoAnswer("no-answer", "the server ended the stream before it acknowledged it")


def _refusal(uri: str) -> Errored:
    words = "the server does not carry changes of this resource"
    raw = b'{"code":%d,"data":{"uri":%b},"message":%b}' % (_REFUSED, text(uri), text(words))
    return Errored(raw, _REFUSED, words)
