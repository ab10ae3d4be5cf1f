"""Reads values of target files, fills parameters into texts, and defines the states of a target.

1. A parameter is a name in braces; braces have no other use.
2. Its value is a word of letters, digits, `.`, `_`, `-` and `~` that does not begin with `.` or `~`. So it
   can neither end the text around it nor change the path.

A target has no tools until a preflight has minted, used and revoked a canary of each kind. A ready target
stays ready after a later preflight fails, so that its credentials can be ended; the failure is shown.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.action.text import escape_text
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError, TargetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import Place


T = TypeVar("T")


def made(place: Place, make: Callable[[], T]) -> T:
    """Calls `make`; an error becomes a TargetFileError that names the place."""
    try:
        return make()
    except MalformedError as error:
        own = error.advice if error.advice != error.remedy else ""
        raise TargetFileError(f"`{place.text}`: {error.message}", where=place.text, remedy=own) from error


def read_texts(members: Mapping[str, JsonValue], name: str, place: Place, *, most: int) -> tuple[str, ...]:
    """Returns the texts of an optional list; raises ScopeSyntaxError for more than `most`."""
    where = place.member(name)
    found = where.read_list(members.get(name, []), most=most)
    return tuple(where.item(number).read_text(one) for number, one in enumerate(found))


def said(members: Mapping[str, JsonValue], names: tuple[str, ...], place: Place) -> dict[str, str]:
    """Returns the members present of these names; raises ScopeSyntaxError for an empty text or a non-text."""
    said = {name: place.member(name).read_text(members[name]) for name in names if name in members}
    for name in (name for name, one in said.items() if not one):
        raise place.member(name).fault("must be left out rather than empty")
    return said


_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_WORD: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}")
_SHOWN: Final = 80


def places_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the parameters in these texts, sorted; raises BadKindError by rule 1."""
    found: set[str] = set()
    for one in texts:
        if set("{}") & set(_PLACE.sub("", one)):
            raise BadKindError(f"`{escape_text(one[:_SHOWN])}` has a brace that is no place of a parameter")
        found |= set(_PLACE.findall(one))
    return tuple(sorted(found))


def fill(text: str, context: Mapping[str, str]) -> str:
    """Returns the text with parameters filled in; raises BadKindError by rule 2."""
    for name in places_in([text]):
        value = context.get(name, "")
        if _WORD.fullmatch(value) is None:
            raise BadKindError(f"what was asked for as `{name}` is no word of letters, digits and `._~-`")
        text = text.replace(f"{{{name}}}", value)
    return text


class TargetState(Enum):
    """The state of a target; rows and records hold the values."""

    UNTESTED = "untested"
    """Its preflight is under way, or was never over."""
    REFUSED = "refused"
    """Its preflight failed, and it was never ready."""
    READY = "ready"
    """What it declares can be asked for."""
