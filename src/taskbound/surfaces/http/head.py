"""What every reader of a request's head has to read the same, and who may ask at all.

1. The head is strict: CR LF ends each line and stands nowhere else, no line is folded, and no header that
   means something here stands twice. Two readers of it read the same.
2. `Host` and `Origin` are the server's own. A page whose name was turned to this machine (DNS rebinding)
   sends its own name.
3. A body has a length that is told, and no more than is read.
4. A body is JSON as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import TooLargeError
from taskbound.surfaces.http.errors import (
    BadHttpError,
    ContentTypeError,
    ForeignHostError,
    ForeignOriginError,
    NoLengthError,
)
from taskbound.wire.framing import has_one_length, read_lengths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_ONCE: Final = frozenset(
    {
        *("authorization", "content-encoding", "content-length", "content-type", "host", "origin"),
        "transfer-encoding",
    }
)
_TYPE: Final = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII | re.IGNORECASE)
_DIGITS: Final = 15


def require_strict(raw: bytes) -> None:
    """Go on only with lines that every reader ends in the same places (rule 1).

    Args:
        raw: The head, with the empty line that ends it.

    Raises:
        BadHttpError: A bare CR or LF, a line that goes on with the next one, or more than one length.
    """
    for line in raw.split(b"\r\n")[:-2]:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadHttpError("a line of the head ends with something else than CR LF")
        if not line or line[:1] in {b" ", b"\t"}:
            raise BadHttpError("a line of the head is empty or folded")
    if not has_one_length(read_lengths(raw)):  # before h11, which makes one of several equal ones
        raise BadHttpError("the length of the body is said twice, or is no number")


def once(
    fields: Iterable[tuple[bytes, bytes]], *, mine: frozenset[str] = frozenset(), prefix: str = ""
) -> dict[str, str]:
    """Each header by its name; `Accept` may stand more than once, and is joined (rule 1).

    Args:
        fields: Names in lower case and values, in order.
        mine: What else means something to the server.
        prefix: How names begin that mean something to it; empty for none.

    Raises:
        BadHttpError: One that means something stands twice.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name == "accept" and name in headers:
            headers[name] += f", {value}"
        elif name in headers and (
            name in _ONCE or name in mine or (prefix != "" and name.startswith(prefix))
        ):
            raise BadHttpError(f"the header `{name[:40]}` stands twice")  # 1
        else:
            headers[name] = value
    return headers


def require_own(headers: Mapping[str, str], *, hosts: frozenset[str], origins: frozenset[str]) -> None:
    """Go on only with a request to this server, by nobody's page but its own (rule 2).

    Raises:
        ForeignHostError: It was made to another name.
        ForeignOriginError: It was made by another origin's page.
    """
    if headers.get("host", "").lower() not in hosts:
        raise ForeignHostError("the request names another host than this one")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in origins:
        raise ForeignOriginError("the request comes from a page of another origin")


def read_length(headers: Mapping[str, str], most: int) -> int:
    """Bytes of the body (rule 3).

    Raises:
        NoLengthError: It is sent in chunks.
        BadHttpError: The length is no number.
        TooLargeError: It is over `most`.
    """
    if "transfer-encoding" in headers:
        raise NoLengthError("the body is sent in chunks")
    told = headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit() or len(told) > _DIGITS:
        raise BadHttpError("the length of the body is no number")
    if int(told) > most:
        raise TooLargeError(f"a body of {int(told)} bytes is over the limit of {most}")
    return int(told)


def accepted(told: str) -> list[tuple[str, float]]:
    """The kinds that `Accept` names, in order and in lower case, each with its weight."""
    found: list[tuple[str, float]] = []
    for part in told.split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((float(one[1]) for one in map(_QUALITY.fullmatch, parameters) if one), 1.0)
        found.append((kind, weight))
    return found


def require_json(headers: Mapping[str, str]) -> None:
    """Go on only with a body that is declared to be JSON as it is (rule 4).

    Raises:
        ContentTypeError: It is not.
    """
    if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
        raise ContentTypeError("the body is not declared to be plain JSON")
