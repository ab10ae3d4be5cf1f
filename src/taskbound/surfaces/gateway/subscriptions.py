"""Who is told that what is under a URI changed, and for how long.

1. To subscribe is an action, `SERVER__resources/subscribe` of the URI: decided, recorded and sent as any
   (`asking`). A modern client asks for many at once with a stream; it is told which of them it has.
2. A subscription is no right that lasts. Whether the task still covers it is asked before each change is
   told, and every 2 seconds. What is not covered is over, and the stream that carries it is ended. So is all
   of it when the task is paused or ends, everything is stopped, or the daemon is away for too long (laws 4
   and 10).
3. Told is that it is subscribed to and that it changed, and nothing else of what the server says; only for
   the very URI, and only to who subscribed to it, of the server that it subscribed at.
4. Changes that come while others are being told are told together, at most 10 times a second.
5. So many URIs are subscribed to in one connection. When nobody wants one any more, its server is told so.
6. A server that ends takes its subscriptions with it: their streams are ended, and the client asks anew.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from dataclasses import field
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import MAX_URI, SEPARATOR
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.errors import BusyError
from taskbound.surfaces.gateway.reach import covered_among
from taskbound.wire.mcp.era import SUBSCRIPTION_KEY
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.write import notice_line, result_line, text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.asking import Asking
    from taskbound.surfaces.gateway.binding import Running
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.talk import Talk
    from taskbound.surfaces.gateway.wanted import Wanted
    from taskbound.wire.mcp.message import Id

    Beside = Callable[[Coroutine[None, None, None]], None]


_log = logging.getLogger(__name__)

METHOD: Final = "resources/subscribe"
MAX_URIS: Final = 64
"""URIs that one connection subscribes to, each as often as clients do."""
_CHECK: Final = 2.0
_REST: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """A stream of changes that a modern client has open, or asks for."""

    id: Id
    raw: bytes
    """The same as the client wrote it."""
    calls: list[Call] = field(default_factory=list)
    """The actions by which its URIs are subscribed to."""


@dataclass(slots=True, kw_only=True, eq=False)
class Wish:
    """One URI that one client subscribes to."""

    whose: Talk | Stream
    uri: str
    call: Call
    """The action by which it does; it knows the server."""
    kept: bool = False
    """Whether that was permitted and has succeeded."""
    missed: bool = False
    """Whether a change came before that."""


class Subscriptions:
    """Those of one connection; used in the loop."""

    def __init__(
        self,
        client: Client,
        link: Link,
        asking: Asking,
        *,
        beside: Beside,
        end_stream: Callable[[Stream], None],
    ) -> None:
        """Start with none.

        Args:
            client: Who is told.
            link: The daemon.
            asking: Makes actions of requests.
            beside: Does something beside everything else.
            end_stream: Ends a client's stream.
        """
        self._client = client
        self._link = link
        self._asking = asking
        self._beside = beside
        self._end_stream = end_stream
        self._wishes: list[Wish] = []
        self._changed: list[Wish] = []
        """Those of which a change is to be told, in the order in which they came."""
        self._telling = False
        self._check: asyncio.TimerHandle | None = None

    # --- what clients do -------------------------------------------------------------------------

    def require_room(self, more: int) -> None:
        """Go on only when so many URIs more can be subscribed to (rule 5).

        Raises:
            BusyError: They can't.
        """
        if len(self._wishes) + more > MAX_URIS:
            raise BusyError(f"a connection subscribes to at most {MAX_URIS} resources")

    def wish(self, whose: Talk | Stream, uri: str, call: Call) -> Wish:
        """A client wants to subscribe to a URI, for which there is room; `run` is due for it."""
        made = Wish(whose=whose, uri=uri, call=call)
        self._wishes.append(made)
        return made

    async def run(self, wish: Wish, wanted: Wanted, asked: bytes) -> bytes:
        """See one request through (rule 1); arguments and result as `Asking.run`, but for the wish."""
        call, whose = wish.call, wish.whose
        try:
            line = await self._asking.run(call, wanted, asked)
        except BaseException:
            self._drop([wish])
            raise
        if not _succeeded(line) or wish not in self._wishes:
            self._drop([wish])
            return line
        again = [one for one in self._wishes if one.kept and one.whose is whose and one.uri == wish.uri]
        wish.kept = True
        self._drop(again)
        if wish.missed:
            self._tell_later([wish])
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(_CHECK, self._look)
        return result_line(call.id_raw, b"{}")  # 3

    def has(self, whose: Talk | Stream, uri: str) -> bool:
        """Whether a client subscribes to this URI now."""
        return any(one.kept and one.whose is whose and one.uri == uri for one in self._wishes)

    def leave(self, whose: Talk | Stream, uri: str = "") -> None:
        """A client wants to hear no more of a URI, or of any."""
        self._drop([one for one in self._wishes if one.whose is whose and uri in {"", one.uri}])

    def end_all(self) -> None:
        """Authority is over, or nobody can say that it is not (rule 2)."""
        self._end(self._wishes)

    def close(self) -> None:
        """Look after nothing any more."""
        self._wishes.clear()
        if self._check is not None:
            self._check.cancel()

    # --- what servers say ------------------------------------------------------------------------

    def updated(self, server: Running, uri: str) -> None:
        """A server says that something is another under this URI (rule 3)."""
        about = [one for one in self._wishes if one.uri == uri and one.call.running is server]
        for one in about:
            one.missed = not one.kept
        self._tell_later([one for one in about if one.kept])

    def ended(self, server: Running) -> None:
        """A server ended (rule 6)."""
        self._end([one for one in self._wishes if one.call.running is server])

    # --- telling ---------------------------------------------------------------------------------

    def _tell_later(self, wishes: list[Wish]) -> None:
        self._changed += [one for one in wishes if one not in self._changed]
        if self._changed and not self._telling:
            self._telling = True
            self._beside(self._tell())

    async def _tell(self) -> None:
        """Tell what changed, as far as it is still covered, until nothing is left to tell (rules 2 and 4)."""
        try:
            while self._changed:
                due, self._changed = self._changed, []
                covered = await self._covered(due)
                for one in covered:
                    if one in self._wishes:
                        self._say(one)
                unasked = [one for one in due if one not in covered]
                self._changed += [one for one in unasked if one in self._wishes and one not in self._changed]
                await sleep(_REST)
        finally:
            self._telling = False

    def _say(self, wish: Wish) -> None:
        if isinstance(wish.whose, Stream):
            self._client.tell(_line(wish), wish.whose.id)
        else:
            self._client.say(_line(wish), wish.whose)

    def _look(self) -> None:
        """Ask again whether all is still covered (rule 2)."""
        self._check = None
        if any(one.kept for one in self._wishes):
            self._check = asyncio.get_running_loop().call_later(_CHECK, self._look)
            self._beside(self._look_at_all())

    async def _look_at_all(self) -> None:
        await self._covered([one for one in self._wishes if one.kept])

    async def _covered(self, wishes: Iterable[Wish]) -> list[Wish]:
        """Those of these that the task covers now; of the others each that surely is not is over."""
        groups: dict[str, list[Wish]] = {}
        for one in wishes:
            groups.setdefault(one.call.server, []).append(one)
        found: list[Wish] = []
        for server, some in groups.items():
            calls = [canonical({"uri": one.uri}) for one in some]
            try:
                places = await covered_among(self._link, f"{server}{SEPARATOR}{METHOD}", calls, how="whole")
            except RefusedByDaemonError as error:
                _log.info("subscriptions at %s are over: %s", server, error.message)
                places = []
            except TaskboundError:
                continue  # nothing is told before it can be asked; `end_all` comes when it can not
            found += [some[place] for place in places]
            self._end([one for place, one in enumerate(some) if place not in places])
        return found

    # --- ending ----------------------------------------------------------------------------------

    def _end(self, wishes: Iterable[Wish]) -> None:
        """These are over, and so are the streams that carry them."""
        some = list(wishes)
        streams = {one.whose for one in some if isinstance(one.whose, Stream)}
        self._drop([one for one in self._wishes if one in some or one.whose in streams])
        for stream in streams:
            self._end_stream(stream)

    def _drop(self, wishes: Iterable[Wish]) -> None:
        """Forget these, and have servers say no more of what nobody wants (rule 5)."""
        for one in wishes:
            if one in self._wishes:
                self._wishes.remove(one)
            running = one.call.running
            if running is None or not one.call.number:
                continue
            if not any(other.uri == one.uri and other.call.running is running for other in self._wishes):
                self._beside(_let_go(running, one.uri))


async def _let_go(running: Running, uri: str) -> None:
    if running.upstream is not None and running.upstream.alive:
        await running.upstream.unsubscribe(uri)


def _succeeded(line: bytes) -> bool:
    """Whether this line, of a request that `Asking` saw through, is no error."""
    return bool(line) and "result" in msgspec.json.decode(line, type=dict[str, msgspec.Raw])


def _line(wish: Wish) -> bytes:
    """What the client is told (rule 3)."""
    about = b'"uri":%b' % text(wish.uri)
    if isinstance(wish.whose, Stream):
        about = b'"_meta":{"%b":%b},%b' % (SUBSCRIPTION_KEY.encode(), wish.whose.raw, about)
    return notice_line("notifications/resources/updated", b"{%b}" % about)


def read_uri(params: Mapping[str, JsonValue]) -> str:
    """The URI in the parameters of `resources/unsubscribe`.

    Raises:
        BadParamsError: They are not those of it.
    """
    uri = params.get("uri")
    if not params.keys() <= {"_meta", "uri"} or not isinstance(uri, str) or not 0 < len(uri) <= MAX_URI:
        raise BadParamsError(f"`resources/unsubscribe` takes a `uri` of 1 to {MAX_URI} characters")
    return uri


def read_uris(wanted: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """The URIs that a stream is asked to carry, each once.

    Raises:
        BadParamsError: They are no such list.
    """
    uris = wanted.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or len(uris) > MAX_URIS:
        raise BadParamsError(f"`resourceSubscriptions` is a list of at most {MAX_URIS} URIs")
    found = {one for one in uris if isinstance(one, str) and 0 < len(one) <= MAX_URI}
    if len(found) != len({str(one) for one in uris}):
        raise BadParamsError(f"a URI in `resourceSubscriptions` has 1 to {MAX_URI} characters")
    return tuple(sorted(found))
