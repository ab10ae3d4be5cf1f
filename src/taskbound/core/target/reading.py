"""What a value of a target's file is made of, with the place of what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import TargetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place


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
