"""Reads MCP messages strictly, writes them, and salvages the id of a broken line.

Of `message`:
1. The line is one strict JSON object (`core.action`); batches are refused.
2. `jsonrpc` is `2.0`. The members are exactly those of the kind of message, because another reader might obey
   a member that this one ignores.
3. A message with `method` is a request if it has an `id`, whatever its value, else a notification. Without
   `method` it is a response: one of `result` and `error`.
4. An id is a text of at most 200 characters or an integer within 2^53 - 1 either way, *as written*: `1.0`,
   `true` and `null` are refused and never make a notification.
5. `params` is an object, or absent.
Of `line`:
1. Only a line feed ends a line: no carriage return, no U+2028.
2. One carriage return right before the line feed is dropped. Any other raw one refuses the line, because some
   readers would see two messages.
3. An empty line is ignored.
4. A line over the limit is not buffered: it is counted and hashed until its end.
5. A remainder at the end of the stream is half a message and is never run.
Of `write`: values are neither read nor encoded again; callers pass canonical or exact bytes.
Of `salvage`: a refused line is answered under its id only if every reader would find the same id:
1. the whole line is one object, with brackets and quotes in order;
2. no top-level key has an escape;
3. the key occurs once, and its value is one plain token: an id as `message` allows, without escapes.
Of `era`: *legacy* revisions begin with `initialize`; *modern* ones carry version and capabilities in each
request's `_meta` (MCP 2026-07-28, Versioning, Terminology).
"""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from taskbound.core.action.canonical import quote
from taskbound.core.action.errors import TooLargeError
from taskbound.core.action.parse import LIMITS, Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_tool_name
from taskbound.wire.mcp.task import (
    BadIdError,
    BadParamsError,
    BadProtocolError,
    BareReturnError,
    BatchError,
    HalfMessageError,
    LineSeparatorError,
    NotAMessageError,
    UnknownMemberError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action.canonical import JsonValue


Id: TypeAlias = int | str

MAX_ID: Final = 200
"""Characters of an id that is a text."""

_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,15})")
_CALL: Final = frozenset({"id", "jsonrpc", "method", "params"})
_NOTICE: Final = frozenset({"jsonrpc", "method", "params"})
_RESULT: Final = frozenset({"id", "jsonrpc", "result"})
_FAILURE: Final = frozenset({"error", "id", "jsonrpc"})
_NOTHING: Final = msgspec.Raw(b"")


class _Slices(msgspec.Struct):
    """Cuts out exact bytes whose content was strictly parsed before."""

    id: msgspec.Raw = _NOTHING
    result: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_slices: Final = msgspec.json.Decoder(_Slices)


@dataclass(slots=True)
class Request:
    """A request, which needs an answer."""

    id: Id
    id_raw: bytes
    """The id exactly as it was written."""
    method: str
    params: dict[str, JsonValue]


@dataclass(slots=True)
class Notice:
    """A notification, which must not be answered."""

    method: str
    params: dict[str, JsonValue]


@dataclass(slots=True)
class Result:
    """A successful answer."""

    id: Id
    raw: bytes
    """Exactly the bytes of `result`."""
    value: JsonValue


@dataclass(slots=True)
class Failure:
    """An error answer."""

    id: Id | None
    """None when the other side could not tell which request it answers."""
    raw: bytes
    """Exactly the bytes of `error`."""
    code: int
    message: str


Message: TypeAlias = Request | Notice | Result | Failure


def parse_message(line: bytes, *, limits: Limits = LIMITS) -> Message:
    """Parses a line.

    Raises BatchError (rule 1), NotAMessageError, BadProtocolError or UnknownMemberError (rule 2), BadIdError
    (rule 4), BadParamsError (rule 5), or MalformedError for anything but one strict JSON document.
    """
    return read_message(line, parse_document(line, limits=limits))


def read_message(line: bytes, value: JsonValue) -> Message:
    """Returns the message of a line that `parse_document` has parsed; raises as `parse_message`."""
    if isinstance(value, list):
        raise BatchError("a batch of messages can't be decided as one")
    if not isinstance(value, dict):
        raise NotAMessageError("the document is no JSON-RPC message")
    if value.get("jsonrpc") != "2.0":
        raise BadProtocolError("the message is not of JSON-RPC 2.0")
    if "method" in value:
        return _asked(line, value)
    if "result" in value or "error" in value:
        return _answered(line, value)
    raise NotAMessageError("the message has no method, and neither result nor error")


def id_of(raw: bytes) -> Id:
    """Returns the id in these bytes of JSON; raises BadIdError (rule 4)."""
    if _INTEGER.fullmatch(raw):
        number = int(raw)
        if abs(number) < 2**53:
            return number
    elif raw[:1] == b'"':
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            text: str = msgspec.json.decode(raw, type=str)
            if len(text) <= MAX_ID:
                return text
    raise BadIdError("the id is neither a short text nor a whole number")


def _asked(line: bytes, value: dict[str, JsonValue]) -> Request | Notice:
    method = value["method"]
    if not isinstance(method, str):
        raise NotAMessageError("the method is no text")
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise BadParamsError("the parameters are no object")
    if "id" not in value:
        _require_members(value, _NOTICE)
        return Notice(method, params)
    _require_members(value, _CALL)
    raw = bytes(_slices.decode(line).id)
    return Request(id_of(raw), raw, method, params)


def _answered(line: bytes, value: dict[str, JsonValue]) -> Result | Failure:
    slices = _slices.decode(line)
    if "result" in value:
        _require_members(value, _RESULT)
        return Result(id_of(bytes(slices.id)), bytes(slices.result), value["result"])
    _require_members(value, _FAILURE)
    error = value["error"]
    if not isinstance(error, dict):
        raise NotAMessageError("the error is no object")
    code, message = error.get("code"), error.get("message")
    if type(code) is not int or not isinstance(message, str):
        raise NotAMessageError("the error has no code and message")
    known = None if value.get("id") is None else id_of(bytes(slices.id))
    return Failure(known, bytes(slices.error), code, message)


def _require_members(value: dict[str, JsonValue], members: frozenset[str]) -> None:
    if not value.keys() <= members:
        odd = sorted(value.keys() - members)
        raise UnknownMemberError(f"the message has {len(odd)} members that it can't have")


_SEPARATORS: Final = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An unreadable line: the reason, its length, and what is kept of it."""

    error: MalformedError
    size: int
    sha256: str
    raw: bytes = b""
    """The line itself, empty when it was over the limit."""


Cut: TypeAlias = bytes | Refused


def require_one_line(written: bytes) -> None:
    """Raises LineSeparatorError for U+0085, U+2028 or U+2029.

    Canonical JSON leaves them raw, and some servers end a line there (Node's `readline`): the rest of a text
    could be a message of its own.
    """
    if written.isascii():  # 30 times quicker than to look for three, and true of most
        return
    for separator in _SEPARATORS:
        if separator in written:
            letter = ord(separator.decode())
            raise LineSeparatorError(f"a text holds U+{letter:04X}, where some servers end a line")


class LineCutter:
    """Cuts one direction of one stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._hash = sha256()
        self._over = False

    @property
    def overflowing(self) -> bool:
        """Returns whether the arriving line is over the limit already."""
        return self._over

    def feed(self, data: bytes) -> list[Cut]:
        """Returns the complete lines in order."""
        first, *rest = data.split(b"\n")
        self._hold(first)
        if not rest:
            return []
        lines = self._end()
        for line in rest[:-1]:
            self._hold(line)
            lines += self._end()
        self._hold(rest[-1])
        return lines

    def finish(self) -> Refused | None:
        """Returns the remainder at the end of the stream, if any (rule 5)."""
        if not self._size:
            return None
        raw, size, digest = self._take()
        return Refused(
            error=HalfMessageError("the stream ended inside a message"), size=size, sha256=digest, raw=raw
        )

    def _hold(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._over:
            self._hash.update(part)
        else:
            self._held.append(part)
            if self._size > self._limit + 1:  # one more: a carriage return may still be left out
                self._overflow()

    def _overflow(self) -> None:
        self._over = True
        for part in self._held:
            self._hash.update(part)
        self._held.clear()

    def _end(self) -> list[Cut]:
        if self._over:
            _, size, digest = self._take()
            error = TooLargeError(f"a message of {size} bytes is over the limit of {self._limit}")
            return [Refused(error=error, size=size, sha256=digest)]  # 4
        line = b"".join(self._held) if len(self._held) != 1 else self._held[0]
        self._held.clear()
        self._size = 0
        if line.endswith(b"\r"):
            line = line[:-1]  # 2
        if not line:
            return []  # 3
        if b"\r" in line:
            return [_refuse(line, BareReturnError("a carriage return stands inside a line"))]  # 2
        if len(line) > self._limit:
            return [_refuse(line, TooLargeError(f"a message of {len(line)} bytes is over {self._limit}"))]
        return [line]

    def _take(self) -> tuple[bytes, int, str]:
        raw = b"".join(self._held)
        if not self._over:
            self._hash.update(raw)
        found = (raw, self._size, self._hash.hexdigest())
        self._held.clear()
        self._size = 0
        self._hash = sha256()
        self._over = False
        return found


def _refuse(line: bytes, error: MalformedError) -> Refused:
    return Refused(error=error, size=len(line), sha256=sha256(line).hexdigest(), raw=line)


NULL: Final = b"null"


def text(value: str) -> bytes:
    """Returns a text as JSON, with every line-ending character escaped."""
    written = quote(value)
    if not written.isascii():
        for odd in "\x85\u2028\u2029":
            written = written.replace(odd, f"\\u{ord(odd):04x}")
    return written.encode("utf-8", "replace")


def request_line(number: int, method: str, params: bytes) -> bytes:
    """Returns a request with a number of ours as id."""
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}\n' % (number, text(method), params)


def asking_line(name: str, method: str, params: bytes) -> bytes:
    """Returns a request to a client with a name of ours as id."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}\n' % (text(name), text(method), params)


def notice_line(method: str, params: bytes = b"") -> bytes:
    """Returns a notification."""
    if not params:
        return b'{"jsonrpc":"2.0","method":%b}\n' % text(method)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}\n' % (text(method), params)


def result_line(request: bytes, result: bytes) -> bytes:
    """Returns a successful answer; `request` are the exact bytes of the id."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (request, result)


def error_line(request: bytes, error: bytes) -> bytes:
    """Returns an error answer with the exact bytes of the error."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (request, error)


def failure_line(request: bytes, code: int, message: str, data: bytes = b"") -> bytes:
    """Returns an error answer; `request` is `null` if the id is unknown."""
    more = b',"data":%b' % data if data else b""
    error = b'{"code":%d,"message":%b%b}' % (code, text(message), more)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (request, error)


_SPACE: Final = b" \t\r\n"
_MOST: Final = 20_000
"""Tokens that are looked at; a line of more is not worth the time."""
# Runs of opening brackets, runs of closing ones, strings, commas, all else: together, every byte.
_TOKEN: Final = re.compile(rb'[{\[]+|[}\]]+|"[^"\\]*(?:\\.[^"\\]*)*"|,|[^"{}\[\],]+', re.DOTALL)
_CLOSED_BY: Final = bytes.maketrans(b"{[", b"}]")
_MEMBER: Final = re.compile(rb'[ \t\r\n]*"([^"\\]*)"[ \t\r\n]*:(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """The certain parts of a line; everything else is None or empty."""

    id: Id | None = None
    id_raw: bytes = b""
    method: str | None = None
    tool: str = ""
    """`params.name` when it is one `server__tool` name."""


NOTHING: Final = Salvage()


def salvage(line: bytes) -> Salvage:
    """Returns what every reader of the line would find in it."""
    top = _members(line)
    inner = _members(top.get(b"params", b""))
    raw = top.get(b"id", b"")
    known = _id(raw)
    return Salvage(
        id=known,
        id_raw=raw if known is not None else b"",
        method=_plain(top.get(b"method", b"")),
        tool=_tool(_plain(inner.get(b"name", b""))),
    )


def _members(raw: bytes) -> dict[bytes, bytes]:
    """Returns the members of the one object; a repeated key has no value (rule 3)."""
    found: dict[bytes, bytes] = {}
    for part in _parts(raw.strip(_SPACE)):
        member = _MEMBER.fullmatch(part)
        if member is None:  # 2
            return {}
        found[member[1]] = b"" if member[1] in found else member[2].strip(_SPACE)
    return found


def _parts(raw: bytes) -> list[bytes]:
    """Returns the parts between the object's commas; none if it is not in order (rule 1)."""
    parts: list[bytes] = []
    open_ = bytearray()
    start, at = 1, 0
    for count, token in enumerate(_TOKEN.finditer(raw)):
        if token.start() != at or count > _MOST:
            return []
        at, first = token.end(), token[0][:1]
        if first in {b"{", b"["}:
            open_ += token[0]
        elif first in {b"}", b"]"}:
            size = len(token[0])
            if open_[-size:][::-1].translate(_CLOSED_BY) != token[0]:
                return []
            del open_[-size:]
        elif first == b"," and len(open_) == 1:
            parts.append(raw[start : token.start()])
            start = at
        if not open_:
            whole = at == len(raw) and raw[:1] == b"{"
            return [*parts, raw[start : at - 1]] if whole else []
    return []


def _id(raw: bytes) -> Id | None:
    if not raw or b"\\" in raw:
        return None
    try:
        return id_of(raw)
    except MalformedError:
        return None


def _plain(raw: bytes) -> str | None:
    if raw[:1] != b'"' or raw.find(b'"', 1) != len(raw) - 1 or b"\\" in raw:
        return None
    try:
        return raw[1:-1].decode()
    except UnicodeDecodeError:
        return None


def _tool(name: str | None) -> str:
    try:
        parse_tool_name(name or "")
    except MalformedError:
        return ""
    return name or ""


LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with a handshake, oldest first."""
LATEST_LEGACY: Final = LEGACY[-1]
MODERN: Final = "2026-07-28"
SUPPORTED: Final = (MODERN, *reversed(LEGACY))
"""Every revision that both sides of the gateway speak, newest first."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
INFO_KEY: Final = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
"""In a modern request: the lowest log level that is wanted for it."""
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"

# Ours: a prefix in reverse DNS notation whose second label is not reserved (General fields, `_meta`).
IDEMPOTENCY_KEY: Final = "io.taskbound/idempotency-key"
"""In a call's `_meta`: the client's own name for this one act."""
DECISION_KEY: Final = "io.taskbound/decision"
"""In a result's `_meta`: why a call was refused or its result withheld."""
QUESTION_KEY: Final = "io.taskbound/question"
"""In a question's `_meta`: which server asks, and the action that it is."""


def is_modern(version: str) -> bool:
    """Returns whether the revision carries its version in each request."""
    return version == MODERN


LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""From the least grave to the gravest."""
SILENT: Final = ""
"""The level of a client that wants no logs."""
_RANKS: Final = {name: rank for rank, name in enumerate(LEVELS)}


def least(levels: Iterable[str]) -> str:
    """Returns the log level that serves each of these; `SILENT` for none."""
    return min((one for one in levels if one), key=_RANKS.__getitem__, default=SILENT)


def reaches(level: str, floor: str) -> bool:
    """Returns whether a message of this level is due from `floor` on; never for `SILENT`."""
    return floor in _RANKS and level in _RANKS and _RANKS[level] >= _RANKS[floor]
