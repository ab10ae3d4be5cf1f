"""One line as one message of JSON-RPC 2.0: strictly read, with the exact bytes of what passes through.

1. The line is one strict JSON document (`core.action`), and an object: batches refuse.
2. `jsonrpc` is the text `2.0`. The members are those of the kind of message and no others:
   a member that this reader skips could be what another reader obeys.
3. What has a `method` is a request when it has an `id`, whatever the id is, and a
   notification when it has none. What has none is a response: one of `result` and `error`.
4. An id is a text of at most 200 characters or a whole number within 2^53 - 1 either way,
   *as written*: `1.0`, `true` and `null` refuse and never make a notification.
5. `params` is an object, or absent.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from taskbound.core.action.parse import LIMITS, Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.wire.mcp.errors import (
    BadIdError,
    BadParamsError,
    BadProtocolError,
    BatchError,
    NotAMessageError,
    UnknownMemberError,
)

if TYPE_CHECKING:
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
    """Cuts out exact bytes; what is in them has been read strictly before."""

    id: msgspec.Raw = _NOTHING
    result: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_slices: Final = msgspec.json.Decoder(_Slices)


@dataclass(slots=True)
class Request:
    """A request: an answer is due."""

    id: Id
    id_raw: bytes
    """The id exactly as it was written."""
    method: str
    params: dict[str, JsonValue]


@dataclass(slots=True)
class Notice:
    """A notification: nothing may be answered."""

    method: str
    params: dict[str, JsonValue]


@dataclass(slots=True)
class Result:
    """An answer that went well."""

    id: Id
    raw: bytes
    """Exactly the bytes of `result`."""
    value: JsonValue


@dataclass(slots=True)
class Failure:
    """An answer that is an error."""

    id: Id | None
    """None when the other side could not tell which request it answers."""
    raw: bytes
    """Exactly the bytes of `error`."""
    code: int
    message: str


Message: TypeAlias = Request | Notice | Result | Failure


def parse_message(line: bytes, *, limits: Limits = LIMITS) -> Message:
    """The message that a line is.

    Raises:
        BatchError: An array (rule 1).
        NotAMessageError: No message of JSON-RPC.
        BadProtocolError: Another protocol, or none (rule 2).
        UnknownMemberError: A member that this kind of message does not have (rule 2).
        BadIdError: An id that is none (rule 4).
        BadParamsError: `params` is no object (rule 5).
        MalformedError: The line is not one strict JSON document.
    """
    return read_message(line, parse_document(line, limits=limits))


def read_message(line: bytes, value: JsonValue) -> Message:
    """The message that a line is, once `parse_document` has read it; raises as `parse_message`."""
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
    """The id that these bytes of JSON write (rule 4).

    Raises:
        BadIdError: None.
    """
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
