"""What can safely be known of a line that can't be read: which request it was, and for what.

A line that strict reading refuses still wants an answer, under its id if that is certain.
It is certain only when every reader would find the same one:

1. the whole line is one object, its brackets and quotes in order from the first byte to the last;
2. no key at its top is written with an escape;
3. the key stands there once, and its value is one plain token: an id as `message` allows
   them, a text without escapes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_tool_name
from taskbound.wire.mcp.message import id_of

if TYPE_CHECKING:
    from taskbound.wire.mcp.message import Id


_SPACE: Final = b" \t\r\n"
_MOST: Final = 20_000
"""Tokens that are looked at; a line of more is not worth the time."""
# Runs of opening brackets, runs of closing ones, strings, commas, all else: together, every byte.
_TOKEN: Final = re.compile(rb'[{\[]+|[}\]]+|"[^"\\]*(?:\\.[^"\\]*)*"|,|[^"{}\[\],]+', re.DOTALL)
_CLOSED_BY: Final = bytes.maketrans(b"{[", b"}]")
_MEMBER: Final = re.compile(rb'[ \t\r\n]*"([^"\\]*)"[ \t\r\n]*:(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What is certain of a line; everything else is None or empty."""

    id: Id | None = None
    id_raw: bytes = b""
    method: str | None = None
    tool: str = ""
    """`params.name` when it is one `server__tool` name."""


NOTHING: Final = Salvage()


def salvage(line: bytes) -> Salvage:
    """What every reader of the line would find in it."""
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
    """The members of the one object that the bytes are; a key that stands twice has no value (rule 3)."""
    found: dict[bytes, bytes] = {}
    for part in _parts(raw.strip(_SPACE)):
        member = _MEMBER.fullmatch(part)
        if member is None:  # 2
            return {}
        found[member[1]] = b"" if member[1] in found else member[2].strip(_SPACE)
    return found


def _parts(raw: bytes) -> list[bytes]:
    """What stands between the commas of the object; nothing when it is not in order (rule 1)."""
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
