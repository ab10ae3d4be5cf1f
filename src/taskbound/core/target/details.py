"""`authorization_details` (RFC 9396) of a kind: what a token is for, said in more than a scope.

1. They are a list of objects, each with its `type`. Texts in them may have places for parameters (`places`),
   names may not, nor may the type: what may be asked for at all is the file's.
2. What the authorization server says to have given has to be the very objects that were asked for, in any
   order: less and more are both something else (§7), and what it adds of its own (§7.1) is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError
from taskbound.core.target.places import fill, places_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue


MOST_DETAILS: Final = 16
_MOST_BYTES: Final = 8_192
_LIST: Final = "authorization_details"


def details_of(values: Sequence[JsonValue]) -> str:
    """The details of a kind, written in one way; empty for none.

    Raises:
        BadKindError: Rule 1 doesn't allow them.
    """
    if not values:
        return ""
    if len(values) > MOST_DETAILS:
        raise BadKindError(f"a kind has {MOST_DETAILS} authorization details at most")
    for one in values:
        kind = one.get("type") if isinstance(one, dict) else None
        if not isinstance(kind, str) or not kind or set("{}") & set(kind):
            raise BadKindError("each of the authorization details is an object with a `type` of its own")
        if any(set("{}") & set(name) for name in _names(one)):
            raise BadKindError("a name in authorization details has no place of a parameter")
    try:
        text = canonical(list(values)).decode()
    except MalformedError as error:
        raise BadKindError(error.message) from error
    if len(text.encode()) > _MOST_BYTES:
        raise BadKindError(f"authorization details have {_MOST_BYTES} bytes at most")
    places_in(_texts(list(values)))
    return text


def places_of_details(details: str) -> tuple[str, ...]:
    """The names of all places in them, sorted."""
    return places_in(_texts(_read(details)))


def fill_details(details: str, context: Mapping[str, str]) -> str:
    """The details with what was asked for in their places; empty for none.

    Raises:
        BadKindError: A value can't stand there, or there is none.
    """
    return canonical(_filled(_read(details), context)).decode() if details else ""


def is_given(asked: str, said: str) -> bool:
    """Whether what was given is what was asked for (rule 2); both as canonical JSON, empty for none."""
    try:
        given, wanted = _read(said), _read(asked)
    except MalformedError:
        return False
    if not isinstance(given, list) or not isinstance(wanted, list):
        return False
    return sorted(map(canonical, given)) == sorted(map(canonical, wanted))


def _read(details: str) -> JsonValue:
    return parse_object(f'{{"{_LIST}":{details or "[]"}}}'.encode())[_LIST]


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
        case _:
            return


def _names(value: JsonValue) -> Iterator[str]:
    match value:
        case list():
            for one in value:
                yield from _names(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from _names(one)
        case _:
            return


def _filled(value: JsonValue, context: Mapping[str, str]) -> JsonValue:
    match value:
        case str():
            return fill(value, context)
        case list():
            return [_filled(one, context) for one in value]
        case dict():
            return {name: _filled(one, context) for name, one in value.items()}
        case _:
            return value
