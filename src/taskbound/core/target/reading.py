"""Values of a target's file, with the place of what is wrong.

Of `places`:

1. A place is the name of a parameter in braces. There is no other use of a brace.
2. What is put there is a word: letters, digits, `.`, `_`, `-` and `~`, with no `.` or `~` at its beginning.
   It can neither end the text that it stands in, nor lead to another place of a path.

Of `state`:

1. A preflight mints a canary of each kind of credential, uses it, and revokes it. What it declared can be
   asked for only once all of that was seen to work; until then it has no tools.
2. A target that is ready stays so when a later preflight fails: what lives there has to be ended in any case,
   and what is asked for is refused by the target itself. That it failed is shown.
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
    """What is made of the members that stand here.

    Raises:
        TargetFileError: They make nothing; the place is named, and what to do where that is known.
    """
    try:
        return make()
    except MalformedError as error:
        own = error.advice if error.advice != error.remedy else ""
        raise TargetFileError(f"`{place.text}`: {error.message}", where=place.text, remedy=own) from error


def read_texts(members: Mapping[str, JsonValue], name: str, place: Place, *, most: int) -> tuple[str, ...]:
    """The texts of a list, in their order; none where the member isn't there.

    Raises:
        ScopeSyntaxError: It is no list of so many texts at most.
    """
    where = place.member(name)
    found = where.read_list(members.get(name, []), most=most)
    return tuple(where.item(number).read_text(one) for number, one in enumerate(found))


def said(members: Mapping[str, JsonValue], names: tuple[str, ...], place: Place) -> dict[str, str]:
    """The texts that are there, of these names.

    Raises:
        ScopeSyntaxError: One is no text, or empty.
    """
    said = {name: place.member(name).read_text(members[name]) for name in names if name in members}
    for name in (name for name, one in said.items() if not one):
        raise place.member(name).fault("must be left out rather than empty")
    return said


_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_WORD: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}")
_SHOWN: Final = 80


def places_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of all places in these texts, sorted (rule 1).

    Raises:
        BadKindError: A brace is no place.
    """
    found: set[str] = set()
    for one in texts:
        if set("{}") & set(_PLACE.sub("", one)):
            raise BadKindError(f"`{escape_text(one[:_SHOWN])}` has a brace that is no place of a parameter")
        found |= set(_PLACE.findall(one))
    return tuple(sorted(found))


def fill(text: str, context: Mapping[str, str]) -> str:
    """The text with what was asked for in its places (rule 2).

    Raises:
        BadKindError: A value can't stand there, or there is none.
    """
    for name in places_in([text]):
        value = context.get(name, "")
        if _WORD.fullmatch(value) is None:
            raise BadKindError(f"what was asked for as `{name}` is no word of letters, digits and `._~-`")
        text = text.replace(f"{{{name}}}", value)
    return text


class TargetState(Enum):
    """Where a target stands; the values are what rows and records hold."""

    UNTESTED = "untested"
    """Its preflight is under way, or was never over."""
    REFUSED = "refused"
    """Its preflight failed, and it was never ready."""
    READY = "ready"
    """What it declares can be asked for."""
