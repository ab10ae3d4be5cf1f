"""The one spelling of an HTTP URI: what a proof names and what a request went to are compared in it.

Rules (RFC 3986), in the order in which they are applied:

1. A text of at most 2,048 characters, `http` or `https`, with a host, and without a user: what else there may
   be is refused, not mended. No character that a URI doesn't have stands in it raw.
2. Query and fragment are left out (RFC 9449 §4.3, check 9).
3. Scheme and host in lower case, `%2f` as `%2F` (§6.2.2.1); what needs no escape has none (§6.2.2.2); then no
   `.` and no `..` is left in the path (§6.2.2.3, §5.2.4).
4. No port that is the scheme's own or empty, and no empty path (§6.2.3).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from taskbound.wire.jose.errors import BadUriError

_LONGEST: Final = 2_048
_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,255})(?::(?P<port>(?:[1-9][0-9]{0,4})?))?"
    r"(?P<path>(?:/[^?#]*)?)(?:\?[^#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_RAW: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_PATH: Final = re.compile(r"[^?#\[\]]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}", re.ASCII)
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_PORTS: Final = {"http": "80", "https": "443"}
_LAST_PORT: Final = 65_535
_KEPT: Final = 256
"""Texts whose spelling is remembered: a client asks the same addresses again and again."""


@lru_cache(maxsize=_KEPT)
def normalize_uri(text: str) -> str:
    """The URI in its one spelling, without query and fragment.

    Raises:
        BadUriError: It is no URI of HTTP that can be compared (rule 1).
    """
    found = _URI.fullmatch(text) if len(text) <= _LONGEST and _RAW.fullmatch(text) else None
    if found is None or _PATH.fullmatch(found["path"]) is None:
        raise BadUriError("it is no absolute URI of `https` or `http`")  # 1
    scheme, port = found["scheme"].lower(), found["port"] or ""  # 3
    if port and int(port) > _LAST_PORT:
        raise BadUriError("its port is none")  # 1
    shown = "" if port in ("", _PORTS[scheme]) else f":{port}"  # 4
    path = _without_dots(_ESCAPE.sub(_unescaped, found["path"])) or "/"  # 3, 4
    return f"{scheme}://{found['host'].lower()}{shown}{path}"


def _unescaped(escape: re.Match[str]) -> str:
    """An escape as the character that needs none, or in upper case."""
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _without_dots(path: str) -> str:
    """The path that another one leads to (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if segment == ".." and kept:
            kept.pop()
        if segment not in (".", ".."):
            kept.append(segment)
        elif last:
            kept.append("")
    return "".join(f"/{one}" for one in kept)
