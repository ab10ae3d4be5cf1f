"""Parses one request of a browser strictly, and renders the one answer.

1. A request is HTTP/1.1, one per connection: a line, fields, and a body of the stated length. Folding,
   chunking, upgrades and repeated fields are refused. Sizes are limited before anything is read.
2. `Host` is exactly `localhost` and the port: no address, trailing dot or other case, so that DNS rebinding
   fails.
3. A request with a body has exactly our origin, and the same site where the browser states it. Cookies,
   addresses and passwords are ignored.
4. The page is fetched as a top-level document, never into a frame and never prefetched; its parts as
   subresources.
5. Every answer forbids what the page does not need: frames, forms, other sources, markup from scripts, other
   windows, caching, sniffing and referrers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.wire.page import MOST_ASKED

if TYPE_CHECKING:
    from collections.abc import Mapping


_MOST_HEAD: Final = 32_768
"""Bytes: cookies of whatever else is served on `localhost` come along, and are not looked at."""
_MOST_FIELDS: Final = 64
_LINE: Final = re.compile(rb"(GET|POST) (/[a-z.]{0,16}) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*((?:[!-~](?:[ -~\t]*[!-~])?)?)[ \t]*")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_NONE: Final = ("transfer-encoding", "upgrade", "expect", "content-encoding", "trailer", "te")
_AHEAD: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_WORDS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    410: "Gone",
    503: "Service Unavailable",
}
_FORBIDDEN: Final = (
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'\r\n"
    "Permissions-Policy: publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(),"
    " clipboard-read=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()\r\n"
    "X-Frame-Options: DENY\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-store\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Embedder-Policy: require-corp\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Origin-Agent-Cluster: ?1\r\n"
)


class BadRequestError(MalformedError):
    """The bytes are no request that this server accepts."""

    code = "page-request"
    remedy = "open the address that the command wrote, in a browser of today"


class ForeignRequestError(DeniedError):
    """A request names another host, or comes from another page than ours."""

    code = "page-foreign"
    remedy = "open the address that the command wrote, in a window of its own, and nothing else there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    path: str
    fields: Mapping[str, str]
    """By name, in lower case."""
    body: bytes


class RequestBuffer:
    """Collects bytes until they are one request."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Request | None:
        """Returns the request once it is complete.

        Raises BadRequestError if it can never be valid (rule 1).
        """
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if len(head) > _MOST_HEAD:
            raise BadRequestError(f"the request's head is longer than {_MOST_HEAD} bytes")
        if not end:
            return None
        method, path, fields = _head(head)
        length = _length(method, fields)
        if len(body) > length:
            raise BadRequestError("the request brings more than it says")
        if len(body) < length:
            return None
        return Request(method=method, path=path, fields=fields, body=body)


def require_ours(request: Request, port: int) -> None:
    """Raises ForeignRequestError unless the request is for our page and from it (rules 2 to 4)."""
    fields = request.fields
    host = f"localhost:{port}"
    if fields.get("host") != host:
        raise ForeignRequestError("the request names another host")  # 2
    if any(one in fields for one in _AHEAD):
        raise ForeignRequestError("the page was asked for ahead of its time")  # 4
    site, goal = fields.get("sec-fetch-site", ""), fields.get("sec-fetch-dest", "")
    if request.method == "POST":
        if fields.get("origin") != f"http://{host}" or site not in {"", "same-origin"}:
            raise ForeignRequestError("the request comes from another page")  # 3
        if fields.get("content-type") != "application/json":
            raise ForeignRequestError("the request is of a kind that other pages could make")
    elif request.path == "/":
        if goal not in {"", "document"}:
            raise ForeignRequestError("the page is nothing for a frame")
    elif site not in {"", "same-origin"}:
        raise ForeignRequestError("the page's parts are asked for by another page")


def answer(status: int, kind: str, body: bytes) -> bytes:
    """Returns the bytes of an answer (rule 5)."""
    head = (
        f"HTTP/1.1 {status} {_WORDS[status]}\r\n"
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{_FORBIDDEN}"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None or len(rest) > _MOST_FIELDS:
        raise BadRequestError("the request asks for nothing that is here")
    fields: dict[str, str] = {}
    for one in rest:
        found = _FIELD.fullmatch(one)
        if found is None:
            raise BadRequestError("a field of the request can't be read")
        name = found[1].decode("ascii").lower()
        if name in fields or name in _NONE:
            raise BadRequestError(f"the request says `{name}` twice, or says what is not read here")
        fields[name] = found[2].decode("ascii")
    return line[1].decode("ascii"), line[2].decode("ascii"), fields


def _length(method: str, fields: Mapping[str, str]) -> int:
    told = fields.get("content-length", "0" if method == "GET" else "")
    if not _LENGTH.fullmatch(told) or int(told) > MOST_ASKED or (method == "GET" and told != "0"):
        raise BadRequestError(f"the request brings too much, or does not say how much; {MOST_ASKED} bytes do")
    return int(told)
