"""A URI template of a server (RFC 6570): which URIs it can stand for, found in bounded time.

1. An expression without an operator stands for any characters but `/`, `?` and `#`; one with an operator for
   any at all. What the values may be is the server's to say: a template that matches is a claim and no right.
2. A template has at most 16 expressions and 2,048 characters; braces that don't pair make it none.
3. Matching takes time in proportion to the URI, whatever the template: it keeps places, goes back to none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadTemplateError
from taskbound.core.tool.name import shown

MAX_URI: Final = 8192
"""Characters of a URI that can be asked for."""
_MAX_TEMPLATE: Final = 2048
_MAX_EXPRESSIONS: Final = 16
_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_OPERATORS: Final = "+#./;?&=,!@|"
_STOPS: Final = re.compile(r"[/?#]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UriTemplate:
    """A template, taken apart: what stands there, and between it what may be anything."""

    literals: tuple[str, ...]
    """One more than there are expressions."""
    wide: tuple[bool, ...]
    """Of each expression, whether it stands for any characters at all (rule 1)."""

    @property
    def prefix(self) -> str:
        """What every one of its URIs begins with."""
        return self.literals[0]

    def stands_for(self, uri: str) -> bool:
        """Whether it can stand for this URI."""
        if len(uri) > MAX_URI or not uri.startswith(self.prefix):
            return False
        if not self.wide:
            return uri == self.prefix
        stops = [found.start() for found in _STOPS.finditer(uri)]
        places = [len(self.prefix)]
        for number, wide in enumerate(self.wide):
            literal = self.literals[number + 1]
            last = number == len(self.wide) - 1
            starts = [len(uri) - len(literal)] if last and uri.endswith(literal) else []
            if not last:
                starts = _occurrences(uri, literal, places[0])
            places = [
                start + len(literal)
                for start in starts
                if start >= places[0] and (wide or _reaches(places, start, stops))
            ]
            if not places:
                return False
        return True


def parse_template(text: str) -> UriTemplate:
    """The template that is written here.

    Raises:
        BadTemplateError: It is none that can be matched (rule 2).
    """
    literals: list[str] = []
    wide: list[bool] = []
    at = 0
    for found in _EXPRESSION.finditer(text[: _MAX_TEMPLATE + 1]):
        literals.append(text[at : found.start()])
        wide.append(found[1][:1] in _OPERATORS)
        at = found.end()
    literals.append(text[at:])
    if (
        len(text) > _MAX_TEMPLATE
        or len(wide) > _MAX_EXPRESSIONS
        or any("{" in one or "}" in one for one in literals)
    ):
        raise BadTemplateError(f"`{shown(text)}` is no URI template that can be matched")
    return UriTemplate(literals=tuple(literals), wide=tuple(wide))


def _occurrences(uri: str, literal: str, first: int) -> list[int]:
    """Every place from `first` on at which the literal begins."""
    if not literal:
        return list(range(first, len(uri) + 1))
    found: list[int] = []
    at = uri.find(literal, first)
    while at >= 0:
        found.append(at)
        at = uri.find(literal, at + 1)
    return found


def _reaches(places: list[int], start: int, stops: list[int]) -> bool:
    """Whether from a place before it the start is reached without a stop between (rule 1)."""
    nearest = places[bisect_right(places, start) - 1]
    return bisect_right(stops, nearest - 1) == bisect_right(stops, start - 1)
