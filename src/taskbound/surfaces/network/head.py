"""Parses the head of an API request: host, path, query, media types and proof.

1. `Host` is a name of the API, and `Origin` its own: there is no CORS.
2. Path and query are ASCII with strict percent-encoding of UTF-8 without control characters; no encoded
   slash, no dot segments, no repeated parameter.
3. The body of any method but GET is plain JSON or empty, and the answer JSON unless it is another document.
   Forms of OAuth (`form`) and pages (`consent`), limited to a form's size, and AuthZEN's bodies (`authzen`)
   are parsed there.
4. A proof stands in its header only (A139).
5. On AuthZEN paths the request id is checked first, so that every later answer has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.errors import BadHttpError, NotAcceptableError, UnknownPathError, VerbError
from taskbound.surfaces.http.head import accepted, once, read_length, require_json, require_own
from taskbound.surfaces.network.asking import find
from taskbound.surfaces.network.authzen.response import require_request_id
from taskbound.surfaces.network.errors import BadQueryError
from taskbound.surfaces.network.oauth import ENDPOINTS
from taskbound.surfaces.network.problem import LONGEST
from taskbound.wire.routes import AUTHZEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.surfaces.network.asking import Found


EVALUATES: Final = "action:evaluate"
EVALUATIONS: Final = frozenset(AUTHZEN[EVALUATES])
_MINE: Final = frozenset(
    {
        *("accept-encoding", "cookie", "dpop", "idempotency-key", "if-none-match"),
        *("sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-purpose"),
    }
)
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9._~!$'()*,;:@-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~!$'()*,;:@/?+-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STATUS: Final = re.compile(r"/oauth/status/(0|[1-9][0-9]{0,14})", re.ASCII)
_MOST: Final = 32
"""Parameters of a query."""
_JSON: Final = frozenset({"application/json", "application/problem+json", "application/*", "*/*"})


def _no_page(path: str) -> str:
    del path
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiNames:
    """The names of the API, and what it serves beside operations."""

    origin: str
    """`https://api.example.org`, without a path."""
    hosts: frozenset[str]
    """What `Host` may be."""
    documents: frozenset[str]
    forms: frozenset[str] = frozenset()
    evaluations: frozenset[str] = frozenset()
    """Paths at which AuthZEN is spoken."""
    pages: Callable[[str], str] = _no_page
    """Returns the methods of a page's path in the form of `Allow`; empty for other paths."""

    @property
    def origins(self) -> frozenset[str]:
        """Returns the origins whose pages may send requests: the API's own."""
        scheme = self.origin.partition("://")[0]
        return frozenset(f"{scheme}://{one}" for one in self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The parsed head of a request."""

    verb: str
    path: str
    """As it was written."""
    found: Found | None
    """The operation; none for a document, a form or a status list."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By their names in lower case."""
    length: int
    listed: int | None = None
    """The status list that is asked for."""
    page: bool = False
    """Whether it is for a browser's page, which reads `said` itself."""
    said: str = ""
    """What stands behind the path's `?`, of a page."""

    def __repr__(self) -> str:
        """Omits proofs."""
        return f"Head({self.verb} {self.path!r}, {self.length} bytes)"


def read_head(
    verb: str, target: str, fields: Iterable[tuple[bytes, bytes]], *, known: ApiNames, most: int
) -> Head:
    """Returns the head of an acceptable request; raises the first violated rule's error.

    `fields` are lower-case names and values in order; `most` limits the body in bytes.
    """
    told = list(fields)
    require_request_id(target, told)  # 5
    path, mark, query = target.partition("?")
    posted = path in known.forms or path in known.evaluations
    headers = once(told, mine=_MINE)
    if sum(name == b"traceparent" for name, _ in told) > 1:
        del headers["traceparent"]  # repeated headers are ambiguous: a new trace begins (W3C §3.2)
    require_own(headers, hosts=known.hosts, origins=known.origins)  # 1
    found, listed, taken = None, _STATUS.fullmatch(path), known.pages(path)
    if taken:
        if verb not in taken.split(", "):
            raise VerbError("the page takes no such method", allow=taken)
    elif path in known.documents or listed is not None:
        if verb not in {"GET", "HEAD"}:
            raise VerbError("the document is only read", allow="GET, HEAD")
    elif posted:
        if verb != "POST":
            raise VerbError("what is asked there is posted", allow="POST")
    else:
        found = find(verb, _segments(path))
    length = read_length(headers, min(most, LONGEST) if taken or path in known.forms else most)  # 3
    reads = verb in {"GET", "HEAD"}
    if reads and length:
        raise BadHttpError("a request that reads has no body")  # 3
    if not reads and not taken and not posted and (length or "content-type" in headers):
        require_json(headers)  # 3
    if found is not None and not _takes_json(headers.get("accept", "")):
        raise NotAcceptableError("the client does not take JSON")
    return Head(
        verb=verb,
        path=path,
        found=found,
        query=_query(query) if mark and not taken else {},
        headers=headers,
        length=length,
        listed=None if listed is None else int(listed[1]),
        page=bool(taken),
        said=query if taken else "",
    )


def _takes_json(told: str) -> bool:
    return not told.strip() or any(kind in _JSON and weight > 0 for kind, weight in accepted(told))


def _segments(path: str) -> tuple[str, ...]:
    if not path.startswith("/"):
        raise UnknownPathError("nothing is served at this path")
    parts = path[1:].split("/")
    if not all(_PLAIN.fullmatch(one) and one not in {".", ".."} for one in parts):
        raise UnknownPathError("nothing is served at this path")
    found = tuple(map(_decode, parts))
    if any("/" in one or one in {".", ".."} for one in found):
        raise UnknownPathError("nothing is served at this path")
    return found


def operation_of(verb: str, target: str) -> str:
    """Returns the operation of a method and path; empty for none."""
    path = target.partition("?")[0]
    if path in EVALUATIONS:
        return EVALUATES if verb == "POST" else ""
    form = ENDPOINTS.get(path)
    if form is not None:
        return str(form.__struct_config__.tag) if verb == "POST" else ""
    try:
        return find(verb, _segments(path)).route.operation
    except TaskboundError:
        return ""


def _query(text: str) -> dict[str, str]:
    pairs = read_pairs(text)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadQueryError("a parameter of the query stands twice")
    return found


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Returns names and values of a query in order (rule 2); raises BadQueryError."""
    found: list[tuple[str, str]] = []
    if _QUERY.fullmatch(text.replace("&", "").replace("=", "")) is None:
        raise BadQueryError("the query is not percent-encoded ASCII")
    for part in text.split("&") if text else ():
        name, _, value = part.partition("=")
        name, value = (_decode(one.replace("+", " ")) for one in (name, value))
        if not name:
            raise BadQueryError("a parameter of the query has no name")
        found.append((name, value))
    if len(found) > _MOST:
        raise BadQueryError(f"the query has over {_MOST} parameters")
    return found


def _decode(text: str) -> str:
    raw = _ENCODED.sub(lambda seen: bytes([int(seen[1], 16)]), text.encode("ascii"))
    try:
        found = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadQueryError("the path or the query is no UTF-8") from error
    if _CONTROL.search(found):
        raise BadQueryError("the path or the query has a control character")
    return found
