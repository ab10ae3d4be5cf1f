"""The arguments as leaves, each with the whole way to it, and back.

Rules:

1. A leaf is a text, a number, true, false, null, or an object or list that is empty. Every value
   is its leaves, in the order of the canonical bytes, and nothing else.
2. A number is written as in the canonical bytes, digit for digit.
3. A way is keys, which are texts, and places in lists, which are numbers from 0 in brackets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import LIMITS, canonical, parse_document
from taskbound.core.approval.sheet.lines import Quoted
from taskbound.core.approval.sheet.values import BadSheetError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval.sheet.lines import Atom

__all__ = ["Leaf", "Way", "gather", "leaf_atoms", "leaves", "read_leaf"]

_PLACE: Final = re.compile(r"\[(0|[1-9][0-9]{0,5})\]")
_LITERALS: Final[dict[str, JsonValue]] = {"true": True, "false": False, "null": None}

Way: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value without parts, and where it stands."""

    way: Way
    value: JsonValue


def leaves(value: JsonValue, way: Way = ()) -> Iterator[Leaf]:
    """The leaves of a value, in order (rule 1)."""
    match value:
        case dict() if value or not way:  # all arguments are an object, also without leaves
            for key, inner in value.items():
                yield from leaves(inner, (*way, key))
        case list() if value:
            for at, inner in enumerate(value):
                yield from leaves(inner, (*way, at))
        case _:
            yield Leaf(way=way, value=value)


def gather(found: Iterable[Leaf]) -> dict[str, JsonValue]:
    """The object that has these leaves.

    Raises:
        BadSheetError: No object has them.
    """
    arguments: dict[str, JsonValue] = {}
    for leaf in found:
        here: JsonValue = arguments
        for step, then in zip(leaf.way, leaf.way[1:], strict=False):
            here = _enter(here, step, {} if isinstance(then, str) else [])
        _put(here, leaf.way[-1], leaf.value)
    return arguments


def leaf_atoms(leaf: Leaf) -> tuple[Atom, ...]:
    """The way to a leaf and its value, as they are shown."""
    atoms: list[Atom] = []
    for step in leaf.way:
        if isinstance(step, int):
            atoms.append(f"[{step}]")
        else:
            atoms += [".", Quoted(text=step)] if atoms else [Quoted(text=step)]
    match leaf.value:
        case str():
            atoms += ["=", "text", Quoted(text=leaf.value)]
        case dict():
            atoms += ["=", "empty", "object"]
        case list():
            atoms += ["=", "empty", "list"]
        case bool() | None:
            atoms += ["=", canonical(leaf.value).decode()]
        case _:
            atoms += ["=", "number", canonical(leaf.value).decode()]
    return tuple(atoms)


def read_leaf(atoms: Sequence[Atom]) -> Leaf:
    """The leaf that is shown so.

    Raises:
        BadSheetError: None is.
    """
    if "=" not in atoms:
        raise BadSheetError("an argument has no value")
    at = atoms.index("=")
    way = tuple(_steps(atoms[:at]))
    if not 0 < len(way) <= LIMITS.depth:
        raise BadSheetError("the way to an argument is too long or missing")
    return Leaf(way=way, value=_read_value(atoms[at + 1 :]))


def _steps(atoms: Sequence[Atom]) -> Iterator[str | int]:
    for atom in atoms:
        match atom:
            case Quoted(text=key):
                yield key
            case ".":
                continue
            case _:
                found = _PLACE.fullmatch(atom)
                if found is None:
                    raise BadSheetError("the way to an argument can't be read")
                yield int(found[1])


def _read_value(atoms: Sequence[Atom]) -> JsonValue:
    match atoms:
        case ["text", Quoted(text=text)]:
            return text
        case ["number", str(digits)]:
            return _number(digits)
        case ["empty", "object" | "list" as what]:
            return {} if what == "object" else []
        case ["true" | "false" | "null" as literal]:
            return _LITERALS[literal]
        case _:
            raise BadSheetError("an argument has a value of no kind that is known")


def _number(digits: str) -> JsonValue:
    try:
        value = parse_document(digits.encode())
    except (MalformedError, UnicodeEncodeError) as error:
        raise BadSheetError("an argument is no number") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSheetError("an argument is no number")
    return value


def _enter(here: JsonValue, step: str | int, fresh: JsonValue) -> JsonValue:
    """What stands at the step, made when it is the next that is missing."""
    match here, step:
        case dict(), str():
            return here.setdefault(step, fresh)
        case list(), int() if step < len(here):
            return here[step]
        case _:
            _put(here, step, fresh)
            return fresh


def _put(here: JsonValue, step: str | int, value: JsonValue) -> None:
    match here, step:
        case dict(), str() if step not in here:
            here[step] = value
        case list(), int() if step == len(here):
            here.append(value)
        case _:
            raise BadSheetError("two arguments can't stand in one value")
