"""Builds a narrower call from a held one and the amounts that an approver gives.

1. A value keeps its type: a number is read as JSON, a text stays text. Other types are no amounts.
2. Only arguments of the held action can be given. The daemon judges whether the call is narrower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import canonical, parse_document, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.path import Place, parse_argument_path
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.action import Changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrower:
    """The arguments of the narrower call, and the differences."""

    arguments: bytes
    """Canonical."""
    changed: tuple[Changed, ...]


def narrower(held: bytes, values: Sequence[str]) -> Narrower:
    """Return the held arguments with these values, each `ARGUMENT=AMOUNT`.

    Raises BadInputError for an unknown argument or a value that is no amount.
    """
    arguments = parse_object(held)
    changed: dict[str, Changed] = {}
    for said in values:
        name, sign, value = said.rpartition("=")
        if not sign or not name:
            raise BadInputError(f"`{shown(said)}` is not ARGUMENT=AMOUNT")
        path = parse_argument_path(name, Place(text="--set"))
        *above, last = path.steps
        inside: JsonValue = arguments
        for step in above:
            inside = inside.get(step) if isinstance(inside, dict) and isinstance(step, str) else None
        if not isinstance(inside, dict) or not isinstance(last, str) or last not in inside:
            raise BadInputError(f"the held action has no argument `{shown(name)}`")
        if path.text in changed:
            raise BadInputError(f"`{shown(name)}` is given twice")
        before = inside[last]
        inside[last] = _read(before, value, name)
        changed[path.text] = Changed(
            place=path.text, before=canonical(before).decode(), after=canonical(inside[last]).decode()
        )
    return Narrower(arguments=canonical(arguments), changed=tuple(changed.values()))


def _read(before: JsonValue, value: str, name: str) -> JsonValue:
    match before:
        case str():
            return value
        case bool() | None | dict() | list():
            raise BadInputError(f"`{shown(name)}` is no amount")
        case _:
            pass
    try:
        read = parse_document(value.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise BadInputError(f"`{shown(value)}` is no number") from error
    if isinstance(read, bool) or not isinstance(read, int | float):
        raise BadInputError(f"`{shown(value)}` is no number")
    return read
