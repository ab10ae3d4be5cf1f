"""Requests beside `tools/call` (resources, prompts, completion) and the catalog of what the gateway offers.

Each request is a call (`calls`) of the tool `SERVER__METHOD`. A URI belongs to the one server whose grants
cover it, or, among several, to the only one that lists it or a matching template; with none or several the
gateway sends nothing and records that once. A missing item and a refused item get the same answer; the
record tells them apart. The server's answer is forwarded byte for byte.

The catalog shows only entries that a grant of the current step covers, checked again for each page; a
listing gives no right. A server that fails is left out, and the answer says so. A URI that is covered on
two servers which both list it is hidden. A cursor is a random name, valid for this connection and task;
server cursors never reach the client. Lists are private and uncacheable, sorted by server. Invalid entries
and prompts with equal or confusable names are dropped, `_meta` is removed. To find the server of a URI, a
listing up to one minute old suffices.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.tool import MAX_URI, SEPARATOR, look_of, parse_template
from taskbound.surfaces.gateway.eras import NO_DECISION, decision_in, paged
from taskbound.surfaces.gateway.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    UnknownMethodError,
    code_of,
    data_of,
    rpc_code,
)
from taskbound.surfaces.gateway.logs import join_prompt_name
from taskbound.wire.mcp.message import DECISION_KEY, failure_line, result_line
from taskbound.wire.mcp.task import BadParamsError
from taskbound.wire.tool import CoverCalls, Coverings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import UriTemplate
    from taskbound.surfaces.gateway.binding import Binding, ServerHandle, Servers
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.calls import Calls
    from taskbound.surfaces.gateway.link import Link
    from taskbound.surfaces.gateway.logs import ActionRequest, Reports
    from taskbound.surfaces.gateway.standing import TaskBinding


MOST_CALLS: Final = 100
"""Calls of one question."""


async def covered_among(
    link: Link, tool: str, calls: Sequence[bytes], *, how: Literal["whole", "begun", "template"]
) -> list[int]:
    """Returns the indexes of the calls that the task's scope covers now; `how` as in `CoverCalls`."""
    found: list[int] = []
    for start in range(0, len(calls), MOST_CALLS):
        some = tuple(map(msgspec.Raw, calls[start : start + MOST_CALLS]))
        answer = await link.ask(CoverCalls(tool=tool, calls=some, how=how), Coverings)
        found += [start + place for place in answer.covered if 0 <= place < len(some)]
    return found


_NOT_FOUND: Final = -32002
"""What a legacy server says of a resource that is not there; modern ones must not."""
_ABSENT: Final = frozenset(
    {"forbidden", "not-permitted", "outside-scope", "unknown-resource", "unknown-tool"}
)
_ADVICE: Final = "list what there is for this task, or ask the person who opened it"


class UnknownResourceError(DeniedError):
    """No server of the task is known to serve the URI."""

    code = "unknown-resource"
    remedy = _ADVICE


class ShadowedResourceError(DeniedError):
    """Two servers list the URI, and the task covers it on both."""

    code = "shadowed-resource"
    remedy = "ask the person who opened the task to grant the URI of one of the servers only"


class ResourceRequests:
    """Turns such requests into calls; used in the event loop."""

    def __init__(
        self, link: Link, standing: TaskBinding, entries: Entries, calls: Calls, reports: Reports
    ) -> None:
        self._link = link
        self._reports = reports
        self._standing = standing
        self._entries = entries
        self._calls = calls

    async def run(self, call: Call, wanted: ActionRequest, asked: bytes) -> bytes:
        """Returns the answering line, b"" if no answer is due; `asked` is recorded if it becomes no call."""
        try:
            call.server = call.server or await self._server_of(wanted)
        except TaskboundError as error:
            if call.is_left:
                return b""
            self._reports.line(error, asked, tool="")
            if code_of(error) in _ABSENT:
                return not_there(call.id_raw, wanted.shown, modern=call.modern)
            return failure_line(call.id_raw, rpc_code(error), error.message, data_of(error))
        call.tool = f"{call.server}{SEPARATOR}{wanted.method}"
        line = await self._calls.run(call)
        return _told(call, wanted, line) if line else b""

    async def _server_of(self, wanted: ActionRequest) -> str:
        binding = await self._standing.bind()
        able = able_servers(binding, wanted.method)
        if len(able) == 1:
            return next(iter(able))
        covering = [name for name in able if await self._covers(name, wanted)]
        if not covering and able:
            return next(iter(able))  # it is refused there, and recorded as an action
        if len(covering) == 1:
            return covering[0]
        claims = await asyncio.gather(*(self._claims(able[name], wanted.uri) for name in covering))
        claiming = [name for name, claimed in zip(covering, claims, strict=True) if claimed]
        if not claiming:
            raise UnknownResourceError("no server of the task lists this URI")
        if len(claiming) > 1:
            names = " and ".join(f"`{name}`" for name in claiming)
            raise ShadowedResourceError(f"the servers {names} both claim this URI")
        return claiming[0]

    async def _covers(self, server: str, wanted: ActionRequest) -> bool:
        tool = f"{server}{SEPARATOR}{wanted.method}"
        return bool(await covered_among(self._link, tool, [wanted.arguments], how="whole"))

    async def _claims(self, running: ServerHandle, uri: str) -> bool:
        """Whether the server lists the URI; a server that can't be listed counts as listing it."""
        try:
            return await self._entries.claim(running, uri)
        except TaskboundError:
            return True


def able_servers(binding: Binding, method: str) -> dict[str, ServerHandle]:
    return {
        name: running
        for name, running in sorted(binding.servers.items())
        if f"{name}{SEPARATOR}{method}" in binding.reach
    }


def not_there(request: bytes, shown: tuple[str, str], *, modern: bool) -> bytes:
    """Returns the answer for an item that is missing or not covered: the same for both."""
    name, value = shown
    legacy = name == "uri" and not modern
    data = canonical({"advice": _ADVICE, "code": "not-there", name: value})
    words = "there is nothing of this name for the task"
    return failure_line(request, _NOT_FOUND if legacy else INVALID_PARAMS, words, data)


def _told(call: Call, wanted: ActionRequest, line: bytes) -> bytes:
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "error" in members:
        code = msgspec.json.decode(members["error"], type=dict[str, msgspec.Raw])["code"]
        gone = wanted.uri and int(bytes(code)) in {_NOT_FOUND, INVALID_PARAMS}
        return not_there(call.id_raw, wanted.shown, modern=call.modern) if gone else line
    raw = bytes(members["result"])
    decision = decision_in(raw)
    if decision is not NO_DECISION:
        if decision.code in _ABSENT:
            return not_there(call.id_raw, wanted.shown, modern=call.modern)
        return failure_line(call.id_raw, INTERNAL_ERROR, decision.words, decision.data)
    if not call.modern or wanted.method != "resources/read":
        return line
    result = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    private = msgspec.Raw(b'"private"')
    if result.get("cacheScope") == private and "ttlMs" in result:
        return line
    result = {"ttlMs": msgspec.Raw(b"0")} | result | {"cacheScope": private}
    written = b",".join(b"%b:%b" % (canonical(name), bytes(one)) for name, one in result.items())
    return result_line(call.id_raw, b"{%b}" % written)


_log = logging.getLogger(__name__)
_MOST_KEPT: Final = 8
_PAGE_BYTES: Final = 1_048_576
_PAGE: Final = 200


class BadCursorError(MalformedError):
    """The cursor was not issued for this list and task, or has expired."""

    code = "bad-cursor"
    remedy = "ask for the list anew, without a cursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    method: str
    """The method that its entries are asked for by."""
    member: str
    """The member of the result that is the list."""
    name: str
    """The member of an entry that names it."""
    how: Literal["whole", "begun", "template"]


LISTS: Final[Mapping[str, _Kind]] = {
    "prompts/list": _Kind(method="prompts/get", member="prompts", name="name", how="begun"),
    "resources/list": _Kind(method="resources/read", member="resources", name="uri", how="whole"),
    "resources/templates/list": _Kind(
        method="resources/read", member="resourceTemplates", name="uriTemplate", how="template"
    ),
}
"""Each method that lists what is beside tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    server: str
    entry: Entry
    arguments: bytes
    """What is known of the call that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    task: str
    method: str
    ones: tuple[_One, ...]
    wrong: tuple[str, ...]


class Catalog:
    """The lists of one connection; used in the event loop."""

    def __init__(self, link: Link, standing: TaskBinding, entries: Entries) -> None:
        self._link = link
        self._standing = standing
        self._entries = entries
        self._kept: dict[str, _Rest] = {}

    async def answer(self, method: str, params: Mapping[str, JsonValue], *, modern: bool) -> bytes:
        """Returns the next page; raises BadParamsError, BadCursorError or UnknownMethodError."""
        kind = LISTS[method]
        if not params.keys() <= {"_meta", "cursor"}:
            raise BadParamsError(f"`{method}` takes `cursor` and `_meta`, and nothing else")
        try:
            rest = await self._rest(method, kind, params)
            page, left = await self._page(kind, rest)
        except MalformedError:
            raise
        except TaskboundError as error:
            said = _said(code_of(error), error.message)
            return paged(kind.member, [], modern=modern, cursor="", said=said)
        cursor = self._keep(left) if left is not None else ""
        said = _said("partial-list", "; ".join(rest.wrong)) if rest.wrong else {}
        return paged(kind.member, page, modern=modern, cursor=cursor, said=said)

    async def _rest(self, method: str, kind: _Kind, params: Mapping[str, JsonValue]) -> _Rest:
        binding = await self._standing.bind()
        if "cursor" in params:
            cursor = params["cursor"]
            kept = self._kept.pop(cursor, None) if isinstance(cursor, str) else None
            if kept is None or (kept.task, kept.method) != (binding.task, method):
                raise BadCursorError("the cursor was not given out for this list of this task")
            return kept
        able = able_servers(binding, kind.method)
        if not able:
            raise UnknownMethodError("no server of this task can be asked for that")
        lists = await asyncio.gather(
            *(self._entries.of(running, method) for running in able.values()), return_exceptions=True
        )
        ones: list[_One] = []
        wrong: list[str] = []
        for server, found in zip(able, lists, strict=True):
            if isinstance(found, TaskboundError):
                _log.warning("server %s does not list: %s", server, found.message)
                wrong.append(f"server `{server}` is left out: {found.message}")
            elif isinstance(found, BaseException):
                raise found
            else:
                ones += [_one(kind, server, entry) for entry in found]
        ones.sort(key=lambda one: (one.server, str(one.entry[kind.name])))
        return _Rest(task=binding.task, method=method, ones=tuple(ones), wrong=tuple(wrong))

    async def _page(self, kind: _Kind, rest: _Rest) -> tuple[list[JsonValue], _Rest | None]:
        shown = await self._covered(kind, rest.ones)
        twice = Counter(str(one.entry[kind.name]) for one in shown) if kind.name == "uri" else Counter()
        page: list[JsonValue] = []
        size = 0
        for place, one in enumerate(shown):
            if twice[str(one.entry[kind.name])] > 1:
                continue
            size += len(canonical(one.entry))
            if page and (size > _PAGE_BYTES or len(page) >= _PAGE):
                left = _Rest(task=rest.task, method=rest.method, ones=shown[place:], wrong=rest.wrong)
                return page, left
            page.append(one.entry)
        return page, None

    async def _covered(self, kind: _Kind, ones: Sequence[_One]) -> tuple[_One, ...]:
        found: list[_One] = []
        for server in sorted({one.server for one in ones}):
            own = [one for one in ones if one.server == server]
            tool = f"{server}{SEPARATOR}{kind.method}"
            places = await covered_among(self._link, tool, [one.arguments for one in own], how=kind.how)
            found += [own[place] for place in places]
        return tuple(found)

    def _keep(self, rest: _Rest) -> str:
        while len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        cursor = secrets.token_urlsafe(16)
        self._kept[cursor] = rest
        return cursor


def _one(kind: _Kind, server: str, entry: Entry) -> _One:
    named = str(entry[kind.name])
    if kind.name == "name":
        known: dict[str, JsonValue] = {"name": named.removeprefix(f"{server}{SEPARATOR}")}
    else:
        known = {"uri": named}
    return _One(server=server, entry=entry, arguments=canonical(known))


def _said(code: str, reason: str) -> dict[str, JsonValue]:
    return {DECISION_KEY: {"code": code, "reason": reason}}


Entry: TypeAlias = "dict[str, JsonValue]"
_FRESH: Final = 60.0


@dataclass(slots=True, kw_only=True)
class _Claims:
    at: float
    uris: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    """Its templates, as they are written."""
    templates: tuple[UriTemplate, ...] = field(default=())

    def meet(self, uri: str) -> bool:
        return uri in self.uris or uri in self.written or any(one.stands_for(uri) for one in self.templates)


class Entries:
    """The lists of one connection's servers."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._claims: dict[int, tuple[ServerHandle, _Claims]] = {}

    async def of(self, running: ServerHandle, method: str) -> list[Entry]:
        """Returns the valid entries that the server lists now; raises if it can't be started or listed."""
        read = _READ[method]
        if not running.ready:
            await self._servers.make_ready(running)
        upstream = running.upstream
        raws = await upstream.list_entries(method) if upstream is not None else ()
        found = [entry for raw in raws if (entry := _read(raw, read)) is not None]
        return _unlike(running.spec.name, found) if method == "prompts/list" else found

    async def claim(self, running: ServerHandle, uri: str) -> bool:
        """Whether the server lists the URI or a matching template; raises as `of`."""
        now = asyncio.get_running_loop().time()
        kept = self._claims.get(id(running))
        if kept is not None and kept[0] is running and now - kept[1].at < _FRESH:
            return kept[1].meet(uri)
        resources = await self.of(running, "resources/list")
        templates = await self.of(running, "resources/templates/list")
        claims = _Claims(
            at=now,
            uris=frozenset(str(one["uri"]) for one in resources),
            written=frozenset(str(one["uriTemplate"]) for one in templates),
            templates=tuple(parse_template(str(one["uriTemplate"])) for one in templates),
        )
        self._claims = {key: one for key, one in self._claims.items() if one[0].ready}
        self._claims[id(running)] = running, claims
        return claims.meet(uri)

    def forget(self) -> None:
        self._claims.clear()


def _read(raw: bytes, read: Callable[[Entry], None]) -> Entry | None:
    try:
        entry = parse_object(raw)
        read(entry)
    except MalformedError:
        return None
    entry.pop("_meta", None)
    return entry


def _require(holds: bool) -> None:  # noqa: FBT001 -- what holds is all that it is about
    if not holds:
        raise NotAnEntryError("the entry is not what MCP says")


class NotAnEntryError(MalformedError):
    """An object in a server's list is invalid by MCP."""

    code = "not-an-entry"
    remedy = "have the server fixed: MCP says what its lists hold"


def _resource(entry: Entry) -> None:
    uri = entry.get("uri")
    _require(isinstance(uri, str) and 0 < len(uri) <= MAX_URI and isinstance(entry.get("name"), str))


def _template(entry: Entry) -> None:
    _require(isinstance(entry.get("name"), str))
    parse_template(str(entry.get("uriTemplate")) if isinstance(entry.get("uriTemplate"), str) else "{")


def _prompt(entry: Entry) -> None:
    name, arguments = entry.get("name"), entry.get("arguments", [])
    _require(isinstance(name, str) and isinstance(arguments, list | None))
    join_prompt_name("x", str(name))
    for one in arguments if isinstance(arguments, list) else ():
        _require(isinstance(one, dict) and isinstance(one.get("name"), str))


_READ: Final[dict[str, Callable[[Entry], None]]] = {
    "prompts/list": _prompt,
    "resources/list": _resource,
    "resources/templates/list": _template,
}


def _unlike(server: str, prompts: Iterable[Entry]) -> list[Entry]:
    named = [entry | {"name": join_prompt_name(server, str(entry["name"]))} for entry in prompts]
    looks = Counter(look_of(str(one["name"])) for one in named)
    return [one for one in named if looks[look_of(str(one["name"]))] == 1]
