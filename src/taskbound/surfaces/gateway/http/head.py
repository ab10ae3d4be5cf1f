"""The head of a request, looked at before a byte of its body is: who may ask here at all, and in which form.

1. The head is strict: CR LF ends each line and stands nowhere else, no line is folded, and no header that
   means something here stands twice. Two readers of it read the same.
2. `Host` and `Origin` are the front's own: a name of the loopback and the port that is listened on. A page
   whose name was turned to this machine (DNS rebinding) sends its own name.
3. One path, no query; POST for messages, DELETE for the end of a session; a body has a length that is told.
4. A bearer of the right form stands in `Authorization`, and nowhere else. Whether it opens anything is
   asked later.
5. The body is JSON as it is, and the answer can be told in a form that the client takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import TooLargeError
from taskbound.core.task import task_of_bearer
from taskbound.surfaces.gateway.http.errors import (
    BadHttpError,
    BearerFormError,
    ContentTypeError,
    ForeignHostError,
    ForeignOriginError,
    NoBearerError,
    NoLengthError,
    NotAcceptableError,
    UnknownPathError,
    VerbError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SESSION", "VERSION", "Head", "read_head", "require_strict"]

SESSION: Final = "mcp-session-id"
VERSION: Final = "mcp-protocol-version"
_PARAM: Final = "mcp-param-"
_ONCE: Final = frozenset(
    {
        *("authorization", "content-encoding", "content-length", "content-type", "host", "origin"),
        *("mcp-method", "mcp-name", SESSION, VERSION, "transfer-encoding"),
    }
)
_PATH: Final = re.compile(r"/mcp(?:/([A-Za-z0-9._-]{1,64}))?/?", re.ASCII)
_TYPE: Final = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_BEARER: Final = re.compile(r"bearer +([!-~]+)", re.ASCII | re.IGNORECASE)
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII | re.IGNORECASE)
_DIGITS: Final = 15
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


def require_strict(raw: bytes) -> None:
    """Go on only with lines that every reader ends in the same places (rule 1).

    Args:
        raw: The head, with the empty line that ends it.

    Raises:
        BadHttpError: A bare CR or LF, or a line that goes on with the next one.
    """
    for line in raw.split(b"\r\n")[:-2]:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadHttpError("a line of the head ends with something else than CR LF")
        if not line or line[:1] in {b" ", b"\t"}:
            raise BadHttpError("a line of the head is empty or folded")


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
    headers = _once(fields)
    host = headers.get("host", "").lower()
    if host not in hosts:
        raise ForeignHostError("the request names another host than this one")  # 2
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{one}" for one in hosts}:
        raise ForeignOriginError("the request comes from a page of another origin")  # 2
    path = _PATH.fullmatch(target)
    if path is None:
        raise UnknownPathError("nothing is served at this path")  # 3
    if verb not in {"DELETE", "GET", "POST"}:
        raise VerbError(
            f"`{verb[:20]}` is nothing here" if verb.isalpha() else "the method is nothing here"
        )  # 3
    length = _length(headers, most)
    bearer = _bearer(headers)
    json, stream, eager = _accepts(headers.get("accept", ""))
    if verb == "POST":
        if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
            raise ContentTypeError("the body is not declared to be plain JSON")  # 5
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


def _once(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name == "accept" and name in headers:
            headers[name] += f", {value}"
        elif name in headers and (name in _ONCE or name.startswith(_PARAM)):
            raise BadHttpError(f"the header `{name[:40]}` stands twice")  # 1
        else:
            headers[name] = value
    return headers


def _length(headers: Mapping[str, str], most: int) -> int:
    if "transfer-encoding" in headers:
        raise NoLengthError("the body is sent in chunks")  # 3
    told = headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit() or len(told) > _DIGITS:
        raise BadHttpError("the length of the body is no number")
    if int(told) > most:
        raise TooLargeError(f"a body of {int(told)} bytes is over the limit of {most}")
    return int(told)


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
    for part in told.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((float(one[1]) for one in map(_QUALITY.fullmatch, parameters) if one), 1.0)
        if kind in _JSON:
            json = max(json, weight)
        if kind in _STREAM:
            stream = max(stream, weight)
        if not first and kind in {"application/json", "text/event-stream"}:
            first = kind
    return json > 0, stream > 0, stream > json or (stream == json and first == "text/event-stream")
