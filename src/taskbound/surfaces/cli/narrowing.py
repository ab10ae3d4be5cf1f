"""Making a narrower call of a held one, by the amounts that an approver gives.

1. A value keeps the type that it has: where the held action has a number it is read as JSON reads one, where
   it has a text it is that text. What is neither is no amount.
2. What is not in the held action can't be given. Whether it is less, and may be, the daemon says.
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
    """The arguments of the narrower call, and what differs."""

    arguments: bytes
    """Canonical."""
    changed: tuple[Changed, ...]


def narrower(held: bytes, values: Sequence[str]) -> Narrower:
    """The held arguments with these values, each as `ARGUMENT=AMOUNT`.

    Raises:
        BadInputError: One names no argument of the held action, or is no amount.
        ScopeSyntaxError: One names an argument in no way that a scope does.
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
    """The value in the type that the held one has (rule 1)."""
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
