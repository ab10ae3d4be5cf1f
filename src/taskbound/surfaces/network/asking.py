"""Converts a request to the daemon's message.

1. The body is one strict JSON object (`core.action.parse`), which refuses duplicate keys, depth and size
   before msgspec reads the same bytes.
2. A field of the path stands in the path only; unknown fields and `op` are refused.
3. Query values are texts, lists are separated by commas, and a number has no more digits than in JSON.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from taskbound.core.action.parse import parse_object
from taskbound.surfaces.network.errors import BadBodyError, BadQueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.surfaces.network.routes import Found
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
