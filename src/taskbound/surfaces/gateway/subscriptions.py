"""Resource subscriptions of a client, and its list of tools.

* Subscribing is an action, `SERVER__resources/subscribe` of the URI. A subscription is no lasting right:
  coverage is checked before each notification and every 2 seconds, and an uncovered subscription and its
  stream are ended. All end when the task is paused or over, at a stop, or when the daemon is away too long
  (laws 4 and 10). A server's end ends its subscriptions.
* Only the subscription and the fact of a change are sent, only for this URI, only to its subscriber;
  changes are batched, at most 10 times a second. URIs per connection are bounded.
* The list has only tools that the task can reach, as pinned; a listing gives no right. It is private and
  uncacheable, because it changes with the task. Declared capabilities are those that the task's servers are
  pinned with; if unknown, tools only. To a client of 2025-11-25 every tool is declared as an optional MCP
  task: the gateway can wait for the client.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.tool import MAX_URI, SEPARATOR, is_reserved, parse_tool_name
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.asking import covered_among
from taskbound.surfaces.gateway.eras import crosses, offered
from taskbound.surfaces.gateway.errors import BusyError, code_of
from taskbound.wire.mcp.message import DECISION_KEY, SUBSCRIPTION_KEY, notice_line, result_line, text
from taskbound.wire.mcp.task import BadParamsError, TaskSupport
from taskbound.wire.tool import ListUpstreams, ReachTools, ToolRows, UpstreamRows

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.asking import ResourceRequests
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client, ClientSession
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.logs import ActionRequest
    from taskbound.wire.mcp.message import Id
    from taskbound.wire.tool import ToolRow

    Beside = Callable[[Coroutine[None, None, None]], None]


_log = logging.getLogger(__name__)

METHOD: Final = "resources/subscribe"
MAX_URIS: Final = 64
"""URIs that one connection subscribes to, each as often as clients do."""
_CHECK: Final = 2.0
_REST: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """A modern client's stream of changes, open or requested."""

    id: Id
    raw: bytes
    """The same as the client wrote it."""
    calls: list[Call] = field(default_factory=list)
    """The actions by which its URIs are subscribed to."""


@dataclass(slots=True, kw_only=True, eq=False)
class Subscription:
    """One client's subscription to a URI."""

    whose: ClientSession | Stream
    uri: str
    call: Call
    """The action by which it does; it knows the server."""
    kept: bool = False
    """Whether that was permitted and has succeeded."""
    missed: bool = False
    """Whether a change came before that."""


class Subscriptions:
    """The subscriptions of one connection; used in the event loop."""

    def __init__(
        self,
        client: Client,
        link: Link,
        asking: ResourceRequests,
        *,
        beside: Beside,
        end_stream: Callable[[Stream], None],
    ) -> None:
        """Starts empty; `beside` runs background work, `end_stream` ends a client's stream."""
        self._client = client
        self._link = link
        self._asking = asking
        self._beside = beside
        self._end_stream = end_stream
        self._wishes: list[Subscription] = []
        self._changed: list[Subscription] = []
        """Subscriptions with an unsent change, in order of arrival."""
        self._telling = False
        self._check: asyncio.TimerHandle | None = None

    # --- what clients do -------------------------------------------------------------------------

    def require_room(self, more: int) -> None:
        """Raises BusyError unless `more` further URIs fit."""
        if len(self._wishes) + more > MAX_URIS:
            raise BusyError(f"a connection subscribes to at most {MAX_URIS} resources")

    def wish(self, whose: ClientSession | Stream, uri: str, call: Call) -> Subscription:
        """Registers a subscription, for which there is room; `run` must follow."""
        made = Subscription(whose=whose, uri=uri, call=call)
        self._wishes.append(made)
        return made

    async def run(self, wish: Subscription, wanted: ActionRequest, asked: bytes) -> bytes:
        """Runs the subscription's request; see `ResourceRequests.run`."""
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
        return result_line(call.id_raw, b"{}")

    def has(self, whose: ClientSession | Stream, uri: str) -> bool:
        return any(one.kept and one.whose is whose and one.uri == uri for one in self._wishes)

    def leave(self, whose: ClientSession | Stream, uri: str = "") -> None:
        self._drop([one for one in self._wishes if one.whose is whose and uri in {"", one.uri}])

    def end_all(self) -> None:
        """Ends all: authority is over or can't be confirmed."""
        self._end(self._wishes)

    def close(self) -> None:
        self._wishes.clear()
        if self._check is not None:
            self._check.cancel()

    # --- what servers say ------------------------------------------------------------------------

    def updated(self, server: ServerHandle, uri: str) -> None:
        about = [one for one in self._wishes if one.uri == uri and one.call.running is server]
        for one in about:
            one.missed = not one.kept
        self._tell_later([one for one in about if one.kept])

    def ended(self, server: ServerHandle) -> None:
        self._end([one for one in self._wishes if one.call.running is server])

    # --- telling ---------------------------------------------------------------------------------

    def _tell_later(self, wishes: list[Subscription]) -> None:
        self._changed += [one for one in wishes if one not in self._changed]
        if self._changed and not self._telling:
            self._telling = True
            self._beside(self._tell())

    async def _tell(self) -> None:
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

    def _say(self, wish: Subscription) -> None:
        if isinstance(wish.whose, Stream):
            self._client.tell(_line(wish), wish.whose.id)
        else:
            self._client.say(_line(wish), wish.whose)

    def _look(self) -> None:
        self._check = None
        if any(one.kept for one in self._wishes):
            self._check = asyncio.get_running_loop().call_later(_CHECK, self._look)
            self._beside(self._look_at_all())

    async def _look_at_all(self) -> None:
        await self._covered([one for one in self._wishes if one.kept])

    async def _covered(self, wishes: Iterable[Subscription]) -> list[Subscription]:
        """Returns the covered ones, and ends those that the daemon refuses for certain."""
        groups: dict[str, list[Subscription]] = {}
        for one in wishes:
            groups.setdefault(one.call.server, []).append(one)
        found: list[Subscription] = []
        for server, some in groups.items():
            calls = [canonical({"uri": one.uri}) for one in some]
            try:
                places = await covered_among(self._link, f"{server}{SEPARATOR}{METHOD}", calls, how="whole")
            except RefusedByDaemonError as error:
                _log.info("subscriptions at %s are over: %s", server, error.message)
                places = []
            except TaskboundError:
                continue  # no change is sent before coverage is confirmed; otherwise `end_all` follows
            found += [some[place] for place in places]
            self._end([one for place, one in enumerate(some) if place not in places])
        return found

    # --- ending ----------------------------------------------------------------------------------

    def _end(self, wishes: Iterable[Subscription]) -> None:
        some = list(wishes)
        streams = {one.whose for one in some if isinstance(one.whose, Stream)}
        self._drop([one for one in self._wishes if one in some or one.whose in streams])
        for stream in streams:
            self._end_stream(stream)

    def _drop(self, wishes: Iterable[Subscription]) -> None:
        for one in wishes:
            if one in self._wishes:
                self._wishes.remove(one)
            running = one.call.running
            if running is None or not one.call.number:
                continue
            if not any(other.uri == one.uri and other.call.running is running for other in self._wishes):
                self._beside(_let_go(running, one.uri))


async def _let_go(running: ServerHandle, uri: str) -> None:
    if running.upstream is not None and running.upstream.alive:
        await running.upstream.unsubscribe(uri)


def _succeeded(line: bytes) -> bool:
    return bool(line) and "result" in msgspec.json.decode(line, type=dict[str, msgspec.Raw])


def _line(wish: Subscription) -> bytes:
    about = b'"uri":%b' % text(wish.uri)
    if isinstance(wish.whose, Stream):
        about = b'"_meta":{"%b":%b},%b' % (SUBSCRIPTION_KEY.encode(), wish.whose.raw, about)
    return notice_line("notifications/resources/updated", b"{%b}" % about)


def read_uri(params: Mapping[str, JsonValue]) -> str:
    """Returns the URI of `resources/unsubscribe`; raises BadParamsError."""
    uri = params.get("uri")
    if not params.keys() <= {"_meta", "uri"} or not isinstance(uri, str) or not 0 < len(uri) <= MAX_URI:
        raise BadParamsError(f"`resources/unsubscribe` takes a `uri` of 1 to {MAX_URI} characters")
    return uri


def read_uris(wanted: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Returns the distinct URIs of a requested stream; raises BadParamsError."""
    uris = wanted.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or len(uris) > MAX_URIS:
        raise BadParamsError(f"`resourceSubscriptions` is a list of at most {MAX_URIS} URIs")
    found = {one for one in uris if isinstance(one, str) and 0 < len(one) <= MAX_URI}
    if len(found) != len({str(one) for one in uris}):
        raise BadParamsError(f"a URI in `resourceSubscriptions` has 1 to {MAX_URI} characters")
    return tuple(sorted(found))


_KINDS: Final = {"prompts": "prompts/get", "resources": "resources/read"}
"""What there can be lists of beside tools, with the method that it is asked for by."""
_DECLARED: Final[dict[str, JsonValue]] = {"listChanged": True}


class Listing:
    """The list of tools of one client."""

    def __init__(self, link: Link, client: Client) -> None:
        self._link = link
        self._client = client
        self._due: set[str] = set()
        self._shown: str | None = None
        self._failed = False
        self.streams: dict[Id, bytes] = {}
        """Open streams of a modern client, with their ids as written."""
        self._wanted: dict[Id, tuple[str, ...]] = {}
        """Of each, the lists whose changes it carries."""
        self._kinds: tuple[str, ...] = ("tools",)
        """The lists that were declared to the client."""

    async def capabilities(self) -> dict[str, JsonValue]:
        try:
            rows = await self._link.ask(ReachTools(), ToolRows)
        except TaskboundError as error:
            _log.warning("what there is beside tools is not known: %s", error.message)
            return {"tools": _DECLARED}
        methods = {parse_tool_name(row.name)[1] for row in rows.rows}
        beside = [kind for kind, method in _KINDS.items() if method in methods]
        self._kinds = ("tools", *beside)
        found: dict[str, JsonValue] = {kind: dict(_DECLARED) for kind in self._kinds}
        if "resources/subscribe" in methods:
            found["resources"] = {**_DECLARED, "subscribe": True}
        found |= {"completions": {}} if "completion/complete" in methods else {}
        return found | ({"logging": {}} if await self._any_logs(rows) else {})

    async def _any_logs(self, reached: ToolRows) -> bool:
        try:
            rows = await self._link.ask(ListUpstreams(), UpstreamRows)
        except TaskboundError as error:
            _log.warning("which servers log is not known: %s", error.message)
            return False
        names = {parse_tool_name(row.name)[0] for row in reached.rows}
        return any(row.spec.logs and row.spec.name in names for row in rows.rows)

    async def answer(self, *, modern: bool, tasks: bool = False) -> bytes:
        """Returns the result of `tools/list`; `tasks` declares optional MCP tasks."""
        try:
            rows = await self._link.ask(ReachTools(), ToolRows)
        except TaskboundError as error:
            self._failed = True
            return offered([], modern=modern, refusal=_refusal(code_of(error), error.message))
        self._failed = False
        self._shown = rows.task
        ordered = sorted(rows.rows, key=lambda row: row.name)
        listed = [row for row in ordered if not is_reserved(parse_tool_name(row.name)[1])]
        tools = [_shown(row, tasks=tasks) for row in listed]
        refusal = _refusal("no-tools", rows.refusal) if rows.refusal else None
        return offered([one for one in tools if crosses(one, modern=modern)], modern=modern, refusal=refusal)

    def bound(self, task: str) -> None:
        """Handles a new binding: earlier listings may belong to another task."""
        if self._shown is not None and self._shown != task:
            self.changed()

    def joined(self) -> None:
        """Handles a connected daemon: a list shown without it was empty."""
        if self._failed:
            self.changed()

    def changed(self, kind: str = "") -> None:
        """Notes that one list, or all, changed; repeated calls give one notification."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._tell)
        self._due |= {kind} if kind else {"tools", *_KINDS}

    def _tell(self) -> None:
        due, self._due = self._due, set()
        for talk in [one for one in self._client.talks() if one.begun]:
            for kind in due.intersection(self._kinds):
                self._client.say(notice_line(_changed(kind)), talk)
        for request, raw in self.streams.items():
            for kind in due.intersection(self._wanted[request]):
                about = b'{"_meta":{"%b":%b}}' % (SUBSCRIPTION_KEY.encode(), raw)
                self._client.tell(notice_line(_changed(kind), about), request)

    def listen(self, stream: Stream, wanted: Mapping[str, JsonValue], uris: Sequence[str]) -> None:
        """Opens a stream for the subscribed `uris`; call `capabilities` first."""
        kinds = tuple(kind for kind in self._kinds if wanted.get(_filter(kind)) is True)
        if kinds or uris:
            self.streams[stream.id] = stream.raw
            self._wanted = {one: self._wanted[one] for one in self._wanted if one in self.streams}
            self._wanted[stream.id] = kinds
        honored: dict[str, JsonValue] = {_filter(kind): True for kind in kinds}
        if uris:
            honored["resourceSubscriptions"] = [*uris]
        params = b'{"_meta":{"%b":%b},"notifications":%b}' % (
            SUBSCRIPTION_KEY.encode(),
            stream.raw,
            canonical(honored),
        )
        self._client.tell(notice_line("notifications/subscriptions/acknowledged", params), stream.id)

    def end(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        result = b'{"_meta":{"%b":%b},"resultType":"complete"}' % (SUBSCRIPTION_KEY.encode(), stream.raw)
        self._client.answer(result_line(stream.raw, result), stream.id)


def _filter(kind: str) -> str:
    return f"{kind}ListChanged"


def _changed(kind: str) -> str:
    return f"notifications/{kind}/list_changed"


def _shown(row: ToolRow, *, tasks: bool) -> dict[str, Any]:
    tool: dict[str, Any] = msgspec.json.decode(row.raw, type=dict[str, Any])
    tool["name"] = row.name
    if tasks:
        own = tool.get("execution")
        said = {"taskSupport": TaskSupport.OPTIONAL.value}
        tool["execution"] = own | said if isinstance(own, dict) else said
    return tool


def _refusal(code: str, reason: str) -> dict[str, JsonValue]:
    return {DECISION_KEY: {"code": code, "reason": reason}}
