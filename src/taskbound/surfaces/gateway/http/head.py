"""The head of a request, looked at before a byte of its body is: who may ask here at all, and in which form.

1. No header that means something here stands twice; the lines are strict already (`surfaces.http.head`).
2. `Host` and `Origin` are the front's own: a name of the loopback and the port that is listened on.
3. One path for each agent, no query; POST for messages, DELETE for the end of a session; a body has a length
   that is told. What is published of an agent's gateway is read by anybody, whether there is such an agent or
   not (RFC 9728).
4. A token of the right form stands in `Authorization`, and nowhere else; a proof in `DPoP`. What they are
   worth is asked later.
5. The body is JSON as it is, and the answer can be told in a form that the client takes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.gateway.http.errors import NoAgentNamedError, NoTokenError, TokenFormError
from taskbound.surfaces.http.errors import NotAcceptableError, UnknownPathError, VerbError
from taskbound.surfaces.http.head import accepted, once, read_length, require_json, require_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
    """What the head of a request says."""

    verb: str
    agent: str
    """The agent whose gateway the path names."""
    token: str
    """The text of the token; empty where what is published is read."""
    headers: Mapping[str, str]
    """Each header that means something here, by its name in lower case."""
    length: int
    """Bytes of the body."""
    json: bool
    """Whether the client takes one JSON document."""
    stream: bool
    """Whether it takes a stream of events."""
    eager: bool
    """Whether it would rather have the stream."""

    @property
    def version(self) -> str:
        """The revision that the header names; empty when there is none."""
        return self.headers.get(VERSION, "")

    def __repr__(self) -> str:
        """Without the token."""
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
    """The head of a request that this front may answer.

    Args:
        verb: The HTTP method.
        target: What it asks for, as it was written.
        fields: Names in lower case and values of headers, in order.
        hosts: What `Host` may be.
        scheme: `http` or `https`, as the front is known outside.
        most: Bytes of a body.

    Raises:
        TaskboundError: One of the errors of this folder, by the first rule that is broken.
    """
    headers = once(fields, mine=_MINE, prefix=_PARAM)  # 1
    require_own(headers, hosts=hosts, origins=frozenset(f"{scheme}://{one}" for one in hosts))  # 2
    path = _PATH.fullmatch(target)
    if path is None:
        raise UnknownPathError("nothing is served at this path")  # 3
    agent, published = path[2] or "", path[1] is not None
    if not agent:
        raise NoAgentNamedError("the path names no agent")  # 3
    if verb not in ({"GET", "HEAD"} if published else {"DELETE", "GET", "POST"}):
        raise VerbError(
            f"`{verb[:20]}` is nothing here" if verb.isalpha() else "the method is nothing here"
        )  # 3
    length = read_length(headers, most)  # 3
    token = "" if published else _token(headers, agent)
    json, stream, eager = _accepts(headers.get("accept", ""))
    if verb == "POST":
        require_json(headers)  # 5
        if not (json or stream):
            raise NotAcceptableError("the client takes neither JSON nor a stream of events")  # 5
    if verb == "GET" and not (stream or published):
        raise NotAcceptableError("what is told outside of requests is a stream of events")  # 5
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
        raise NoTokenError("the request shows no token", agent=agent)  # 4
    found = _TOKEN.fullmatch(told)
    if found is None:
        raise TokenFormError("the authorization is no token")
    return found[1]


def _accepts(told: str) -> tuple[bool, bool, bool]:
    """Whether JSON is taken, a stream is, and the stream rather; nothing told takes both."""
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
