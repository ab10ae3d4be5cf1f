"""What servers say of calls while they run, reports of refused lines, and the actions that requests ask for.

* Logs and progress of a call reach its client while the call is open at its server and uninterrupted and
  the daemon is connected: nothing after the answer, a cancel, a pause or the task's end (law 4). At most 20
  messages a second and 1,000 per call are forwarded, of each kind.
* A log message has an MCP level, any data and a logger name that the gateway prefixes with the server's
  name, so that it can't pass for the gateway's; at most 8 KiB of canonical text in one line. Without a
  level the client receives nothing. A legacy server is set to the lowest level that any client wants. Logs
  outside a known call reach only a pipe's client, from the first sent call until a pause, end, stop or lost
  daemon.
* The client is notified of progress under its own token; the server gets the request's number. Only
  `progress`, `total` and `message` pass: finite, the first never falling, at most 1,000 characters. After a
  hold the server's numbers continue after those already sent.
* A refused line is reported if it asked for `tools/call`, or may have. When the queue of reports is full
  the client is not read, so that a flood is as slow as the log.
* The action's arguments are the parameters without `_meta`, canonical. Prompt names follow the rules of
  tool names: no non-ASCII look-alikes, one way to split them. Answers without a state of the gateway are
  ignored.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeGuard

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool import MAX_URI, SEPARATOR, parse_own_name, parse_server_name
from taskbound.ports.upstream import Logged
from taskbound.surfaces.gateway.framing import Pace
from taskbound.wire.action import Malformed
from taskbound.wire.connection import Done
from taskbound.wire.mcp.message import (
    LEVELS,
    SILENT,
    is_modern,
    least,
    notice_line,
    reaches,
    require_one_line,
    text,
)
from taskbound.wire.mcp.task import BadParamsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.gateway.binding import ServerHandle
    from taskbound.surfaces.gateway.call import Call
    from taskbound.surfaces.gateway.framing import Client, ClientSession
    from taskbound.surfaces.gateway.link import Link


_log = logging.getLogger(__name__)

MAX_A_SECOND: Final = 20
"""Messages per call and second."""
MAX_TOLD: Final = 1_000
"""Messages per call."""
MAX_OUTSIDE: Final = 10_000
"""Messages outside calls."""
MAX_LOG: Final = 8_192
"""Bytes of one message."""
_MAX_NAME: Final = 200
_MEMBERS: Final = frozenset({"_meta", "data", "level", "logger"})
_LINE_ENDS: Final = tuple((odd.encode(), b"\\u%04x" % ord(odd)) for odd in "\x85\u2028\u2029")


class Logs:
    """The log messages of one connection; used in the event loop."""

    def __init__(
        self,
        client: Client,
        *,
        tell: Callable[[bytes, Call], None],
        connected: Callable[[], bool],
        calls: Callable[[], Iterable[Call]],
    ) -> None:
        """`tell` sends a line of a call to its client; `connected` says whether the daemon is."""
        self._client = client
        self._tell = tell
        self._connected = connected
        self._calls = calls
        self._pace = Pace(second=MAX_A_SECOND, most=MAX_OUTSIDE)
        self._flows = False
        """Whether a call was sent, and nothing came between since."""

    def of(self, call: Call) -> Logged:
        self._flows = True
        pace = Pace(second=MAX_A_SECOND, most=MAX_TOLD)

        def heard(params: Mapping[str, JsonValue]) -> None:
            waiting = call.waiting
            if call.cause is not None or waiting is None or waiting.done() or not self._connected():
                return
            if not call.is_heard:
                return  # its client is asked something, and waits for nothing meanwhile
            said = _said(params, call.server, _level_of(call))
            if said and pace.allows():
                if call.errand is not None:
                    said = b'{"_meta":%b,%b' % (canonical(call.errand.related), said[1:])
                self._tell(notice_line("notifications/message", said), call)

        return Logged(_level_of(call), heard)

    def outside(self, server: ServerHandle, params: Mapping[str, JsonValue]) -> None:
        if not (self._flows and self._connected()):
            return
        asked = [_level_of(one) for one in self._calls() if one.running is server and one.cause is None]
        talks = self._client.talks()
        said = _said(params, server.spec.name, least([*asked, *(one.level for one in talks)]))
        if said and self._pace.allows():
            self._client.tell(notice_line("notifications/message", said), None)

    def halt(self) -> None:
        """Stops messages outside calls until the next call is sent."""
        self._flows = False

    @property
    def wanted(self) -> str:
        talks = (one.level for one in self._client.talks())
        return least([*talks, *map(_level_of, self._calls())])

    async def settle(self, server: ServerHandle) -> None:
        """Sets a legacy server's level; a failure does not prevent the call."""
        level, upstream = self.wanted, server.upstream
        if (
            level in {SILENT, server.level}
            or upstream is None
            or not upstream.logs
            or is_modern(upstream.era)
        ):
            return
        server.level = level
        try:
            await upstream.log_from(level)
        except TaskboundError as error:
            _log.info("server %s: %s", server.spec.name, error.message)

    async def set(self, talk: ClientSession, level: str, servers: Iterable[ServerHandle]) -> None:
        talk.level = level
        await asyncio.gather(*(self.settle(one) for one in servers))


def _level_of(call: Call) -> str:
    return call.talk.level if call.talk is not None else call.level


def read_level(params: Mapping[str, JsonValue]) -> str:
    """Returns the level of `logging/setLevel`; raises BadParamsError."""
    level = params.get("level")
    if not params.keys() <= {"_meta", "level"}:
        raise BadParamsError("`logging/setLevel` takes `level`, and nothing else")
    if not isinstance(level, str) or level not in LEVELS:
        raise BadParamsError(f"`level` is one of {', '.join(LEVELS)}")
    return level


def _said(params: Mapping[str, JsonValue], server: str, floor: str) -> bytes:
    level, name = params.get("level"), params.get("logger", "")
    if not (isinstance(level, str) and reaches(level, floor) and isinstance(name, str)):
        return b""
    if not params.keys() <= _MEMBERS or "data" not in params or len(name) > _MAX_NAME:
        return b""
    logger = f"{server}/{name}" if name else server
    try:
        said = canonical({"data": params["data"], "level": level, "logger": logger})
    except MalformedError:
        return b""
    for odd, escaped in _LINE_ENDS:
        said = said.replace(odd, escaped)
    return said if len(said) <= MAX_LOG else b""


_MOST: Final = 32
_MESSAGE: Final = 500


class Reports:
    """The queue of reports to the daemon."""

    def __init__(self, link: Link, *, hold: Callable[[], None], release: Callable[[], None]) -> None:
        """Reports over this link; `hold` pauses the reading of the client, `release` resumes it."""
        self._link = link
        self._hold = hold
        self._release = release
        self._held = False
        self.waiting: set[asyncio.Task[None]] = set()

    def line(self, error: TaskboundError, line: bytes, *, tool: str) -> None:
        self.add(error, len(line), sha256(line).hexdigest(), tool=tool)

    def add(self, error: TaskboundError, size: int, digest: str, *, tool: str) -> None:
        """Reports a refused line by its size and SHA-256."""
        ask = Malformed(
            code=error.code, message=error.message[:_MESSAGE], size=size, sha256=digest, tool=tool
        )
        task = asyncio.get_running_loop().create_task(self._tell(ask))
        self.waiting.add(task)
        task.add_done_callback(self._told)
        if len(self.waiting) >= _MOST and not self._held:
            self._held = True
            self._hold()

    async def _tell(self, ask: Malformed) -> None:
        try:
            await self._link.ask(ask, Done)
        except TaskboundError as error:
            _log.warning("a refused line (%s) is not recorded: %s", ask.code, error.message)

    def _told(self, task: asyncio.Task[None]) -> None:
        self.waiting.discard(task)
        if self._held and len(self.waiting) < _MOST // 2:
            self._held = False
            self._release()


_MAX_TEXTS: Final = 100
_AGAIN: Final = frozenset({"inputResponses", "requestState"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """One request that is to become an action."""

    method: str
    """Of `core.tool.METHOD_NAMES`."""
    server: str
    """Whose it is, where it says so itself; empty where that has to be found by its URI."""
    uri: str
    """The URI, or the template that it completes; empty where it is about a prompt."""
    shown: tuple[str, str]
    """Which parameter says what is asked for, and what it says: for the answer that it is not there."""
    arguments: bytes
    """Canonical: what is decided, and what is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedRequest:
    """A modern client's retry with the answers to earlier questions."""

    params: Mapping[str, JsonValue]
    """Without what follows."""
    state: str | None = None
    """None where it names no state: then it is a first request, whatever it answers."""
    answers: Mapping[str, JsonValue] = field(default_factory=dict)

    @classmethod
    def of(cls, params: Mapping[str, JsonValue], *, modern: bool) -> ResumedRequest:
        """Reads answers and state from the parameters; raises BadParamsError."""
        if not modern or not params.keys() & _AGAIN:
            return cls(params=params)
        answers = _object(params.get("inputResponses", {}), "`inputResponses`")
        state = _text(params["requestState"], "`requestState`") if "requestState" in params else None
        rest = {name: value for name, value in params.items() if name not in _AGAIN}
        return cls(params=rest, state=state, answers=answers if state is not None else {})


def digest_of(method: str, name: str, key: str, arguments: bytes) -> bytes:
    """Returns 32 bytes that identify equal requests: everything but ids and `_meta`."""
    return sha256(canonical([method, name, key]) + arguments).digest()


def read_call(params: Mapping[str, JsonValue]) -> tuple[str, bytes]:
    """Returns tool name and canonical arguments of a `tools/call`; raises MalformedError."""
    _require_only(params, "name", "arguments", of="`tools/call`")
    name = _text(params.get("name"), "`name`")
    written = canonical(_object(params.get("arguments", {}), "`arguments`"))
    require_one_line(written)
    return name, written


def read_wanted(method: str, params: Mapping[str, JsonValue]) -> ActionRequest:
    """Returns the action that the parameters ask for; raises BadParamsError or MalformedError."""
    match method:
        case "resources/read" | "resources/subscribe":
            _require_only(params, "uri", of=method)
            uri = _uri(params.get("uri"), "`uri`")
            return _wanted(method, {"uri": uri}, uri=uri, shown=("uri", uri))
        case "prompts/get":
            _require_only(params, "name", "arguments", of=method)
            name = _text(params.get("name"), "`name`")
            server, own = parse_prompt_name(name)
            arguments: dict[str, JsonValue] = {"name": own}
            if "arguments" in params:
                arguments["arguments"] = _texts(params["arguments"], "`arguments`")
            return _wanted(method, arguments, server=server, shown=("name", name))
        case _:
            return _completion(method, params)


def parse_prompt_name(name: str) -> tuple[str, str]:
    """Splits `server__name`; raises MalformedError."""
    server, mark, own = name.partition(SEPARATOR)
    if not mark:
        raise BadParamsError("a prompt's name is `server__name`, as it is listed")
    return parse_server_name(server), parse_own_name(own)


def join_prompt_name(server: str, own: str) -> str:
    return f"{server}{SEPARATOR}{parse_own_name(own)}"


def _completion(method: str, params: Mapping[str, JsonValue]) -> ActionRequest:
    _require_only(params, "argument", "context", "ref", of=method)
    ref = _object(params.get("ref"), "`ref`")
    argument = _object(params.get("argument"), "`argument`")
    _require_only(argument, "name", "value", of="`argument`")
    arguments: dict[str, JsonValue] = {
        "argument": {
            "name": _text(argument.get("name"), "`argument.name`"),
            "value": _text(argument.get("value"), "`argument.value`"),
        }
    }
    if "context" in params:
        context = _object(params["context"], "`context`")
        _require_only(context, "arguments", of="`context`")
        known = {name: _texts(value, f"`context.{name}`") for name, value in context.items()}
        arguments["context"] = dict(known)
    match ref.get("type"):
        case "ref/prompt":
            _require_only(ref, "type", "name", of="`ref`")
            name = _text(ref.get("name"), "`ref.name`")
            server, own = parse_prompt_name(name)
            arguments["ref"] = {"name": own, "type": "ref/prompt"}
            return _wanted(method, arguments, server=server, shown=("name", name))
        case "ref/resource":
            _require_only(ref, "type", "uri", of="`ref`")
            uri = _uri(ref.get("uri"), "`ref.uri`")
            arguments["ref"] = {"type": "ref/resource", "uri": uri}
            return _wanted(method, arguments, uri=uri, shown=("uri", uri))
        case _:
            raise BadParamsError("`ref.type` is neither `ref/prompt` nor `ref/resource`")


def _wanted(
    method: str,
    arguments: dict[str, JsonValue],
    *,
    shown: tuple[str, str],
    server: str = "",
    uri: str = "",
) -> ActionRequest:
    written = canonical(arguments)
    require_one_line(written)
    return ActionRequest(method=method, server=server, uri=uri, shown=shown, arguments=written)


def _require_only(found: Mapping[str, JsonValue], *names: str, of: str) -> None:
    if not found.keys() <= {"_meta", *names}:
        raise BadParamsError(f"{of} takes {', '.join(names)}, and nothing else")


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise BadParamsError(f"{what} is no object")
    return value


def _text(value: JsonValue, what: str) -> str:
    if not isinstance(value, str):
        raise BadParamsError(f"{what} is no text")
    return value


def _uri(value: JsonValue, what: str) -> str:
    text = _text(value, what)
    if not text or len(text) > MAX_URI:
        raise BadParamsError(f"{what} has 1 to {MAX_URI} characters")
    return text


def _texts(value: JsonValue, what: str) -> dict[str, JsonValue]:
    found = _object(value, what)
    if len(found) > _MAX_TEXTS:
        raise BadParamsError(f"{what} has more than {_MAX_TEXTS} members")
    return {name: _text(one, f"a member of {what}") for name, one in found.items()}


MAX_MESSAGE: Final = 1_000
"""Characters of a message."""
_PROGRESS_MEMBERS: Final = frozenset({"_meta", "message", "progress", "progressToken", "total"})


def progress_of(
    call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
) -> Callable[[Mapping[str, JsonValue]], None] | None:
    """Returns the receiver of the call's progress, or None if its client did not ask for it."""
    return Progress(call, tell, connected).heard if call.progress is not None else None


class Progress:
    """Forwards one call's progress; used in the event loop."""

    def __init__(
        self, call: Call, tell: Callable[[bytes, Call], None], connected: Callable[[], bool]
    ) -> None:
        self._call = call
        self._tell = tell
        self._connected = connected
        self._least: int | float = 0
        self._pace = Pace(second=MAX_A_SECOND, most=MAX_TOLD)

    def heard(self, params: Mapping[str, JsonValue]) -> None:
        """Takes the parameters of one notification from the server; never raises."""
        call = self._call
        waiting = call.waiting
        if call.cause is not None or waiting is None or waiting.done() or not self._connected():
            return
        if not call.is_heard or call.progress is None:
            return  # its client is asked something and away, or has come back without a token
        progress, total, words = params.get("progress"), params.get("total", 0), params.get("message", "")
        if not (_is_number(progress) and _is_number(total) and isinstance(words, str)):
            return
        if not params.keys() <= _PROGRESS_MEMBERS or len(words) > MAX_MESSAGE or progress < self._least:
            return
        said: dict[str, JsonValue] = {"progress": progress + call.turns, "progressToken": call.progress}
        if "total" in params:
            said["total"] = total + call.turns
        try:
            written = canonical(said)
        except MalformedError:
            return  # 3: it has no text that is read alike by everyone
        self._least = progress
        if not self._pace.allows():
            return
        if "message" in params:
            written = b'{"message":%b,%b' % (text(words), written[1:])
        if call.errand is not None:
            written = b'{"_meta":%b,%b' % (canonical(call.errand.related), written[1:])
        self._tell(notice_line("notifications/progress", written), call)


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
