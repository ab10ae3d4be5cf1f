"""What the headers of MCP 2026-07-28 say, against what the body says; the body alone is ever decided on.

1. A request is of the revision that its `_meta` names, and the header has to name the same. Where `_meta`
   names none the header says which: the modern one lacks its `_meta` then, and without a header it is
   2025-03-26.
2. `Mcp-Method` is the method; `Mcp-Name` what the method is about. Whoever stands between and goes by them
   goes by the same as the gateway.
3. `Mcp-Param-…` is the argument whose pinned schema says `x-mcp-header`, as text: absent when that is
   absent or null. Whole numbers are compared as numbers.
4. A value that can't stand in a header is written `=?base64?…?=`, strictly; what only looks so in part is
   itself. A value that is neither that nor visible ASCII is refused.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from typing import TYPE_CHECKING, Final

from taskbound.core.tool.name import shown
from taskbound.surfaces.gateway.eras import terms_of
from taskbound.surfaces.gateway.errors import UnsupportedVersionError
from taskbound.surfaces.gateway.http.errors import HeaderMismatchError
from taskbound.wire.mcp.era import LEGACY, MODERN, VERSION_KEY
from taskbound.wire.mcp.errors import BadParamsError
from taskbound.wire.mcp.message import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.mirror import Mirror
    from taskbound.wire.mcp.message import Notice


_ABOUT: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Which parameter `Mcp-Name` is, by method."""
_HEAD, _TAIL = "=?base64?", "?="
_PLAIN: Final = re.compile(r"[ -~\t]*", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def require_era(headers: Mapping[str, str], message: Request | Notice) -> bool:
    """Whether the message is a modern one, whose headers say what it says (rules 1 and 2).

    Raises:
        HeaderMismatchError: A header says something else, or is missing.
        UnsupportedVersionError: The revision is not spoken here.
        BadParamsError: `_meta` lacks what the revision needs there.
    """
    named = headers.get("mcp-protocol-version", "")
    meta = message.params.get("_meta")
    within = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    if within is None:
        if named == MODERN and isinstance(message, Request):
            raise BadParamsError(f"`{VERSION_KEY}` is missing in `_meta`")
        require_spoken(named)
        if named == MODERN:
            _require_method(headers, message)
        return named == MODERN
    if within != named:
        raise HeaderMismatchError("`MCP-Protocol-Version` is not the revision that the body names")
    _require_method(headers, message)
    if not terms_of(message.params).modern:
        raise BadParamsError(f"`{VERSION_KEY}` is no revision")
    return True


def require_spoken(named: str) -> None:
    """Go on only with a revision that is spoken here, or none.

    Raises:
        UnsupportedVersionError: It is another.
    """
    if named and named != MODERN and named not in LEGACY:
        raise UnsupportedVersionError(f"MCP `{shown(named)}` is not spoken here", requested=shown(named))


def _require_method(headers: Mapping[str, str], message: Request | Notice) -> None:
    if headers.get("mcp-method") != message.method:
        raise HeaderMismatchError("`Mcp-Method` is not the method of the body")
    about = message.params.get(_ABOUT.get(message.method, ""))
    if isinstance(about, str) and _value(headers, "mcp-name") != about:
        raise HeaderMismatchError("`Mcp-Name` is not what the body is about")


def require_mirrored(
    headers: Mapping[str, str], arguments: dict[str, JsonValue], some: tuple[Mirror, ...]
) -> None:
    """Go on only when each mirrored argument stands in its header, and no other value does (rule 3).

    Raises:
        HeaderMismatchError: One does not.
    """
    for one in some:
        told, value = _value(headers, one.header.lower()), _at(arguments, one.path)
        if not _same(told, value):
            raise HeaderMismatchError(f"`{one.header}` is not the argument that it mirrors")


def _at(value: JsonValue, path: tuple[str, ...]) -> JsonValue:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _same(told: str | None, value: JsonValue) -> bool:
    """Whether a header's text is this value's; none is that of null."""
    match value:
        case None:
            return told is None
        case bool():
            return told == ("true" if value else "false")
        case int():
            return told is not None and _WHOLE.fullmatch(told) is not None and int(told) == value
        case float():
            return told is not None and _WHOLE.fullmatch(told) is not None and float(told) == value
        case str():
            return told == value
        case _:
            return False


def _value(headers: Mapping[str, str], name: str) -> str | None:
    """What a header says, decoded (rule 4); None when it is not there.

    Raises:
        HeaderMismatchError: It can't be read.
    """
    told = headers.get(name)
    if told is None:
        return None
    if _PLAIN.fullmatch(told) is None:
        raise HeaderMismatchError(f"`{name[:80]}` has characters that a header can't have")
    if not (told.startswith(_HEAD) and told.endswith(_TAIL) and len(told) >= len(_HEAD) + len(_TAIL)):
        return told
    try:
        return b64decode(told[len(_HEAD) : -len(_TAIL)], validate=True).decode("utf-8")
    except (Error, ValueError) as error:
        raise HeaderMismatchError(f"`{name[:80]}` is no strict Base64 of UTF-8") from error
