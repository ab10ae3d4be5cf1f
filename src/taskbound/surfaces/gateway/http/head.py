"""The head of a request, looked at before a byte of its body is: who may ask here at all, and in which form.

1. No header that means something here stands twice; the lines are strict already (`surfaces.http.head`).
2. `Host` and `Origin` are the front's own: a name of the loopback and the port that is listened on.
3. One path, no query; POST for messages, DELETE for the end of a session; a body has a length that is told.
4. A bearer of the right form stands in `Authorization`, and nowhere else. Whether it opens anything is
   asked later.
5. The body is JSON as it is, and the answer can be told in a form that the client takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.task import task_of_bearer
from taskbound.surfaces.gateway.http.errors import BearerFormError, NoBearerError
from taskbound.surfaces.http.errors import NotAcceptableError, UnknownPathError, VerbError
from taskbound.surfaces.http.head import accepted, once, read_length, require_json, require_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SESSION", "VERSION", "Head", "read_head"]

SESSION: Final = "mcp-session-id"
VERSION: Final = "mcp-protocol-version"
_PARAM: Final = "mcp-param-"
_MINE: Final = frozenset({"mcp-method", "mcp-name", SESSION, VERSION})
_PATH: Final = re.compile(r"/mcp(?:/([A-Za-z0-9._-]{1,64}))?/?", re.ASCII)
_BEARER: Final = re.compile(r"bearer +([!-~]+)", re.ASCII | re.IGNORECASE)
_JSON: Final = frozenset({"application/json", "application/*", "*/*"})
_STREAM: Final = frozenset({"text/event-stream", "text/*", "*/*"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head of a request says."""

    verb: str
    agent: str
    """The agent that the path names; empty when it names none."""
    bearer: str
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
        """Without the bearer."""
        return f"Head({self.verb} {self.agent!r}, {self.length} bytes)"


def read_head(
    verb: str, target: str, fields: Iterable[tuple[bytes, bytes]], *, hosts: frozenset[str], most: int
) -> Head:
    """The head of a request that this front may answer.

    Args:
        verb: The HTTP method.
        target: What it asks for, as it was written.
        fields: Names in lower case and values of headers, in order.
        hosts: What `Host` may be.
        most: Bytes of a body.

    Raises:
        TaskboundError: One of the errors of this folder, by the first rule that is broken.
    """
    headers = once(fields, mine=_MINE, prefix=_PARAM)  # 1
    require_own(headers, hosts=hosts, origins=frozenset(f"http://{one}" for one in hosts))  # 2
    path = _PATH.fullmatch(target)
    if path is None:
        raise UnknownPathError("nothing is served at this path")  # 3
    if verb not in {"DELETE", "GET", "POST"}:
        raise VerbError(
            f"`{verb[:20]}` is nothing here" if verb.isalpha() else "the method is nothing here"
        )  # 3
    length = read_length(headers, most)  # 3
    bearer = _bearer(headers)
    json, stream, eager = _accepts(headers.get("accept", ""))
    if verb == "POST":
        require_json(headers)  # 5
        if not (json or stream):
            raise NotAcceptableError("the client takes neither JSON nor a stream of events")  # 5
    if verb == "GET" and not stream:
        raise NotAcceptableError("what is told outside of requests is a stream of events")  # 5
    return Head(
        verb=verb,
        agent=path[1] or "",
        bearer=bearer,
        headers=headers,
        length=length,
        json=json,
        stream=stream,
        eager=eager,
    )


def _bearer(headers: Mapping[str, str]) -> str:
    told = headers.get("authorization", "")
    if not told:
        raise NoBearerError("the request has no bearer")  # 4
    found = _BEARER.fullmatch(told)
    if found is None:
        raise BearerFormError("the authorization is no bearer")
    task_of_bearer(found[1])
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
