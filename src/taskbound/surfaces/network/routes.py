"""Finds the route of a request to the API.

1. A literal segment goes before one in braces.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.http.errors import UnknownPathError, VerbError
from taskbound.wire.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.wire.routes import Route


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
