"""Finds the route of a request, and converts it to the daemon's message.

Of `asking`:
1. The body is one strict JSON object (`core.action.parse`), which refuses duplicate keys, depth and size
   before msgspec reads the same bytes.
2. A field of the path stands in the path only; unknown fields and `op` are refused.
3. Query values are texts, lists are separated by commas, and a number has no more digits than in JSON.
Of `routes`:
1. A literal segment goes before one in braces.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.surfaces.http.errors import UnknownPathError, VerbError
from taskbound.surfaces.network.errors import BadBodyError, BadQueryError
from taskbound.wire.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.wire.envelope import Ask
    from taskbound.wire.routes import Route


_NUMBER: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_SPACE: Final = b" \t\r\n"
_LONGEST: Final = 200


def read_ask(found: Found, query: Mapping[str, str], body: bytes) -> Ask:
    """Returns the message of a request.

    Raises MalformedError for a body that is no strict JSON object, and BadBodyError or BadQueryError
    otherwise.
    """
    route = found.route
    if route.reads:
        return _convert(route, {**found.path, **_listed(route, query, taken=found.path)}, BadQueryError)
    if query:
        raise BadQueryError("what changes something is said in the body, and not in the query")
    told = parse_object(body) if body.strip(_SPACE) else {}  # 1
    for name in ("op", *found.path):
        if name in told:
            raise BadBodyError(f"`{name}` is said by the path, and not in the body")  # 2
    path = msgspec.json.encode(dict(found.path))[1:-1]
    rest = body.strip(_SPACE)[1:-1].strip(_SPACE)
    whole = b"{%b%b%b}" % (path, b"," if path and rest else b"", rest)
    try:
        asked: Ask = _decoder(route.operation, route.message).decode(whole)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadBodyError(f"the body is not what the route takes: {_words(error)}") from error
    return asked


@cache
def _decoder(operation: str, message: type[Any]) -> msgspec.json.Decoder[Any]:
    del operation
    return msgspec.json.Decoder(message)


def _convert(route: Route, told: Mapping[str, object], error: type[BadQueryError]) -> Ask:
    try:
        return cast("Ask", msgspec.convert(dict(told), route.message, strict=False))
    except msgspec.ValidationError as why:
        raise error(f"the query is not what the route takes: {_words(why)}") from why


def _listed(route: Route, query: Mapping[str, str], *, taken: Mapping[str, str]) -> dict[str, object]:
    """Converts query values by the types of the fields (rule 3)."""
    found: dict[str, object] = {}
    kinds = {one.encode_name: one.type for one in _fields(route.operation, route.message)}
    for name, value in query.items():
        kind = kinds.get(name)
        if kind is None or name in taken:
            raise BadQueryError(f"the route takes no parameter `{name[:40]}`")
        if isinstance(kind, msgspec.inspect.IntType) and _NUMBER.fullmatch(value) is None:
            raise BadQueryError(f"`{name}` is a whole number of at most 15 digits")
        many = isinstance(kind, msgspec.inspect.VarTupleType)
        found[name] = [one for one in value.split(",") if one] if many else value
    return found


@cache
def _fields(operation: str, message: type[Any]) -> tuple[msgspec.inspect.Field, ...]:
    del operation
    kind = msgspec.inspect.type_info(message)
    return kind.fields if isinstance(kind, msgspec.inspect.StructType) else ()


def _words(error: Exception) -> str:
    text = str(error)[:_LONGEST]
    return "".join(one if one.isprintable() else "?" for one in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The route of a request, with the values of its path."""

    route: Route
    path: Mapping[str, str]


@cache
def _by_shape() -> Mapping[tuple[int, str], tuple[Route, ...]]:
    """Groups routes by segment count and first word, fewest fields first (rule 1)."""
    found: dict[tuple[int, str], list[Route]] = {}
    for one in sorted(ROUTES, key=lambda route: len(route.within_path)):
        found.setdefault((len(one.segments), one.segments[1]), []).append(one)
    return {shape: tuple(some) for shape, some in found.items()}


def find(verb: str, segments: tuple[str, ...]) -> Found:
    """Returns the route of a request; HEAD is answered like GET; `segments` are decoded.

    Raises UnknownPathError, or VerbError if the path takes other methods.
    """
    shape = (len(segments), segments[1]) if len(segments) > 1 and segments[0] == "v1" else (0, "")
    verbs: list[str] = []
    fields = -1
    for one in _by_shape().get(shape, ()):
        if fields not in {-1, len(one.within_path)}:
            break  # 1
        path = _match(one.segments, segments)
        if path is None:
            continue
        fields = len(one.within_path)
        if one.verb == ("GET" if verb == "HEAD" else verb):
            return Found(route=one, path=path)
        verbs += ["GET", "HEAD"] if one.verb == "GET" else [one.verb]
    if verbs:
        raise VerbError("the path takes no such method", allow=", ".join(sorted(verbs)))
    raise UnknownPathError("nothing is served at this path")


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for expected, told in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not told:
                return None
            found[expected[1:-1]] = told
        elif expected != told:
            return None
    return found
