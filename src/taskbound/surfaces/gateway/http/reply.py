"""Heads and replies of the front.

An answer is a document. It becomes a stream when a message precedes it and the client accepts one;
otherwise the message is dropped. A request without a valid token gets a challenge (RFC 6750 §3, RFC 9449
§7.1, RFC 9728 §5.1). An idle stream gets a comment now and then, so that the front notices a lost client.

In a head, no header with a meaning here may occur twice. `Host` and `Origin` must be the front's own: a
loopback name and the listening port. Each agent has one path and no query. A token stands in
`Authorization` only, a proof in `DPoP`; the daemon verifies them later. The body is plain JSON.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

import h11

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.gateway.errors import INVALID_REQUEST, code_of, data_of, rpc_code
from taskbound.surfaces.gateway.http.errors import NoAgentNamedError, NoTokenError, TokenFormError, status_of
from taskbound.surfaces.http import head as http
from taskbound.surfaces.http.errors import NotAcceptableError, UnknownPathError, VerbError
from taskbound.surfaces.http.head import accepted, once, read_length, require_json, require_own
from taskbound.wire.mcp.message import NULL, failure_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.http.head import Carrier


SESSION: Final = "mcp-session-id"
VERSION: Final = "mcp-protocol-version"
_PARAM: Final = "mcp-param-"
METADATA: Final = "/.well-known/oauth-protected-resource"
_MINE: Final = frozenset({"dpop", "mcp-method", "mcp-name", SESSION, VERSION})
_PATH: Final = re.compile(rf"({METADATA})?/mcp(?:/([a-z0-9][a-z0-9-]{{0,63}}))?", re.ASCII)
_TOKEN: Final = re.compile(r"(?:dpop|bearer) +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)
_JSON: Final = frozenset({"application/json", "application/*", "*/*"})
_STREAM: Final = frozenset({"text/event-stream", "text/*", "*/*"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The contents of a request's head."""

    verb: str
    agent: str
    token: str
    """The text of the token; empty where what is published is read."""
    headers: Mapping[str, str]
    """Each header that means something here, by its name in lower case."""
    length: int
    """Bytes of the body."""
    json: bool
    stream: bool
    eager: bool

    @property
    def version(self) -> str:
        return self.headers.get(VERSION, "")

    def __repr__(self) -> str:
        return f"Head({self.verb} {self.agent!r}, {self.length} bytes)"


def read_head(
    verb: str,
    target: str,
    fields: Iterable[tuple[bytes, bytes]],
    *,
    hosts: frozenset[str],
    scheme: str,
    most: int,
) -> Head:
    """Raises for the first broken rule; `scheme` is the public one, `most` bounds the body in bytes."""
    headers = once(fields, mine=_MINE, prefix=_PARAM)
    require_own(headers, hosts=hosts, origins=frozenset(f"{scheme}://{one}" for one in hosts))
    path = _PATH.fullmatch(target)
    if path is None:
        raise UnknownPathError("nothing is served at this path")
    agent, published = path[2] or "", path[1] is not None
    if not agent:
        raise NoAgentNamedError("the path names no agent")
    if verb not in ({"GET", "HEAD"} if published else {"DELETE", "GET", "POST"}):
        raise VerbError(f"`{verb[:20]}` is nothing here" if verb.isalpha() else "the method is nothing here")
    length = read_length(headers, most)
    token = "" if published else _token(headers, agent)
    json, stream, eager = _accepts(headers.get("accept", ""))
    if verb == "POST":
        require_json(headers)
        if not (json or stream):
            raise NotAcceptableError("the client takes neither JSON nor a stream of events")
    if verb == "GET" and not (stream or published):
        raise NotAcceptableError("the client must accept `text/event-stream` for messages outside requests")
    return Head(
        verb=verb,
        agent=agent,
        token=token,
        headers=headers,
        length=length,
        json=json,
        stream=stream,
        eager=eager,
    )


def _token(headers: Mapping[str, str], agent: str) -> str:
    told = headers.get("authorization", "")
    if not told:
        raise NoTokenError("the request shows no token", agent=agent)
    found = _TOKEN.fullmatch(told)
    if found is None:
        raise TokenFormError("the authorization is no token")
    return found[1]


def _accepts(told: str) -> tuple[bool, bool, bool]:
    """Returns whether JSON is accepted, a stream is, and a stream is preferred; no header accepts both."""
    if not told.strip():
        return True, True, False
    json = stream = 0.0
    first = ""
    for kind, weight in accepted(told):
        if kind in _JSON:
            json = max(json, weight)
        if kind in _STREAM:
            stream = max(stream, weight)
        if not first and kind in {"application/json", "text/event-stream"}:
            first = kind
    return json > 0, stream > 0, stream > json or (stream == json and first == "text/event-stream")


_PROOFS: Final = frozenset({"replayed", "token-unbound"})
_LINES: Final = re.compile(rb"\r\n|\r|\n")
_EVENTS: Final = (("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no"))
_FORBIDDEN: Final = 403
_OK: Final = 200
_ACCEPTED: Final = 202
_UNAUTHORIZED: Final = 401
_NOT_ALLOWED: Final = 405
_TOO_MANY: Final = 429


class Reply(http.Reply):
    """The answer to one request."""

    def __init__(self, carrier: Carrier, head: Head | None, *, alive: float, origin: str) -> None:
        """`head` is None if it was unreadable; `alive` is the interval of comments in seconds."""
        super().__init__(carrier, last=head is None)
        self._agent = "" if head is None else head.agent
        self._origin = origin
        self.chain: tuple[bytes, ...] = ()
        """The client's certificates, as TLS proved them."""
        self.address = ""
        """Where the client is."""
        self.token = ""
        """The name of the token that the request came with, once it is known."""
        self.task = ""
        """The task that this token is of."""
        self._stream = head is not None and head.stream
        self._rather = head is not None and (head.eager or not head.json)
        """Whether the client would rather have a stream than a document, or takes nothing else."""
        self._alive = alive
        self._streaming = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def can_stream(self) -> bool:
        return self._stream

    def tell(self, line: bytes) -> None:
        """Sends a message that belongs to the request before its answer."""
        if self._over or not self._stream:
            return
        self.begin()
        self._carrier.write(_event(line))

    def begin(self) -> None:
        if self._streaming or self._over:
            return
        self._streaming = True
        self._carrier.write(self._head(_OK, [*_EVENTS]))
        self._comment_later()

    def answer(self, line: bytes, *, status: int = _OK, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Sends the answer, one JSON document; an empty line only ends the reply."""
        if self._over:
            return
        streams = self._stream and (self._rather or not line)
        events: list[h11.Event] = []
        if streams and status == _OK and not self._streaming:
            self._streaming = True
            events.append(self._head(_OK, [*_EVENTS, *headers]))
        if self._streaming:
            if line:
                events.append(_event(line))
        else:
            body = line.removesuffix(b"\n")
            kind = [("Content-Type", "application/json")] if body else []
            events.append(self._head(status, [*kind, ("Content-Length", str(len(body))), *headers]))
            if body:
                events.append(h11.Data(data=body))
        self._end(*events)

    def accept(self) -> None:
        self.answer(b"", status=_ACCEPTED)

    def refuse(self, error: TaskboundError, *, request: bytes = NULL) -> None:
        status = status_of(error)
        headers: list[tuple[str, str]] = []
        agent = error.agent if isinstance(error, NoTokenError) else self._agent
        if status == _UNAUTHORIZED:
            wrong = "" if isinstance(error, NoTokenError) else "invalid_token"
            headers += challenges(self._origin, agent, wrong, dpop=_wrong_of(code_of(error), wrong))
        elif status == _FORBIDDEN and code_of(error) == "other-token-kind":
            headers += challenges(self._origin, agent, "insufficient_scope")
        if status == _NOT_ALLOWED:
            headers.append(("Allow", "GET, POST, DELETE"))
        if status == _TOO_MANY:
            headers.append(("Retry-After", "1"))
        code = INVALID_REQUEST if status == _UNAUTHORIZED else rpc_code(error)
        line = failure_line(request, code, error.message, data_of(error))
        self.answer(line, status=status, headers=tuple(headers))

    def give(self, body: bytes) -> None:
        if self._over:
            return
        kind = [("Content-Type", "application/json"), ("Cache-Control", "public, max-age=60")]
        self._end(self._head(_OK, [*kind, ("Content-Length", str(len(body)))]), h11.Data(data=body))

    # --- writing ---------------------------------------------------------------------------------

    def _comment_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._alive, self._comment)

    def _comment(self) -> None:
        self._carrier.write(h11.Data(data=b": \n\n"))
        self._comment_later()

    def _finish(self) -> None:
        super()._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def challenges(origin: str, agent: str, wrong: str, *, dpop: str = "") -> list[tuple[str, str]]:
    """Returns the challenges; `agent` is "" if unknown; `dpop` replaces `wrong` for proven tokens."""
    named = f', resource_metadata="{origin}{METADATA}/mcp/{agent}"' if agent else ""
    told = [("Bearer", "", wrong), ("DPoP", ' algs="ES256",', dpop or wrong)]
    return [
        ("WWW-Authenticate", f'{kind}{more} scope="task"{named}' + (f', error="{error}"' if error else ""))
        for kind, more, error in told
    ]


def _wrong_of(code: str, wrong: str) -> str:
    return "invalid_dpop_proof" if code.startswith("dpop-") or code in _PROOFS else wrong


def _event(line: bytes) -> h11.Data:
    lines = _LINES.split(line.removesuffix(b"\n"))
    data = b"".join([b"data: %b\n" % one for one in lines])
    return h11.Data(data=b"event: message\n%b\n" % data)
